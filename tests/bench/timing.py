"""Time of things that take turns, so that a busy machine slows all alike; and memory. The GPU's where there is one."""

import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call; with a GPU, wall seconds until it has done what the call asked of it."""
    if not torch.cuda.is_available():
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def medians(rounds: int, *ways: Callable[[], object]) -> list[float]:
    """Median seconds of each way."""
    times = [[seconds(way) for way in ways] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def resident(which: str) -> float:
    """MB of this process: "VmRSS" those it holds, "VmHWM" the most it ever held."""
    found = re.search(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1000


def peak_memory(work: Callable[[], object]) -> float:
    """MB at the peak of one call, what was there before included: of the GPU, or of this process."""
    if not torch.cuda.is_available():
        Path("/proc/self/clear_refs").write_text("5")  # from here on VmHWM counts anew
        work()
        return resident("VmHWM")
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() / 1e6
