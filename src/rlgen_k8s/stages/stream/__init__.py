"""Stage `stream`: one pass over the corpus that trains all crosscoders."""
