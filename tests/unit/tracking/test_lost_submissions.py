"""A submission whose workflow somebody deleted: its exit handler never ran, so the next submission's ends it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from kubernetes.client import ApiClient, Configuration
from mlflow.entities import Run

from rlgen_k8s.runners.argo.api import Cluster
from rlgen_k8s.runners.argo.lost import close_lost
from rlgen_k8s.runners.argo.platform import parse_platform
from rlgen_k8s.store.folder import FolderBlobs
from rlgen_k8s.store.results import Store
from rlgen_k8s.tracking.close import close
from rlgen_k8s.tracking.compare import compare
from rlgen_k8s.tracking.events import Node
from rlgen_k8s.tracking.mlflow_store import connect, find_runs
from rlgen_k8s.tracking.places import spool_folder, tracking_uri
from rlgen_k8s.tracking.replay import send
from rlgen_k8s.tracking.stage_run import open_stage_run
from rlgen_k8s.tracking.submission import PLATFORM, WORKFLOW, announce_submission

DELETED, RUNNING, ELSEWHERE, NEXT = (f"small-20260131-12000{number}" for number in range(4))
LABELS = {"rlgen-k8s/study": "small", "rlgen-k8s/submission": RUNNING}
KEYS = ("store", "tracking", "image", "service-account", "executor-service-account", "store-secret")
Environ = dict[str, str]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """An API server with one workflow: that of the submission RUNNING."""
    listed = {
        "items": [{"metadata": {"name": "small-1", "labels": LABELS, "creationTimestamp": "2026-01-31T12:00:00Z"}}]
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path.startswith("/apis/argoproj.io/v1alpha1/namespaces/rlgen/workflows?")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(listed).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Cluster(ApiClient(Configuration(host=f"http://127.0.0.1:{server.server_port}")), "test", "rlgen")
    server.shutdown()
    server.server_close()


def pod(environ: Environ, root: Path, submission: str) -> Environ:
    """A pod of a submission, with a home of its own."""
    return {
        "RLGEN_HOME": str(root / submission),
        "RLGEN_STORE": str(root / "store"),
        "RLGEN_SUBMISSION": submission,
        "MLFLOW_TRACKING_URI": tracking_uri(environ),
        "RLGEN_POD": f"pod-of-{submission}",
    }


def test_the_next_submission_ends_one_whose_workflow_was_deleted_and_no_other(
    cluster: Cluster, environ: Environ, tmp_path: Path
) -> None:
    store = Store(FolderBlobs(tmp_path / "store"))
    tracking = connect(tracking_uri(environ), spool_folder(environ), store)
    at_work = []  # a run that nobody holds any more is told as killed by who reads its spool
    for submission, uid in ((DELETED, "here"), (RUNNING, "here"), (ELSEWHERE, "elsewhere")):
        inside = pod(environ, tmp_path, submission)
        tags = {PLATFORM: uid, WORKFLOW: f"workflow-{submission[-1]}"}
        nodes = [Node(task="sft", address="sft/" + "cd" * 16, verdict="run")]
        announce_submission(submission, "small", {"seed": int(submission[-1])}, nodes, store, tags)
        at_work.append(open_stage_run("sft", "sft", "cd" * 16, {}, {}, inside))
        send(spool_folder(inside), tracking)

    def runs(submission: str) -> list[Run]:
        (parent,) = find_runs(tracking, submission=submission)
        attempts = [
            run for run in find_runs(tracking, task="sft") if run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        ]
        return [parent, *attempts]

    def states(submission: str) -> list[str]:
        return [run.info.status for run in runs(submission)]

    close_lost(cluster, parse_platform(dict.fromkeys(KEYS, "x"), "rlgen", "here"), store)
    assert states(DELETED) == ["RUNNING", "RUNNING"], "it is only said that it is over, as MLflow may be away"
    assert close("done", pod(environ, tmp_path, NEXT), wait=0)

    assert states(DELETED) == ["KILLED", "KILLED"]
    assert states(RUNNING) == states(ELSEWHERE) == ["RUNNING", "RUNNING"]
    assert set(store.blobs.children("_tracking")) == {RUNNING, ELSEWHERE}
    seeds = [(one.name, one.a, one.b) for one in compare("workflow-0", "workflow-1", environ).settings]
    assert seeds == [("seed", "0", "1")], "a submission is known by its workflow's name"
    assert len(at_work) == 3
