"""The state of a run: what the loop changes, the view shows and `rlgen status` reads."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rlgen_k8s.runners.local.schedule import Phase


@dataclass
class TaskState:
    """One task as a person sees it. Times are seconds since the epoch."""

    name: str
    phase: Phase = Phase.PENDING
    attempts: int = 0
    started: float | None = None
    finished: float | None = None
    done: int = 0
    total: int = 0
    message: str = ""
    exit_code: int | None = None

    @property
    def seconds(self) -> float:
        """How long the newest attempt has been running, or ran."""
        return 0.0 if self.started is None else (self.finished or time.time()) - self.started


def save(states: Sequence[TaskState], path: Path) -> None:
    """Write all states at once; a reader sees the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"pid": os.getpid(), "tasks": [asdict(state) for state in states]}))
    temporary.replace(path)


def load(path: Path) -> tuple[int, list[TaskState]]:
    """The process id of the run and the states it last saved."""
    saved = json.loads(path.read_text())
    return saved["pid"], [TaskState(**{**task, "phase": Phase(task["phase"])}) for task in saved["tasks"]]
