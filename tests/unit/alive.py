"""Whether a process still runs."""

from pathlib import Path


def running(process: int) -> bool:
    """Not one that has ended, and whose end nobody has asked for yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may end between opening and reading
        return False
