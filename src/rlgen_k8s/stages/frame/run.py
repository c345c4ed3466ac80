"""One task from command line to published result: what surrounds the stage's own process (`attempt`).

Reads `RLGEN_STORE`, `RLGEN_SCRATCH`, `ARGO_PROGRESS_FILE`, `RLGEN_PATIENCE` (minutes without progress after which an
attempt is ended; none: never), `RLGEN_MEMORY` (GiB, for a message), `RLGEN_GPUS`, `RLGEN_ARTIFACTS` (a folder for a
copy of the result that a person looks at), what `stages/gang.py` reads, and what tracking reads.
"""

import secrets
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.stages.frame.attempt import Work, attempt, progress_file
from rlgen_k8s.stages.frame.budget import spend
from rlgen_k8s.stages.frame.ending import leave_message, stopped_by
from rlgen_k8s.stages.frame.lifeline import Lifeline
from rlgen_k8s.stages.frame.memory import oom_kills
from rlgen_k8s.stages.frame.progress import Progress
from rlgen_k8s.stages.frame.task import Task
from rlgen_k8s.stages.frame.watch import Ended, told_to_stop, watch
from rlgen_k8s.stages.gang import gang_of
from rlgen_k8s.store.manifest import Manifest
from rlgen_k8s.store.open import open_store
from rlgen_k8s.store.results import Store
from rlgen_k8s.tracking.beside import start_beside
from rlgen_k8s.tracking.events import Status
from rlgen_k8s.tracking.stage_run import StageRun, open_stage_run

KILLED = (130, 137, 143)


def run_task(task: Task, environ: Mapping[str, str]) -> int:
    """Make the task's result unless it is in the store already; the exit code."""
    if not environ.get("RLGEN_STORE"):
        raise UserError("RLGEN_STORE: not set; expected a folder or s3://bucket/prefix")
    store = open_store(environ["RLGEN_STORE"], environ)
    if store.manifest(task.address) is not None:
        print(f"{task.name}: hit, {task.address} is in the store", flush=True)
        Progress(progress_file(environ))(1, 1)
    else:
        code = _make(task, store, environ)
        if code:
            return code
    if environ.get("RLGEN_ARTIFACTS"):
        _show(store, task.address, environ)
    leave_message("")
    return 0


def _make(task: Task, store: Store, environ: Mapping[str, str]) -> int:
    stage, memory = task.stage.name, environ.get("RLGEN_MEMORY", "?")
    # What is read should nothing here live to say more.
    leave_message(f"killed; if out of memory, raise pods.{stage}.memory (now {memory} GiB)")
    line, began, kills = Lifeline(), time.monotonic(), oom_kills()
    gang = gang_of(environ)
    if gang.helps:  # silent while it works: the first pod's watch and the JobSet see to its end
        environ = {name: value for name, value in environ.items() if name not in ("RLGEN_PATIENCE", "RLGEN_SUBMISSION")}
    beside = start_beside(environ)
    identity = task.identity
    tracked = open_stage_run(task.name, stage, identity.key, identity.settings, identity.inputs, environ)
    work = Work(task, environ, tracked, line)
    patience = 60 * float(environ.get("RLGEN_PATIENCE") or "inf")
    ended = watch(lambda: attempt(work), line, patience, beside.processes)
    code, words = verdict(ended, line.words, stage, environ, oom_kills() - kills)
    if code == TryAgainError.exit_code and gang.nodes == 1:  # the launcher of a gang counts for all of it
        code, words = spend(store, task.address, secrets.token_hex(4), words, environ)
    if words != line.words:
        print(words, file=sys.stderr, flush=True)
    if words:
        leave_message(words)
    seconds = time.monotonic() - began
    _tell(store, task, code, words, seconds, tracked, environ)
    beside.stop(store, lambda: ended.stopped is not None or told_to_stop())
    return code


def verdict(ended: Ended, words: str, stage: str, environ: Mapping[str, str], kills: int) -> tuple[int, str]:
    """The exit code, and the line that says why."""
    if ended.stopped is not None and ended.code not in (0, UserError.exit_code):
        said = stopped_by(ended.stopped)
        return 128 + ended.stopped, said if words in ("", said) else f"{said}; {words}"
    if ended.hung:
        said = f"no progress for {environ['RLGEN_PATIENCE']} min (pods.{stage}.patience); its stacks are in the log"
        return TryAgainError.exit_code, said
    if kills and ended.code not in (0, UserError.exit_code):
        memory = environ.get("RLGEN_MEMORY", "?")
        return UserError.exit_code, (
            f"out of memory: stage {stage} used more than its {memory} GiB; raise pods.{stage}.memory ({words})"
        )
    return ended.code, words


def _tell(
    store: Store,
    task: Task,
    code: int,
    words: str,
    seconds: float,
    tracked: StageRun,
    environ: Mapping[str, str],
) -> None:
    """Tell tracking how the attempt ended."""
    status: Status = "done" if code == 0 else "killed" if code in KILLED else "failed"
    metrics = {"duration_seconds": seconds, "gpu_seconds": seconds * int(environ.get("RLGEN_GPUS") or 0)}
    manifest: Manifest | None = None
    if code == 0:
        try:
            manifest = store.manifest(task.address)
        except TryAgainError as error:
            print(f"tracking: without the list of files: {error}", file=sys.stderr, flush=True)
    tracked.finish(status, manifest, metrics, words)


def _show(store: Store, address: str, environ: Mapping[str, str]) -> None:
    """Copy the result to where Argo takes what a person looks at. The result is published, so nothing here fails it."""
    try:
        with TemporaryDirectory(dir=environ.get("RLGEN_SCRATCH")) as scratch:
            shutil.copytree(store.fetch(address, Path(scratch)), environ["RLGEN_ARTIFACTS"], dirs_exist_ok=True)
    except (OSError, TryAgainError, UserError) as error:
        print(f"no artifacts to look at: {error}", file=sys.stderr, flush=True)
