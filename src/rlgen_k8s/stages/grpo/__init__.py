"""Stage `grpo`."""
