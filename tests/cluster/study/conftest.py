"""The tiny study, submitted once for all tests that look at what came of it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.runners.argo.api import connect
from rlgen_k8s.runners.argo.platform import read_platform
from rlgen_k8s.runners.argo.status import attempts
from rlgen_k8s.store.manifest import MANIFEST
from rlgen_k8s.study.load import load_study

MADE_HERE = (
    "problems",
    "corpus",
    "harvest-base",
    "crosscoder-joint",
    "analyse",
    "intervene-rl",
    "intervene-base",
    "report",
)
"""Not taken from a study that ran on this machine, where there is one: a task of each stage that a rehearsal does not
run on the cluster (it takes the tiny study's results in its turn), and what a person looks at."""
MOVING = ("model", "traces", "sft", "grpo", "crosscoder", "stream", "evaluate", "intervene")
"""Stages that say how far they are for long enough that Argo hears it before they end."""
PATIENCE = 40 * 60


@dataclass(frozen=True)
class Submitted:
    """A workflow that has ended, and the tasks whose results were there before it began."""

    name: str
    workflow: dict[str, Any]
    hits: tuple[str, ...]
    watched: str
    """What following it printed."""


def put_shared_results(folder: Path, store) -> None:
    """Upload what the store in `folder` has of the tiny study's results, manifests last."""
    for node in plan(load_study("tiny")):
        if node.name in MADE_HERE or not (folder / node.address / MANIFEST).is_file():
            continue
        files = [path for path in (folder / node.address).rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path.name == MANIFEST):
            name = f"{store.blobs.prefix}/{path.relative_to(folder)}"
            store.blobs.client.fput_object(store.blobs.bucket, name, str(path))
        assert store.manifest(node.address)


def parent_and_tasks(tracking: MlflowClient, workflow: dict[str, Any]) -> tuple[Run, dict[str, Run]]:
    """MLflow's run of a submission, and those of its tasks, the newest of each."""
    study, submission = (workflow["metadata"]["labels"][f"rlgen-k8s/{name}"] for name in ("study", "submission"))
    experiment = tracking.get_experiment_by_name(study).experiment_id
    (parent,) = tracking.search_runs([experiment], f"tags.`rlgen.submission` = '{submission}'")
    ours = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    runs = tracking.search_runs([experiment], ours, order_by=["attributes.start_time"])
    return parent, {run.data.tags["rlgen.task"]: run for run in runs}


def outputs_of(cluster, workflow: dict[str, Any], task: str) -> str:
    """Address at Argo's server of what a task shows."""
    (made,) = attempts(workflow, task)
    server = read_platform(connect(cluster.namespace)).argo_ui.rstrip("/")
    return f"{server}/artifact-files/{cluster.namespace}/workflows/{workflow['metadata']['name']}/{made['id']}/outputs"


def page(address: str) -> str:
    """What a browser would get."""
    with urlopen(address, timeout=30) as answer:
        return str(answer.read().decode())


@pytest.fixture(scope="session")
def submitted(cluster) -> Submitted:
    """The README's `make submit WF=tiny` and `make watch`, to its end."""
    shared = os.environ.get("RLGEN_SHARED_STUDY")
    if shared:
        put_shared_results(Path(shared) / ".rlgen/store", cluster.store)
    hits = tuple(node.name for node in plan(load_study("tiny")) if cluster.store.manifest(node.address))
    name = cluster.created(cluster.make("submit", "WF=tiny"))
    watched = cluster.make("watch", f"NAME={name}", timeout=PATIENCE)
    print(watched)
    return Submitted(name, cluster.workflow(name), hits, watched)
