"""The state of a task as a person sees it, wherever it runs."""

import time
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """The state of a task, in Argo's words."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ERROR = "Error"
    SKIPPED = "Skipped"
    OMITTED = "Omitted"

    @property
    def done(self) -> bool:
        """Whether nothing more will happen to the task."""
        return self not in (Phase.PENDING, Phase.RUNNING)


FAILURES = (Phase.FAILED, Phase.ERROR)


@dataclass
class TaskState:
    """One task. Times are seconds since the epoch."""

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
