"""The recorder: one process with MLflow loaded, beside the runner, that follows the spool and writes to MLflow.

Stages pay no MLflow import, and nobody waits for an MLflow that is slow or down. The recorder has a session of its own
(Ctrl-C is not for it) and a pipe from the runner as its standard input: when that closes, for whatever reason, kill -9
of the runner included, it sends what is left and ends. What MLflow did not take stays in the spool for the next run.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.tracking import spool
from rlgen_k8s.tracking.places import spool_folder, tracking_uri

POLL_S = 0.5
RETRY_S = 5.0
"""Pause after an MLflow that did not answer."""
NICE = 10
"""The stage, which shares a pod's processor with MLflow's import, comes first."""
LAST_WAIT_S = 20.0
"""How long, at the end, to wait for another recorder that is at work on the same spool."""


@dataclass(frozen=True)
class Recorder:
    """A running recorder."""

    process: subprocess.Popen[bytes]
    folder: Path
    uri: str

    def stop(self, seconds: Callable[[], float] = lambda: 60.0) -> str | None:
        """Let it send what is left, for at most `seconds`, which are asked for again and again: they may get fewer.

        Returns a line for the user if events remain.
        """
        assert self.process.stdin is not None
        self.process.stdin.close()
        began = time.monotonic()
        while self.process.poll() is None:
            if time.monotonic() - began > seconds():
                self.process.kill()
                self.process.wait()
            time.sleep(0.05)
        left = spool.pending(self.folder)
        if not left:
            return None
        return (
            f"MLflow at {self.uri} did not take {left} events: kept in {self.folder}, sent with the next run "
            f"(reason: {self.folder / 'recorder.log'})"
        )


def start_recorder(environ: Mapping[str, str]) -> Recorder:
    """Start the recorder for this environment's MLflow; its output goes to `recorder.log` in the spool folder."""
    folder, uri = spool_folder(environ), tracking_uri(environ)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "recorder.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rlgen_k8s.tracking.recorder", str(folder), uri],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**environ, "OMP_NUM_THREADS": "1"},
        )
    return Recorder(process, folder, uri)


def follow(folder: Path, uri: str, stdin: int) -> int:
    """Follow the spool until `stdin` closes. Returns 0, or 75 if something could not be sent."""
    from mlflow.exceptions import MlflowException

    from rlgen_k8s.store.open import open_store
    from rlgen_k8s.tracking.mlflow_store import connect
    from rlgen_k8s.tracking.replay import send

    tracking, lock = None, None
    retry_at, give_up_at = 0.0, float("inf")
    while True:
        closing = _closed(stdin)
        if closing:
            give_up_at = min(give_up_at, time.monotonic() + LAST_WAIT_S)
        lock = lock or spool.try_lock(folder)
        if lock and (closing or time.monotonic() >= retry_at):
            try:
                if tracking is None:
                    shared = open_store(os.environ["RLGEN_STORE"]) if os.environ.get("RLGEN_POD") else None
                    tracking = connect(uri, folder, shared)
                send(folder, tracking)
            except (MlflowException, TryAgainError, UserError) as error:
                print(f"tracking: MLflow at {uri}: {error}", file=sys.stderr, flush=True)
                retry_at = time.monotonic() + RETRY_S
        if closing and (lock or time.monotonic() > give_up_at):
            return 75 if spool.pending(folder) else 0
        if closing:
            time.sleep(POLL_S)


def _closed(stdin: int) -> bool:
    """Whether the pipe's other end is gone; waits for that for one polling interval."""
    return bool(select.select([stdin], [], [], POLL_S)[0]) and not os.read(stdin, 1)


if __name__ == "__main__":
    os.nice(NICE)
    sys.exit(follow(Path(sys.argv[1]), sys.argv[2], sys.stdin.fileno()))
