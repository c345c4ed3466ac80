"""Stage `analyse`."""
