"""The spool: append-only files of events on local disk, one for each submission and each attempt at a stage.

A writer holds a lock on its file (`flock`) for as long as its process lives, so a reader can tell a writer that was
killed (no `finish` event, lock free) from one at work. A line counts once its newline is there. How far a file was
applied stands beside it in `<writer>.position`; a file applied to its end by a finished writer is removed. Writers'
names have no dot, so all that is kept for one is `<writer>.*`.
"""

import fcntl
import time
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

from rlgen_k8s.tracking.events import EVENT, Event, Finished, Logged, StageOpened, Status, SubmissionOpened


class Writer:
    """Appends events to a file of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self._count = 0
        self._latest = 0
        folder.mkdir(parents=True, exist_ok=True)
        hidden = folder / f"{name}.opening"
        self._file = hidden.open("a", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        hidden.rename(folder / f"{name}.jsonl")  # visible only once locked

    def write(self, kind: type[SubmissionOpened | StageOpened | Logged], **fields: Any) -> None:
        """Append an event of this kind; it is whole or absent for a reader. Times never go back within a writer."""
        self._latest = max(self._latest, now_ms())
        event = kind(id=f"{self.name}:{self._count}", at=self._latest, **fields)
        self._count += 1
        self._file.write(event.model_dump_json() + "\n")
        self._file.flush()

    def finish(self, status: Status, **fields: Any) -> None:
        """Append the last event, after what a process that inherited this writer wrote, and maybe was killed in."""
        self._file.truncate((self.folder / f"{self.name}.jsonl").read_bytes().rfind(b"\n") + 1)
        event = Finished(id=f"{self.name}:end", at=max(self._latest, now_ms()), status=status, **fields)
        self._file.write(event.model_dump_json() + "\n")
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def now_ms() -> int:
    """Unix time in ms."""
    return time.time_ns() // 1_000_000


def writers(folder: Path) -> list[str]:
    """Names of the writers with events in the spool."""
    return sorted(path.stem for path in folder.glob("*.jsonl"))


def read(folder: Path, writer: str, start: int = 0) -> list[tuple[Event, int]]:
    """The whole events of a writer from byte `start` on, each with the position after it."""
    with (folder / f"{writer}.jsonl").open("rb") as file:
        file.seek(start)
        lines = [line for line in file if line.endswith(b"\n")]
    ends = [start + end for end in accumulate(map(len, lines))]
    return [(EVENT.validate_json(line), end) for line, end in zip(lines, ends, strict=True)]


def position(folder: Path, writer: str) -> int:
    """How many bytes of a writer's file were applied."""
    mark = folder / f"{writer}.position"
    return int(mark.read_text()) if mark.exists() else 0


def advance(folder: Path, writer: str, to: int) -> None:
    """Note that a writer's file was applied up to byte `to`."""
    partial = folder / f"{writer}.position.partial"
    partial.write_text(str(to))
    partial.replace(folder / f"{writer}.position")


def end_if_dead(folder: Path, writer: str) -> None:
    """If the writer's process ended without a `Finished`, write one for it: killed."""
    with (folder / f"{writer}.jsonl").open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        events = read(folder, writer)
        if not events:
            remove(folder, writer)
            return
        last, end = events[-1]
        if isinstance(last, Finished):
            return
        file.truncate(end)  # a line cut short by the kill
        file.seek(end)
        killed = Finished(id=f"{writer}:end", at=max(last.at, now_ms()), status="killed")
        file.write(killed.model_dump_json().encode() + b"\n")


def remove(folder: Path, writer: str) -> None:
    """Remove everything of a writer."""
    for path in sorted(folder.glob(f"{writer}.*"), key=lambda path: path.suffix != ".jsonl"):
        path.unlink()


def pending(folder: Path) -> int:
    """How many events wait for MLflow."""
    return sum(len(read(folder, writer, position(folder, writer))) for writer in writers(folder))


def try_lock(folder: Path) -> IO[str] | None:
    """The right to apply this spool's events, held until the file is closed; None if another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "recorder.lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
