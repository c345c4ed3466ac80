"""Ray's worker processes, forked from one that has imported what they use."""
