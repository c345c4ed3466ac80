"""Passwords and tokens are in Secret objects and nowhere else: all that a submission leaves is searched for them."""

import base64
import json
import subprocess
from typing import Any

import pytest

from rlgen_k8s.store.s3 import S3Blobs

pytestmark = pytest.mark.timeout(400)
SECRETS = {
    "rlgen-store": ("secret-key",),
    "rlgen-minio": ("root-password",),
    "rlgen-postgres": ("password", "uri"),
    "rlgen-executor.service-account-token": ("token",),
}
LARGEST_OBJECT = 2**20
"""Bytes: results hold larger files, of weights and rows."""


@pytest.fixture(scope="module")
def hidden(cluster: Any) -> dict[str, str]:
    """What must not be found, as it is and as Kubernetes writes it down, by where it belongs."""
    values = {}
    for name, keys in SECRETS.items():
        data = cluster.core.read_namespaced_secret(name, cluster.namespace).data
        for key in keys:
            values[f"{name}/{key}"] = base64.b64decode(data[key]).decode().strip()
            values[f"{name}/{key} in base64"] = data[key].rstrip("=")
    assert all(len(value) >= 16 for value in values.values())
    return values


def found(hidden: dict[str, str], texts: dict[str, str]) -> list[str]:
    return [f"{name} in {where}" for where, text in texts.items() for name, value in hidden.items() if value in text]


@pytest.fixture(scope="module")
def over(cluster: Any, stage: Any) -> Any:
    """The submission when its workflow has ended, with all that it leaves."""
    cluster.rlgen("stop", stage.workflow)
    return cluster.end(stage.workflow, 240)


def test_given_a_submission_then_no_object_of_kubernetes_but_secrets_holds_one(cluster, over, hidden):
    kinds = "pods,configmaps,events,workflows,workflowtaskresults,statefulsets,deployments,jobs,serviceaccounts,pvc"
    command = ["kubectl", "get", kinds, f"--namespace={cluster.namespace}", "--output=json"]
    said = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, check=True).stdout
    objects = json.loads(said)["items"]
    name = over["metadata"]["name"]
    assert name in {one["metadata"]["name"] for one in objects if one["kind"] == "Workflow"}

    texts = {f"{one['kind']} {one['metadata']['name']}": json.dumps(one) for one in objects}

    assert found({"the search": name}, texts), "what is there is found"
    assert found(hidden, texts) == []


def test_given_a_submission_then_no_log_holds_one(cluster, over, hidden):
    texts = {}
    for pod in cluster.core.list_namespaced_pod(cluster.namespace).items:
        statuses = [*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())]
        for container in (one.name for one in statuses if one.state.running or one.state.terminated):
            log = cluster.core.read_namespaced_pod_log(pod.metadata.name, cluster.namespace, container=container)
            texts[f"log of {pod.metadata.name}/{container}"] = str(log)

    assert any("/main" in where for where in texts) and any("/wait" in where for where in texts)
    assert found({"the search": over["metadata"]["name"]}, texts), "what is there is found"
    assert found(hidden, texts) == []


def test_given_a_submission_then_nothing_in_the_store_holds_one(cluster, over, hidden):
    blobs = cluster.store.blobs
    assert isinstance(blobs, S3Blobs)
    texts = {}
    for entry in blobs.client.list_objects(blobs.bucket, recursive=True):
        if entry.size <= LARGEST_OBJECT and entry.last_modified.isoformat() >= over["metadata"]["creationTimestamp"]:
            with blobs.client.get_object(blobs.bucket, entry.object_name) as answer:
                texts[entry.object_name] = answer.read().decode(errors="replace")

    assert any(where.endswith("manifest.json") for where in texts), "manifests"
    assert any(where.startswith("argo/") and where.endswith(".log") for where in texts), "archived logs"
    assert found({"the search": blobs.bucket}, {where: where + text for where, text in texts.items()})
    assert found(hidden, texts) == []


def test_given_a_submission_then_mlflow_does_not_hold_one(cluster, tracking, over, hidden):
    submission = over["metadata"]["labels"]["rlgen-k8s/submission"]
    experiments = [one.experiment_id for one in tracking.search_experiments()]
    runs = tracking.search_runs(experiments, f"attributes.start_time >= {began(over)}", max_results=1000)

    texts = {f"run {run.info.run_id}": json.dumps(run.to_dictionary()) for run in runs}

    assert found({"the search": submission}, texts), "what is there is found"
    assert found(hidden, texts) == []


def began(workflow: Any) -> int:
    from datetime import datetime

    return int(1000 * datetime.fromisoformat(workflow["metadata"]["creationTimestamp"]).timestamp())


def test_given_a_submission_then_no_command_prints_one(cluster, over, hidden):
    name = over["metadata"]["name"]

    texts = {
        "render": cluster.rlgen("render", "tiny"),
        "doctor": cluster.rlgen("doctor", "tiny", code=None),
        "watch": cluster.rlgen("watch", name, code=None),
        "logs": cluster.rlgen("logs", "mirror", name),
    }

    assert "secretKeyRef" in texts["render"]
    assert all(texts.values())
    assert found(hidden, texts) == []
