"""An attempt at a stage, as MLflow will see it. Imports no MLflow: it writes to the spool and never waits for MLflow.

The frame around a stage does

    run = open_stage_run(task=…, stage=…, key=…, settings=…, inputs={name: address}, environ=os.environ)
    os.environ.update(run.env())          # for trainers that log by themselves (sft, grpo)
    run.log({"loss": 1.2}, step)          # Context.metrics
    run.finish("done", manifest)          # or "failed", "killed" without a manifest

`RLGEN_SUBMISSION` names the submission that the attempt belongs to; without it nothing is tracked.
`RLGEN_ATTEMPT` is the attempt's number (default 1).
"""

import json
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlgen_k8s.store.manifest import Manifest
from rlgen_k8s.tracking.events import Finished, Logged, StageOpened, Status
from rlgen_k8s.tracking.places import spool_folder
from rlgen_k8s.tracking.spool import Writer

OWN_CURVES = ("sft", "grpo")
"""Stages whose trainers (LLaMA-Factory, verl) log to MLflow by themselves."""
WAIT_FOR_RELAY_S = 30.0


@dataclass(frozen=True)
class StageRun:
    """One attempt at a stage. Without a writer (tracking is off) every method does nothing."""

    writer: Writer | None
    own_curves: bool

    def env(self) -> dict[str, str]:
        """`MLFLOW_TRACKING_URI` and `MLFLOW_RUN_ID` for a trainer that logs by itself; empty for other stages.

        They point to this attempt's relay, a SQLite file whose content the recorder carries to the run in MLflow, so
        an MLflow that goes down cannot fail the trainer. Waits for the recorder to make it; empty if it does not.
        """
        if self.writer is None or not self.own_curves:
            return {}
        ready = self.writer.folder / f"{self.writer.name}.relay.json"
        deadline = time.monotonic() + WAIT_FOR_RELAY_S
        while not ready.exists():
            if time.monotonic() > deadline:
                print(f"tracking: no recorder answered in {WAIT_FOR_RELAY_S:.0f} s; the trainer's curves are not kept")
                return {}
            time.sleep(0.1)
        environment: dict[str, str] = json.loads(ready.read_text())
        return environment

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
        return StageRun(None, False)
    own_curves = stage in OWN_CURVES
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
        own_curves=own_curves,
    )
    return StageRun(writer, own_curves)
