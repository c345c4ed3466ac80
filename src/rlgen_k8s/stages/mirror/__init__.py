"""Stage `mirror`."""
