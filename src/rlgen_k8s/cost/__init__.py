"""What a study costs before it runs: hours, GPU-hours, bytes and memory, from a stated model. Plain arithmetic."""
