"""The launcher of a stage that several pods run: it makes their JobSet, follows it and tells how it ended."""
