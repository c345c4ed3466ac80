"""lm-evaluation-harness on a model in memory: tasks from a mirror folder, every sample's outcome kept."""
