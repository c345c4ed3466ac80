"""Stage `intervene`."""
