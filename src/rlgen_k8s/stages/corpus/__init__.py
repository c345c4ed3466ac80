"""Stage `corpus`."""
