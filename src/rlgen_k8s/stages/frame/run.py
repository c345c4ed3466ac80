"""One task from command line to published result."""

from collections.abc import Mapping
from pathlib import Path

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.frame.ending import TerminatedError, no_room, stop_descendants
from rlgen_k8s.stages.frame.progress import Progress
from rlgen_k8s.stages.frame.resume import StoredResume
from rlgen_k8s.stages.frame.scratch import scratch_folder
from rlgen_k8s.stages.frame.task import Task
from rlgen_k8s.stages.settings import StageSettings
from rlgen_k8s.store.manifest import Manifest
from rlgen_k8s.store.open import open_store
from rlgen_k8s.store.results import Store
from rlgen_k8s.tracking.stage_run import open_stage_run


def run_task(task: Task, environ: Mapping[str, str]) -> None:
    """Make the task's result unless it is in the store already.

    Reads `RLGEN_STORE`, `RLGEN_SCRATCH` and `ARGO_PROGRESS_FILE`, and what tracking reads.
    """
    if not environ.get("RLGEN_STORE"):
        raise UserError("RLGEN_STORE: not set; expected a folder or s3://bucket/prefix")
    store = open_store(environ["RLGEN_STORE"], environ)
    progress = Progress(Path(environ["ARGO_PROGRESS_FILE"]) if environ.get("ARGO_PROGRESS_FILE") else None)
    if store.manifest(task.address) is not None:
        print(f"{task.name}: hit, {task.address} is in the store", flush=True)
        progress(1, 1)
        return
    with scratch_folder(environ) as scratch:
        inputs = {
            name: store.fetch(reference, scratch / "inputs" / name) for name, reference in task.identity.inputs.items()
        }
        manifest = _attempt(task, store, inputs, scratch, progress, environ)
    print(f"{task.name}: {task.address} published, {len(manifest.files)} files, {manifest.size} bytes", flush=True)


def _attempt(
    task: Task,
    store: Store,
    inputs: Mapping[str, Path],
    scratch: Path,
    progress: Progress,
    environ: Mapping[str, str],
) -> Manifest:
    """Run the stage once, publish, and tell tracking how it went."""
    attempt = store.open_attempt(task.address, scratch)
    print(f"{task.name}: {task.address}, attempt {attempt.id}", flush=True)
    identity = task.identity
    tracked = open_stage_run(task.name, identity.stage, identity.key, identity.settings, identity.inputs, environ)
    resume = StoredResume(store, task.address, attempt.id, scratch)
    # A folder of its own: what is left here of inputs and downloads is none of the stage's business.
    (scratch / "work").mkdir()
    context = Context(
        settings=task.settings,
        inputs=inputs,
        out=attempt.out,
        scratch=scratch / "work",
        resume=resume,
        progress=progress,
        metrics=tracked.log,
    )
    try:
        _run_stage(task, context)
        manifest = store.publish(attempt, identity)
    except BaseException as error:
        tracked.finish("killed" if isinstance(error, TerminatedError) else "failed")
        raise
    finally:
        progress.flush()
        stop_descendants()
        store.close(attempt)
    resume.clear()
    tracked.finish("done", manifest)
    return manifest


def _run_stage(task: Task, context: Context[StageSettings]) -> None:
    try:
        task.stage.load()(context)
    except (UserError, TryAgainError):
        raise
    except Exception as error:
        if (known := no_room(error, context.out, context.scratch)) is None:
            raise
        raise known from error
