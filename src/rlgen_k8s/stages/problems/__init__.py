"""Stage `problems`."""
