"""The loop: start what may start, watch what runs, try again what may be tried again."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from rlgen_k8s.runners.local import process, schedule, state
from rlgen_k8s.runners.local.expressions import holds
from rlgen_k8s.runners.local.tasks import LocalTask
from rlgen_k8s.runners.states import Phase, TaskState
from rlgen_k8s.runners.view import View

POLL_SECONDS = 0.1
SAVE_SECONDS = 1.0


class Stopped(Exception):  # noqa: N818 (no error: somebody asked for it)
    """SIGINT or SIGTERM came; all children have ended."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


@dataclass
class _Loop:
    tasks: list[LocalTask]
    folder: Path
    environment: Mapping[str, str]
    view: View
    states: dict[str, TaskState]
    running: dict[str, process.Attempt] = field(default_factory=dict)
    not_before: dict[str, float] = field(default_factory=dict)
    failed: bool = False


def run_tasks(tasks: list[LocalTask], folder: Path, environment: Mapping[str, str], view: View) -> list[TaskState]:
    """Run `tasks` to their end and return their states; logs and `state.json` are in `folder`.

    As Argo's `failFast` does: after a failure nothing new starts, and what runs comes to its end. Raises `Stopped`
    after SIGINT or SIGTERM.
    """
    loop = _Loop(tasks, folder, environment, view, {task.name: TaskState(task.name) for task in tasks})
    saved = 0.0
    with _signals() as received:
        while loop.running or (not loop.failed and not all(s.phase.done for s in loop.states.values())):
            if received:
                _stop_all(loop, received[0])
            _collect(loop)
            if not loop.failed:
                _start(loop)
            view.update(list(loop.states.values()))
            if time.monotonic() - saved > SAVE_SECONDS:
                state.save(list(loop.states.values()), folder / "state.json")
                saved = time.monotonic()
            time.sleep(POLL_SECONDS)
    for left in loop.states.values():
        if left.phase is Phase.PENDING:
            left.phase = Phase.OMITTED
    state.save(list(loop.states.values()), folder / "state.json")
    view.update(list(loop.states.values()))
    return list(loop.states.values())


def _start(loop: _Loop) -> None:
    phases = {name: task.phase for name, task in loop.states.items()}
    now = time.monotonic()
    candidates = [t for t in schedule.ready(loop.tasks, phases) if loop.not_before.get(t.name, 0.0) <= now]
    for task in [t for t in candidates if t.when is not None and not holds(t.when, {})]:
        candidates.remove(task)
        loop.states[task.name].phase = Phase.SKIPPED
        loop.view.event(task.name, f"skipped: {task.when} is false")
    busy = [task for task in loop.tasks if task.name in loop.running]
    urgent = schedule.by_urgency(candidates, loop.tasks)
    for task in schedule.fitting(urgent, busy, float(_cores()), _memory()):
        shown = loop.states[task.name]
        shown.attempts += 1
        shown.phase, shown.started, shown.finished, shown.done, shown.total = Phase.RUNNING, time.time(), None, 0, 0
        loop.running[task.name] = process.start(task, loop.folder, loop.environment, shown.attempts)
        loop.view.event(task.name, "started" if shown.attempts == 1 else f"started again (attempt {shown.attempts})")


def _collect(loop: _Loop) -> None:
    for task in loop.tasks:
        attempt = loop.running.get(task.name)
        if attempt is None:
            continue
        shown = loop.states[task.name]
        shown.done, shown.total = attempt.progress() or (shown.done, shown.total)
        code = attempt.exit_code()
        if code is None:
            continue
        del loop.running[task.name]
        shown.finished, shown.exit_code = time.time(), code
        if code == 0:
            shown.phase = Phase.SUCCEEDED
            loop.view.event(task.name, f"done in {shown.seconds:.1f} s")
        elif _try_again(task, shown, code):
            delay = min(task.retry.seconds * task.retry.factor ** (shown.attempts - 1), task.retry.max_seconds)
            loop.not_before[task.name] = time.monotonic() + delay
            shown.phase = Phase.PENDING
            loop.view.event(task.name, f"ended with exit code {code}; trying again in {delay:g} s")
        else:
            shown.phase, loop.failed = Phase.FAILED, True
            shown.message = f"exit code {code} after {shown.seconds:.1f} s; log {attempt.log}"
            loop.view.failure(task.name, shown.message, attempt.last_lines())


def _try_again(task: LocalTask, shown: TaskState, code: int) -> bool:
    if shown.attempts > task.retry.limit:
        return False
    last = {"exitCode": str(code), "status": "Failed", "message": f"exit code {code}"}
    return holds(task.retry.expression, {f"lastRetry.{name}": value for name, value in last.items()})


def _stop_all(loop: _Loop, signum: int) -> None:
    loop.view.event("run", f"{signal.Signals(signum).name}: stopping {', '.join(loop.running) or 'nothing'}")
    for attempt in loop.running.values():
        attempt.ask_to_stop()
    for attempt in loop.running.values():
        attempt.process.wait()
    for name in loop.running:
        loop.states[name].phase, loop.states[name].message = Phase.FAILED, "stopped"
    state.save(list(loop.states.values()), loop.folder / "state.json")
    raise Stopped(signum)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list instead of dying of them."""
    received: list[int] = []

    def note(signum: int, _frame: FrameType | None) -> None:
        received.append(signum)

    before = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _memory() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
