"""CPU time of things that take turns, so that a busy machine slows all alike."""

import statistics
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def medians(rounds: int, *ways: Callable[[], object]) -> list[float]:
    """Median CPU seconds of each way."""
    times = [[seconds(way) for way in ways] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*times, strict=True)]
