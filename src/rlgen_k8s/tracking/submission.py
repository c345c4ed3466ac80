"""A submission, as MLflow will see it: the parent of its stages' runs. Imports no MLflow: it writes to the spool."""

import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rlgen_k8s.errors import UserError
from rlgen_k8s.store.results import Store
from rlgen_k8s.tracking import handover
from rlgen_k8s.tracking.events import Node, Status, SubmissionOpened
from rlgen_k8s.tracking.places import spool_folder
from rlgen_k8s.tracking.spool import Writer, now_ms

PLATFORM = "rlgen.platform"
"""Tag of a submission: the platform that it was submitted to."""
WORKFLOW = "rlgen.workflow"
"""Tag of a submission: its workflow's name there."""


@dataclass(frozen=True)
class Submission:
    """An open submission. `id` (`<study>-<date>-<time>`) goes to the stages as `RLGEN_SUBMISSION`."""

    id: str
    writer: Writer

    def finish(self, status: Status) -> None:
        """End the submission."""
        self.writer.finish(status)


def submission_id(study: str) -> str:
    """A new id: `<study>-<date>-<time>`, the time with milliseconds."""
    return f"{study}-{datetime.now():%Y%m%d-%H%M%S%f}"[:-3]


def announce_submission(
    identity: str,
    study: str,
    settings: Mapping[str, Any],
    nodes: Sequence[Node],
    store: Store,
    tags: Mapping[str, str],
) -> None:
    """Say in the store what is submitted to a cluster; its pods tell MLflow, and its exit handler ends it there.

    The tag `PLATFORM` tells the clusters apart that share a store.
    """
    described = _described(identity, study, settings, nodes)
    described["tags"] |= tags
    event = SubmissionOpened(id=f"{identity}:0", at=now_ms(), **described)
    handover.announce(store, identity, event)


def open_submission(
    study: str, settings: Mapping[str, Any], nodes: Sequence[Node], environ: Mapping[str, str]
) -> Submission:
    """Begin to track a submission of `study` with these settings (plain JSON, nested) and this plan.

    Raises UserError if the spool cannot be written.
    """
    folder = spool_folder(environ)
    identity = submission_id(study)
    try:
        writer = Writer(folder, identity)
    except OSError as error:
        raise UserError(f"folder {folder}: cannot be written ({error.strerror}); set RLGEN_HOME elsewhere") from error
    writer.write(SubmissionOpened, **_described(identity, study, settings, nodes))
    return Submission(identity, writer)


def _described(identity: str, study: str, settings: Mapping[str, Any], nodes: Sequence[Node]) -> dict[str, Any]:
    return {
        "submission": identity,
        "study": study,
        "settings": dict(settings),
        "nodes": tuple(nodes),
        "tags": {"rlgen.host": socket.gethostname(), **_commit()},
    }


def study_of(submission: str) -> str:
    """The study's name in a submission's id."""
    return submission.rsplit("-", 2)[0]


def _commit() -> dict[str, str]:
    """The git commit of the working folder, as MLflow's own tag; nothing outside a repository."""
    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path.cwd(), capture_output=True, text=True, check=False, timeout=5
    )
    return {"mlflow.source.git.commit": answer.stdout.strip()} if answer.returncode == 0 else {}
