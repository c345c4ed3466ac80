"""Stage `crosscoder`."""
