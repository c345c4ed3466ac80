"""What happened to the tasks between two looks at a workflow, as the views want to be told."""

from collections.abc import Mapping, Sequence

from rlgen_k8s.runners.states import FAILURES, Phase, TaskState
from rlgen_k8s.runners.view import View


def tell(before: Mapping[str, TaskState], after: Sequence[TaskState], workflow: str, view: View) -> None:
    """Tell `view` what is new in `after`."""
    for task in after:
        _tell(before.get(task.name, TaskState(task.name)), task, workflow, view)


def _tell(old: TaskState, new: TaskState, workflow: str, view: View) -> None:
    if new.attempts > max(old.attempts, 1):
        view.event(new.name, f"started again (attempt {new.attempts})")
    elif new.attempts > old.attempts:
        view.event(new.name, "started")
    if new.phase is Phase.PENDING and new.message and new.message != old.message:
        ended = new.finished is not None
        view.event(new.name, f"attempt {new.attempts} ended: {new.message}" if ended else f"waits: {new.message}")
    if new.phase is old.phase:
        return
    if new.phase is Phase.SUCCEEDED:
        view.event(new.name, f"done in {new.seconds:.0f} s")
    elif new.phase in FAILURES:
        view.failure(new.name, new.message or "no message", f"log: rlgen logs {new.name} {workflow}")
