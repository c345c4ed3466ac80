"""Which folders belong to a living process: beside each is a locked file, unlocked by the kernel when that dies."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

LOCK_SUFFIX = ".lock"


def _lock_file(folder: Path) -> Path:
    return folder.with_name(folder.name + LOCK_SUFFIX)


def hold_folder(folder: Path) -> Callable[[], None]:
    """Take the lease of a folder that is about to be made, under a name nobody else uses.

    Returns the function that ends the lease; a process that dies ends it too.
    """
    lock = _lock_file(folder)
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    def end() -> None:
        lock.unlink(missing_ok=True)
        os.close(descriptor)

    return end


def is_abandoned(folder: Path) -> bool:
    """True when no living process holds the lease of this existing folder."""
    try:
        descriptor = os.open(_lock_file(folder), os.O_RDWR)
    except FileNotFoundError:
        return True
    except PermissionError:  # another user's: there is no telling
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def forget(folder: Path) -> None:
    """Remove the lock file that a dead process left beside a folder."""
    _lock_file(folder).unlink(missing_ok=True)
