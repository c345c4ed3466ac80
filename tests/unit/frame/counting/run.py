"""Counts, a resume point after each number; its result does not depend on how often it was interrupted."""

import ctypes
import subprocess
import time

from rlgen_k8s.stages.counting.settings import CountingSettings

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.stages.contract import Context


def run(context: Context[CountingSettings]) -> None:
    settings = context.settings
    point = context.resume.newest()
    lines = (point.path / "lines").read_text().splitlines() if point else []
    print(f"going on from step {len(lines)}", flush=True)
    if settings.helper:
        helper = subprocess.Popen(["sleep", "300"])
        print(f"helper {helper.pid}", flush=True)
    for step in range(len(lines), settings.steps):
        time.sleep(settings.pause)
        lines.append(f"{step} {sorted(context.inputs)}")
        state = context.scratch / f"state-{step}"
        state.mkdir()
        (state / "lines").write_text("\n".join(lines))
        if settings.state_size:
            with (state / "large.bin").open("wb") as sparse:
                sparse.truncate(settings.state_size)
        context.resume.save(step + 1, state)
        context.progress(step + 1, settings.steps)
        context.metrics({"step": float(step)}, step)
    if settings.ending == "user":
        raise UserError("problems.parquet: column answer is missing; expected problem, answer")
    if settings.ending == "try-again":
        raise TryAgainError("the hub did not answer")
    if settings.ending == "hang":
        hang()
    while settings.ending == "stuck":
        context.progress(settings.steps, settings.steps)
        time.sleep(0.05)
    if settings.ending == "crash":
        raise RuntimeError("a bug")
    if settings.size:
        (context.out / "large.bin").write_bytes(bytes(settings.size))
    (context.out / "lines").write_text("\n".join(lines))
    for name, folder in context.inputs.items():
        (context.out / f"{name}.listing").write_text(" ".join(sorted(path.name for path in folder.iterdir())))


def hang() -> None:
    """Wait for ever in native code that holds the interpreter's lock and hears no signal: for a mutex we hold."""
    library, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    print("hanging", flush=True)
    for _ in range(2):
        library.pthread_mutex_lock(mutex)
