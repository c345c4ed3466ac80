"""One `up` or `down` at a time, and one build of a program."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from devcluster.paths import CACHE


@contextmanager
def exclusively(what: str) -> Iterator[None]:
    """Wait for another who does the same to end."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
