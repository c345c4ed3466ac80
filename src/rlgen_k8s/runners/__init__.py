"""Where a workflow runs."""
