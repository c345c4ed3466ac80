"""An attempt at a stage, as MLflow will see it. Imports no MLflow: it writes to the spool and never waits for MLflow.

The frame around a stage does

    run = open_stage_run(task=…, stage=…, key=…, settings=…, inputs={name: address}, environ=os.environ)
    run.log({"loss": 1.2}, step)          # Context.metrics
    run.finish("done", manifest)          # or "failed", "killed" without a manifest

`RLGEN_SUBMISSION` names the submission that the attempt belongs to; without it nothing is tracked.
`RLGEN_ATTEMPT` is the attempt's number (default 1); `RLGEN_POD`, `RLGEN_NODE` and `RLGEN_IMAGE` say where it runs.
"""

import socket
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlgen_k8s.store.manifest import Manifest
from rlgen_k8s.tracking.events import Logged, StageOpened, Status
from rlgen_k8s.tracking.places import spool_folder
from rlgen_k8s.tracking.spool import Writer

PLACES = {"rlgen.pod": "RLGEN_POD", "rlgen.node": "RLGEN_NODE", "rlgen.image": "RLGEN_IMAGE"}


@dataclass
class StageRun:
    """One attempt at a stage. Without a writer (tracking is off, or its disk is full) every method does nothing."""

    writer: Writer | None

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Points on curves at `step`, or final figures (step None)."""
        if self.writer is not None:
            try:
                self.writer.write(Logged, metrics={name: float(value) for name, value in metrics.items()}, step=step)
            except OSError as error:
                self._give_up(error)

    def finish(
        self,
        status: Status,
        manifest: Manifest | None = None,
        metrics: Mapping[str, float] | None = None,
        message: str = "",
    ) -> None:
        """End the attempt, with the manifest of the result if it is done, and figures about the attempt itself."""
        if self.writer is not None:
            files = tuple(entry.path for entry in manifest.files) if manifest else ()
            try:
                self.writer.finish(status, files=files, metrics=dict(metrics or {}), message=message)
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        _say_off(error)
        self.writer = None


def open_stage_run(
    task: str,
    stage: str,
    key: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    environ: Mapping[str, str],
) -> StageRun:
    """Begin to track an attempt at `stage` with result `key`, for the DAG's `task`.

    `settings` is plain JSON; `inputs` gives an address (`stage/key` or `stage/key/sub/path`) by name.
    """
    submission = environ.get("RLGEN_SUBMISSION")
    if not submission:
        return StageRun(None)
    places = {tag: environ[name] for tag, name in PLACES.items() if environ.get(name)}
    try:
        writer = Writer(spool_folder(environ), f"{submission}+{task}+{uuid.uuid4().hex[:8]}")
        writer.write(
            StageOpened,
            submission=submission,
            task=task,
            stage=stage,
            key=key,
            settings=dict(settings),
            inputs=dict(inputs),
            tags={"rlgen.attempt": environ.get("RLGEN_ATTEMPT", "1"), "rlgen.host": socket.gethostname(), **places},
        )
    except OSError as error:
        _say_off(error)
        return StageRun(None)
    return StageRun(writer)


def _say_off(error: OSError) -> None:
    print(f"tracking is off: {error}; set RLGEN_HOME to a folder that can be written", file=sys.stderr, flush=True)
