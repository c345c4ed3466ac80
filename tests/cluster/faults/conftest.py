"""Given a training on the cluster, when it is hurt, then it ends as if nothing had happened."""

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from kubernetes import client
from mlflow import MlflowClient

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.study.load import load_study

TASK = "base"
SOON = 240
# A mirror of seconds, and a model that shows its work at once: half a minute of training, a resume point a second.
SMALL_MIRROR = {
    "problems": 20,
    "math500": 20,
    "questions": 20,
    "conversations": 20,
    "pages": 20,
    "pretraining": 2000,
    "teaching": 20,
}
SMALL_MODEL = {"layers": 2, "width": 32, "batch": 8, "steps": 800}
WORKLOAD = [f"mirror.{name}={value}" for name, value in SMALL_MIRROR.items()] + [
    *(f"base.{name}={value}" for name, value in SMALL_MODEL.items()),
    "pods.mirror.cpu=0.2",
    "pods.model.cpu=0.2",
]
# Everything in the container but what Argo put there, which passes the end on.
KILL_ALL = ("sh", "-c", "kill -KILL -1")
# The stage's own process, under the one that watches it.
STOP_STAGE = """
import os, signal
from pathlib import Path
parents = {}
for stat in Path("/proc").glob("[0-9]*/stat"):
    number, _, rest = stat.read_text().partition(" (")
    parents[int(number)] = int(rest.rpartition(") ")[2].split()[1])
[above] = [number for number, parent in parents.items() if parent == 1]
for number, parent in parents.items():
    if parent == above:
        os.kill(number, signal.SIGSTOP)
"""


@dataclass
class Training:
    """A workflow that trains a small model, and the pods that it had."""

    cluster: Any
    tracking: MlflowClient
    settings: tuple[str, ...]
    name: str
    address: str
    pods: list[str] = field(default_factory=list)

    def under_way(self) -> str:
        """The pod of the next attempt, once that has kept a resume point."""
        pod = self.cluster.pod(self.name, TASK, SOON, after=self.pods)
        self.pods.append(pod)
        blobs = self.cluster.store.blobs
        kept = f"{blobs.prefix}/{self.address}/resume/"
        # Each event is a point's manifest, so the point is whole; the answer also ends every 10 s without one.
        with blobs.client.listen_bucket_notification(
            blobs.bucket, kept, "manifest.json", ("s3:ObjectCreated:*",)
        ) as news:
            next(iter(news))
        return pod

    def end(self) -> dict[str, Any]:
        """The workflow's state at its end."""
        ended = self.cluster.end(self.name, SOON)
        assert ended["status"]["phase"] == "Succeeded", json.dumps(ended["status"])[:4000]
        return ended["status"]

    def messages(self) -> list[str]:
        """What Argo says of each attempt."""
        return [attempt.get("message", "") for attempt in self.cluster.attempts(self.name, TASK)]

    def log(self, pod: str) -> str:
        """What the stage has written in this pod."""
        return str(self.cluster.core.read_namespaced_pod_log(pod, self.cluster.namespace, container="main"))

    def files(self) -> dict[str, str]:
        """SHA-256 of each published file, by its path; checked against what is in the store."""
        manifest = self.cluster.store.manifest(self.address)
        assert manifest is not None, f"{self.address}: not published"
        return {entry.path: entry.sha256 for entry in manifest.files}

    def runs(self) -> list[Any]:
        """MLflow's runs of the attempts, oldest first."""
        experiment = self.tracking.get_experiment_by_name("tiny")
        query = f"tags.`rlgen.address` = '{self.address}'"
        found = self.tracking.search_runs([experiment.experiment_id], query, order_by=["attributes.start_time ASC"])
        return list(found)

    def submission(self) -> Any:
        """MLflow's run of the submission."""
        return self.tracking.get_run(self.runs()[-1].data.tags["mlflow.parentRunId"])


class Given:
    """Trainings that differ in their resume points only: other keys, the same model."""

    def __init__(self, cluster: Any, tracking: MlflowClient) -> None:
        self.cluster, self.tracking = cluster, tracking
        self.seed = secrets.randbelow(10**9)
        self.resume_steps = 20

    def settings(self, *more: str) -> tuple[str, ...]:
        self.resume_steps += 1
        return (*WORKLOAD, f"base.seed={self.seed}", f"base.resume_steps={self.resume_steps}", *more)

    def training(self, *more: str) -> Training:
        """A training just submitted. Argo's waits between attempts are cut short."""
        return self.submitted(self.settings(*more))

    def submitted(self, settings: tuple[str, ...]) -> Training:
        """The training of these settings, submitted (again)."""
        name = self.cluster.submit(*settings, until=(TASK,))
        templates = self.cluster.workflow(name)["spec"]["templates"]
        [number] = [number for number, template in enumerate(templates) if template["name"] == "model"]
        path = f"/spec/templates/{number}/retryStrategy/backoff"
        self.cluster.custom.patch_namespaced_custom_object(
            *self.cluster.workflows, name, [{"op": "replace", "path": path, "value": {"duration": "1"}}]
        )
        return self.adopted(name, settings)

    def adopted(self, name: str, settings: tuple[str, ...]) -> Training:
        """The training of these settings that the workflow `name` is."""
        [node] = [node for node in plan(load_study("tiny", list(settings))) if node.name == TASK]
        return Training(self.cluster, self.tracking, settings, name, node.address)

    def copied(self, training: Training) -> Training:
        """A second workflow that is the first but for its name."""
        first = self.cluster.workflow(training.name)
        kept = {name: first["metadata"][name] for name in ("labels", "annotations")}
        second = {**first, "metadata": {**kept, "name": f"{training.name}-copy"}}
        del second["status"]
        for label in ("workflows.argoproj.io/phase", "workflows.argoproj.io/completed"):
            kept["labels"].pop(label, None)
        self.cluster.custom.create_namespaced_custom_object(*self.cluster.workflows, second)
        return self.adopted(second["metadata"]["name"], training.settings)


class When:
    """What happens to a pod, to the node, to the controller."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster

    def killed(self, pod: str) -> None:
        """SIGKILL for all processes of the stage."""
        self.cluster.execute(pod, *KILL_ALL, code=None)

    def hangs(self, pod: str) -> None:
        """The stage's process stands still, as one that waits in native code for what never comes."""
        self.cluster.execute(pod, "python", "-c", STOP_STAGE)

    def deleted(self, pod: str, grace: int) -> None:
        """SIGTERM, and SIGKILL `grace` seconds later; with 0 both the pod and its name are gone at once."""
        self.cluster.core.delete_namespaced_pod(pod, self.cluster.namespace, grace_period_seconds=grace)

    def evicted(self, pod: str) -> None:
        """As a descheduler or a node's upgrade does."""
        body = client.V1Eviction(metadata=client.V1ObjectMeta(name=pod, namespace=self.cluster.namespace))
        self.cluster.core.create_namespaced_pod_eviction(pod, self.cluster.namespace, body)

    @contextmanager
    def drained(self, pod: str) -> Iterator[None]:
        """The pod's node without workflows' pods, and closed to new ones for the block."""
        node = self.cluster.core.read_namespaced_pod(pod, self.cluster.namespace).spec.node_name
        try:
            self._kubectl(
                *("drain", node, "--pod-selector=workflows.argoproj.io/workflow", "--ignore-daemonsets", "--force"),
                *("--delete-emptydir-data", "--timeout=120s"),
            )
            yield
        finally:
            self._kubectl("uncordon", node)

    def controller_killed(self) -> None:
        """Argo's controller, gone without a word."""
        labels = "app.kubernetes.io/component=argo-controller"
        [pod] = self.cluster.core.list_namespaced_pod(self.cluster.namespace, label_selector=labels).items
        self.deleted(pod.metadata.name, 0)

    def workflow_deleted(self, name: str) -> None:
        """The workflow, and with it its pods."""
        self._kubectl("delete", "workflow", name, "--wait=false")

    def _kubectl(self, *arguments: str) -> None:
        done = subprocess.run(
            ["kubectl", "--namespace", self.cluster.namespace, *arguments],
            env=self.cluster.environment,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"


class Then:
    """What has to be so at the end of every fault."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster

    def goes_on(self, training: Training, saying: str) -> str:
        """A new attempt has taken the last one's work up, and Argo says of the last one what happened to it."""
        lost = training.pods[-1]
        pod = training.under_way()
        assert pod != lost
        assert f"{training.address}: going on from step" in (log := training.log(pod)), log
        message = training.messages()[len(training.pods) - 2]
        assert saying in message, f"{message!r}"
        return pod

    def overlapped(self, first: Training, second: Training) -> None:
        """Both trainings had a pod at the same time, one each."""
        [one], [other] = (self.cluster.attempts(training.name, TASK) for training in (first, second))
        assert one["startedAt"] < other["finishedAt"]
        assert other["startedAt"] < one["finishedAt"]

    def published_once(self, training: Training) -> None:
        """The store has the files of the attempt that won, whole, and of the others nothing."""
        store, address = self.cluster.store, training.address
        manifest = store.manifest(address)
        assert manifest is not None, f"{address}: not published"
        assert store.blobs.children(f"{address}/attempts") == [manifest.attempt]
        assert set(store.blobs.children(address)) == {"attempts", "manifest.json"}

    def same_model(self, training: Training, undisturbed: Training) -> None:
        """Bit for bit what a training makes that nothing happened to."""
        assert training.address != undisturbed.address
        assert training.files() == undisturbed.files()

    def tracked(self, training: Training, *states: str) -> None:
        """MLflow's runs of the attempts, oldest first, and none that still runs."""
        assert [run.info.status for run in training.runs()] == list(states)
        assert training.submission().info.status == "FINISHED"


@pytest.fixture(scope="session")
def given(cluster: Any, tracking: MlflowClient) -> Given:
    return Given(cluster, tracking)


@pytest.fixture(scope="session")
def when(cluster: Any) -> When:
    return When(cluster)


@pytest.fixture(scope="session")
def then(cluster: Any) -> Then:
    return Then(cluster)


@pytest.fixture(scope="session")
def undisturbed(given: Given) -> Callable[[], Training]:
    """A training that nothing happens to, submitted now and awaited when called."""
    training = given.training()

    def awaited() -> Training:
        training.end()
        return training

    return awaited
