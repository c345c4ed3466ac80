"""Errors that carry their meaning to the user and to the retry rule.

Exit codes: 0 done; 2 bad input or settings, never retried; 75 try again; 137/143 killed, resume.
"""


class UserError(Exception):
    """Something the user must mend: one line with the thing, its value, what was expected, what to do."""

    exit_code = 2


class TryAgainError(Exception):
    """Something outside failed for now; the same attempt may succeed later."""

    exit_code = 75
