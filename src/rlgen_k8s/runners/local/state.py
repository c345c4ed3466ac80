"""The state of a run on disk: what the loop saves and `rlgen status` reads."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rlgen_k8s.runners.states import Phase, TaskState


def save(states: Sequence[TaskState], path: Path) -> None:
    """Write all states at once; a reader sees the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"pid": os.getpid(), "tasks": [asdict(state) for state in states]}))
    temporary.replace(path)


def load(path: Path) -> tuple[int, list[TaskState]]:
    """The process id of the run and the states it last saved."""
    saved = json.loads(path.read_text())
    return saved["pid"], [TaskState(**{**task, "phase": Phase(task["phase"])}) for task in saved["tasks"]]
