"""`rlgen watch`: a workflow's tasks until its end; a live table on a terminal, lines when piped."""

import json
import time
from contextlib import ExitStack
from dataclasses import replace

from rich.console import Console

from rlgen_k8s.dag.names import SETTINGS
from rlgen_k8s.runners.argo import changes, status
from rlgen_k8s.runners.argo.api import Cluster, connect
from rlgen_k8s.runners.argo.observe import observe
from rlgen_k8s.runners.argo.platform import read_platform, shared_store
from rlgen_k8s.runners.argo.waiting import Waiting
from rlgen_k8s.runners.argo.workflows import (
    UNTIL_ANNOTATION,
    WORKFLOWS,
    Workflow,
    ended,
    find,
    gangs,
    name_of,
    phase_of,
)
from rlgen_k8s.runners.home import home
from rlgen_k8s.runners.reports import copy_report
from rlgen_k8s.runners.states import FAILURES, Phase, TaskState
from rlgen_k8s.runners.view import LiveView, PlainView, View, clock
from rlgen_k8s.study.settings import Study

TICK_SECONDS = 0.5


def watch(name: str | None, namespace: str | None) -> int:
    """Follow a workflow (None: the newest) to its end. 0, or 1; 2 when a stage ended with 2: the user must mend it."""
    cluster = connect(namespace)
    workflow = find(cluster, name)
    console = Console(highlight=False)
    with ExitStack() as stack:
        view: View = PlainView(console)
        if console.is_terminal:
            view = stack.enter_context(LiveView(console, name_of(workflow), _began(workflow)))
        last, tasks = _follow(cluster, name_of(workflow), view)
    if last is None:
        console.print(f"{name_of(workflow)}: deleted before its end; `rlgen submit` goes on from what is in the store")
        return 1
    return _conclude(cluster, last, tasks, console)


def _follow(cluster: Cluster, name: str, view: View) -> tuple[Workflow | None, list[TaskState]]:
    """Show the workflow until it has ended; its last state, or None if it was deleted."""
    shown: dict[str, TaskState] = {}
    workflow: Workflow | None = None
    away = ""
    waiting = Waiting(cluster, name)
    for seen in observe(cluster, WORKFLOWS, name, TICK_SECONDS):
        if seen is not None and seen.away:
            if not away:
                view.event("api", f"not reachable ({seen.away}); trying again, the workflow goes on meanwhile")
            away = seen.away
        elif seen is not None:
            if away:
                view.event("api", "reachable again")
            away = ""
            if seen.gone:
                return None, []
            workflow = seen.found
        if workflow is None:
            continue
        tasks = status.states(workflow)
        reasons = {} if away or ended(workflow) else waiting.reasons(tasks, gangs(workflow))
        tasks = [_waiting(task, reasons.get(task.name)) for task in tasks]
        changes.tell(shown, tasks, name, view)
        view.update(tasks)
        shown = {task.name: task for task in tasks}
        if ended(workflow):
            return workflow, tasks
    raise AssertionError("observe never ends")


def _waiting(task: TaskState, reason: str | None) -> TaskState:
    """The task, waiting if there is a reason: the launcher of a gang runs while the gang does not."""
    return replace(task, phase=Phase.PENDING, message=reason) if reason else task


def _conclude(cluster: Cluster, workflow: Workflow, tasks: list[TaskState], console: Console) -> int:
    """Say how it ended; the exit code."""
    name, said = name_of(workflow), workflow["status"].get("message", "")
    took = clock((status.seconds(workflow["status"].get("finishedAt")) or time.time()) - _began(workflow))
    failed = [task for task in tasks if task.phase in FAILURES]
    if phase_of(workflow) == "Succeeded":
        console.print(f"{name}: done in {took}")
        if not json.loads(workflow["metadata"]["annotations"].get(UNTIL_ANNOTATION, "[]")):
            study = Study.model_validate_json(workflow["metadata"]["annotations"][SETTINGS])
            with shared_store(cluster, read_platform(cluster)) as store:
                console.print(f"report: {copy_report(study, store, home())}", soft_wrap=True)
        return 0
    console.print(f"{name}: {phase_of(workflow).lower()} after {took}{f': {said}' if said else ''}", soft_wrap=True)
    for task in failed:
        console.print(f"{task.name}: {task.message}", markup=False, soft_wrap=True)
        console.print(f"  log: rlgen logs {task.name} {name}", soft_wrap=True)
    console.print(f"`rlgen resubmit {name}` goes on from what is in the store", soft_wrap=True)
    return 2 if any(task.exit_code == 2 for task in failed) else 1


def _began(workflow: Workflow) -> float:
    return status.seconds(workflow["metadata"]["creationTimestamp"]) or time.time()
