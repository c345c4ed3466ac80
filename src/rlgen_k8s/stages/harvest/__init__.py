"""Stage `harvest`."""
