"""What Argo says of attempts that failed: some were gone before they, or even their recorders, had said a word.

Argo gives the exit handler a list of what failed (`{{workflow.failures}}`); the store keeps it until MLflow has it.
"""

import json
import re
import sys
from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, Field, TypeAdapter

from rlgen_k8s.store.results import Store
from rlgen_k8s.tracking.events import Finished, StageOpened, SubmissionOpened
from rlgen_k8s.tracking.handover import ROOT
from rlgen_k8s.tracking.mlflow_store import Tracking
from rlgen_k8s.tracking.record import MESSAGE, attempts, close_run, open_run

ATTEMPT = re.compile(r"(?P<task>.+)\((?P<number>\d+)\)")
"""How Argo shows an attempt at a task. Other nodes that failed, as a task with all its attempts, are no pods."""


class Failure(BaseModel):
    """A node of a workflow that failed, as Argo tells it."""

    shown: str = Field(alias="displayName")
    pod: str = Field(alias="podName")
    message: str = ""
    ended: datetime = Field(alias="finishedAt")


FAILURES: TypeAdapter[list[Failure] | None] = TypeAdapter(list[Failure] | None)


def keep_failures(store: Store, submission: str, told: str) -> None:
    """Put what Argo told for `{{workflow.failures}}`, a list as JSON in a quoted string, into the store, if it is one.
    What is there already stays."""
    try:
        listed = FAILURES.validate_json(json.loads(told)) or []
    except ValueError as error:
        print(f"tracking: what failed is not known: {error}", file=sys.stderr, flush=True)
        return
    store.blobs.put_new(_name(submission), FAILURES.dump_json(listed, by_alias=True))


def kept_failures(store: Store, submission: str) -> list[Failure]:
    """What was put there."""
    return FAILURES.validate_json(store.blobs.read(_name(submission)) or b"null") or []


def _name(submission: str) -> str:
    return f"{ROOT}/{submission}/failures.json"


def record_failures(tracking: Tracking, parent: str, announced: SubmissionOpened, failures: Iterable[Failure]) -> None:
    """Argo's words on how an attempt ended for each run below the submission's run `parent` that has none; and a failed
    run for each attempt that has no run, with no length, as nobody saw its beginning."""
    results = {node.task: node.address for node in announced.nodes}
    runs = {run.data.tags.get("rlgen.pod"): run for run in attempts(tracking, parent)}
    for failure in failures:
        attempt = ATTEMPT.fullmatch(failure.shown)
        if attempt is None or attempt["task"] not in results:
            continue
        run = runs.get(failure.pod)
        if run is None:
            _record(tracking, announced.submission, results[attempt["task"]], failure, attempt)
        elif MESSAGE not in run.data.tags and failure.message:
            tracking.client.set_tag(run.info.run_id, MESSAGE, failure.message)


def _record(tracking: Tracking, submission: str, result: str, failure: Failure, attempt: re.Match[str]) -> None:
    (stage, key), at = result.split("/"), int(failure.ended.timestamp() * 1000)
    writer = f"{submission}+{failure.pod}"
    opened = StageOpened(
        id=f"{writer}:0",
        at=at,
        submission=submission,
        task=attempt["task"],
        stage=stage,
        key=key,
        settings={},
        inputs={},
        tags={"rlgen.attempt": str(int(attempt["number"]) + 1), "rlgen.pod": failure.pod},
    )
    open_run(tracking, writer, opened)
    finished = Finished(id=f"{writer}:end", at=at, status="failed", message=failure.message)
    close_run(tracking, tracking.runs[writer], [opened, finished])
