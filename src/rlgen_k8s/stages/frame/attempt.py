"""The stage's own process: inputs, the stage, publication. The process above it (`run`) sees to the rest."""

import secrets
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.processes.child import ChildError
from rlgen_k8s.stages.contract import Context, ResumePoint
from rlgen_k8s.stages.frame import budget
from rlgen_k8s.stages.frame.ending import TerminatedError, no_room, raise_on_signals, stop_descendants
from rlgen_k8s.stages.frame.lifeline import Lifeline
from rlgen_k8s.stages.frame.outage import patiently
from rlgen_k8s.stages.frame.progress import Progress, say
from rlgen_k8s.stages.frame.resume import StoredResume
from rlgen_k8s.stages.frame.scratch import scratch_folder
from rlgen_k8s.stages.frame.task import Task
from rlgen_k8s.stages.gang import gang_of
from rlgen_k8s.store.manifest import Manifest
from rlgen_k8s.store.open import open_store
from rlgen_k8s.store.results import Attempt, Store
from rlgen_k8s.tracking.stage_run import StageRun

Metrics = Callable[[Mapping[str, float], int | None], None]


@dataclass(frozen=True)
class Work:
    """What an attempt is given."""

    task: Task
    environ: Mapping[str, str]
    tracked: StageRun
    line: Lifeline


def attempt(work: Work) -> int:
    """Make and publish the result; the exit code. What went wrong is on stderr, and its first line on the lifeline."""
    raise_on_signals()
    try:
        said = _make(work)
    except (UserError, TryAgainError, ChildError, TerminatedError) as error:
        print(error, file=sys.stderr, flush=True)
        work.line.say(str(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 (nothing is above: its traceback is told, and the exit code is 1)
        traceback.print_exc()
        work.line.say(f"{type(error).__name__}: {error}")
        return 1
    print(f"{work.task.name}: {work.task.address} {said}", flush=True)
    return 0


def _make(work: Work) -> str:
    store = open_store(work.environ["RLGEN_STORE"], work.environ)
    with scratch_folder(work.environ) as scratch:
        inputs = {}
        with _room(work, scratch):
            for name, reference in work.task.identity.inputs.items():
                to = scratch / "inputs" / name
                inputs[name] = patiently(partial(store.fetch, reference, to), work.line.beat)
        if gang_of(work.environ).helps:
            _help(work, store, inputs, scratch)
            return "left to the first pod to publish"
        manifest = _publish(work, store, inputs, scratch)
    return f"published, {len(manifest.files)} files, {manifest.size} bytes"


def _help(work: Work, store: Store, inputs: Mapping[str, Path], scratch: Path) -> None:
    """Run the stage for another pod's result: nothing of it is kept here."""
    points = StoredResume(store, work.task.address, secrets.token_hex(4), scratch)
    (scratch / "out").mkdir()
    try:
        with _room(work, scratch):
            work.task.stage.load()(_context(work, inputs, scratch / "out", scratch, points, lambda done, total: None))
    finally:
        stop_descendants()


@contextmanager
def _room(work: Work, *folders: Path) -> Iterator[None]:
    """Tell a disk that is full from other errors."""
    try:
        yield
    except (UserError, TryAgainError):
        raise
    except Exception as error:
        if (known := no_room(error, folders, work.task.stage.name)) is None:
            raise
        raise known from error


def _publish(work: Work, store: Store, inputs: Mapping[str, Path], scratch: Path) -> Manifest:
    """Run the stage once and publish what it made."""
    task, beat = work.task, work.line.beat
    opened = store.open_attempt(task.address, scratch)
    print(f"{task.name}: {task.address}, attempt {opened.id}", flush=True)
    resume = StoredResume(store, task.address, opened.id, scratch)
    progress = Progress(progress_file(work.environ), beat, say if gang_of(work.environ).nodes > 1 else None)
    context = _context(work, inputs, opened.out, scratch, resume, progress)
    try:
        with _room(work, opened.out, scratch):
            task.stage.load()(context)
            progress.flush()
        manifest = patiently(lambda: store.publish(opened, task.identity), beat)
    finally:
        stop_descendants()
        _close(store, opened)
    resume.clear()
    budget.clear(store, task.address)
    return manifest


def _context(
    work: Work,
    inputs: Mapping[str, Path],
    out: Path,
    scratch: Path,
    resume: StoredResume,
    progress: Callable[[int, int], None],
) -> Context[Any]:
    # A folder of its own: what is left here of inputs and downloads is none of the stage's business.
    (scratch / "work").mkdir()
    return Context(
        settings=work.task.settings,
        inputs=inputs,
        out=out,
        scratch=scratch / "work",
        resume=_Beating(resume, work.line.beat, keeps=not gang_of(work.environ).helps),
        progress=progress,
        metrics=_both(work.tracked.log, work.line.beat),
    )


def _close(store: Store, opened: Attempt) -> None:
    """Tidy up. A store that is away now must not change how the attempt ended; the next attempt tidies up for it."""
    try:
        store.close(opened)
    except TryAgainError as error:
        print(f"left for the next attempt to remove: {error}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _Beating:
    """Resume points; keeping or fetching one is getting on, and a store that is away for a while loses none."""

    points: StoredResume
    beat: Callable[[], None]
    keeps: bool
    """A helper keeps none of the whole: the first pod's are for all."""

    def newest(self) -> ResumePoint | None:
        return patiently(self.points.newest, self.beat)

    def save(self, step: int, folder: Path) -> None:
        if self.keeps:
            patiently(lambda: self.points.save(step, folder), self.beat)

    def part(self, name: str) -> "_Beating":
        return _Beating(self.points.part(name), self.beat, keeps=True)


def _both(log: Metrics, beat: Callable[[], None]) -> Metrics:
    def logged(metrics: Mapping[str, float], step: int | None) -> None:
        log(metrics, step)
        beat()

    return logged


def progress_file(environ: Mapping[str, str]) -> Path | None:
    """Where Argo's executor, or the local runner, reads progress from."""
    return Path(environ["ARGO_PROGRESS_FILE"]) if environ.get("ARGO_PROGRESS_FILE") else None
