"""Which tasks may start now, and in what order: plain functions of the tasks and their states."""

from collections.abc import Collection, Mapping, Sequence

from rlgen_k8s.runners.local.tasks import LocalTask
from rlgen_k8s.runners.states import Phase

PASSED = (Phase.SUCCEEDED, Phase.SKIPPED)


def ready(tasks: Sequence[LocalTask], phases: Mapping[str, Phase]) -> list[LocalTask]:
    """Pending tasks all of whose dependencies have passed."""
    return [
        task
        for task in tasks
        if phases[task.name] is Phase.PENDING and all(phases[name] in PASSED for name in task.after)
    ]


def fitting(
    candidates: Sequence[LocalTask], running: Collection[LocalTask], cpu: float, memory: float
) -> list[LocalTask]:
    """Those of `candidates`, in order, whose requests fit beside `running` on `cpu` cores and `memory` bytes.

    As in a cluster, a request is a reservation; unlike there, a task that asks for more than the machine has runs
    alone instead of never. A large task at the head of the queue is not overtaken: it would wait for ever.
    """
    free_cpu = cpu - sum(task.cpu for task in running)
    free_memory = memory - sum(task.memory for task in running)
    chosen: list[LocalTask] = []
    for task in candidates:
        alone = not running and not chosen
        if not alone and (task.cpu > free_cpu or task.memory > free_memory):
            break
        chosen.append(task)
        free_cpu -= task.cpu
        free_memory -= task.memory
    return chosen


def by_urgency(candidates: Sequence[LocalTask], tasks: Sequence[LocalTask]) -> list[LocalTask]:
    """`candidates`, those with the longest expected way to the end of the DAG first."""
    remaining: dict[str, float] = {}
    for task in reversed(tasks):
        after_it = [remaining[later.name] for later in tasks if task.name in later.after]
        remaining[task.name] = task.minutes + max(after_it, default=0.0)
    return sorted(candidates, key=lambda task: -remaining[task.name])
