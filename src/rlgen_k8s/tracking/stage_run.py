"""An attempt at a stage, as MLflow will see it. Imports no MLflow: it writes to the spool and never waits for MLflow.

The frame around a stage does

    run = open_stage_run(task=…, stage=…, key=…, settings=…, inputs={name: address}, environ=os.environ)
    run.log({"loss": 1.2}, step)          # Context.metrics
    run.finish("done", manifest)          # or "failed", "killed" without a manifest

`RLGEN_SUBMISSION` names the submission that the attempt belongs to; without it nothing is tracked.
`RLGEN_ATTEMPT` is the attempt's number (default 1).
"""

import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlgen_k8s.store.manifest import Manifest
from rlgen_k8s.tracking.events import Finished, Logged, StageOpened, Status
from rlgen_k8s.tracking.places import spool_folder
from rlgen_k8s.tracking.spool import Writer


@dataclass(frozen=True)
class StageRun:
    """One attempt at a stage. Without a writer (tracking is off) every method does nothing."""

    writer: Writer | None

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Points on curves at `step`, or final figures (step None)."""
        if self.writer is not None:
            self.writer.write(Logged, metrics={name: float(value) for name, value in metrics.items()}, step=step)

    def finish(self, status: Status, manifest: Manifest | None = None) -> None:
        """End the attempt, with the manifest of the result if it is done."""
        if self.writer is not None:
            files = tuple(entry.path for entry in manifest.files) if manifest else ()
            self.writer.write(Finished, status=status, files=files)
            self.writer.close()


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
    writer = Writer(spool_folder(environ), f"{submission}+{task}+{uuid.uuid4().hex[:8]}")
    writer.write(
        StageOpened,
        submission=submission,
        task=task,
        stage=stage,
        key=key,
        settings=dict(settings),
        inputs=dict(inputs),
        tags={"rlgen.attempt": environ.get("RLGEN_ATTEMPT", "1"), "rlgen.host": socket.gethostname()},
    )
    return StageRun(writer)
