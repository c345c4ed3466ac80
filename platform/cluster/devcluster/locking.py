"""One `up` or `down` at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from devcluster.paths import CACHE


@contextmanager
def exclusively() -> Iterator[None]:
    """Wait for another to end."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "cluster.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
