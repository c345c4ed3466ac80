"""Work on several files at once: copying waits for the network, hashing leaves Python's lock."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 4


def several_at_once(action: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`action` of each item, in their order. Who is told to stop meanwhile does not wait for those under way."""
    pool, wait = ThreadPoolExecutor(AT_ONCE), False
    try:
        return list(pool.map(action, items))
    except Exception:
        wait = True  # a second try must not meet the first one's copies
        raise
    finally:
        pool.shutdown(wait=wait, cancel_futures=True)
