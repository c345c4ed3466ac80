"""Progress of a stage, as `N/M` in the file that Argo's executor and the local runner read."""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SAID = "progress: "
"""Starts a line of the log that says `N/M`, where nobody reads a file."""
INTERVAL = 0.2
"""Seconds between two writes at least; the last state is written when the stage is done."""


@dataclass
class Progress:
    """Calling it keeps the state; writes replace the file, so that a reader never sees half of one."""

    path: Path | None
    beat: Callable[[], None] = lambda: None
    """Called when the state is another one than before."""
    tell: Callable[[int, int], None] | None = None
    """The same, with the state."""
    _last: tuple[int, int] = field(default=(0, 0), init=False)
    _written: float = field(default=-INTERVAL, init=False)
    _pending: str = field(default="", init=False)

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` units of work; a total of 0 says nothing and is left out."""
        if (done, total) != self._last:
            self._last = (done, total)
            self.beat()
            if self.tell is not None:
                self.tell(done, total)
        if self.path is None or total <= 0:
            return
        self._pending = f"{max(0, min(done, total))}/{total}\n"
        if done >= total or time.monotonic() - self._written >= INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Write the last state now, if it is not written yet."""
        if self.path is None or not self._pending:
            return
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.write_text(self._pending)
        temporary.replace(self.path)
        self._written, self._pending = time.monotonic(), ""


def say(done: int, total: int) -> None:
    """Progress as a line of the log."""
    print(f"{SAID}{done}/{total}", flush=True)


def progress_of(line: str) -> tuple[int, int] | None:
    """What such a line says; None for any other."""
    found = re.fullmatch(rf"{SAID}(\d+)/(\d+)", line)
    return (int(found[1]), int(found[2])) if found else None
