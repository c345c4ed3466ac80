"""Stage `traces`."""
