"""Given work on the cluster, when it is hurt, then it ends as if nothing had happened."""

import hashlib
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes import client
from mlflow import MlflowClient
from mlflow.entities import Run
from tests.cluster.points import next_point
from tests.cluster.services.conftest import count, platform, prepare
from tests.cluster.services.counting import Counting

from rlgen_k8s.dag.nodes import plan
from rlgen_k8s.study.load import load_study

__all__ = ["count", "platform", "prepare"]
# A mirror of seconds, and a model that shows its work at once.
WORKLOAD = (
    *("mirror.problems=20", "mirror.math500=20", "mirror.questions=20", "mirror.conversations=20", "mirror.pages=20"),
    *("mirror.pretraining=2000", "mirror.teaching=20", "pods.mirror.cpu=0.1", "pods.model.cpu=0.1"),
    *("base.layers=2", "base.width=32", "base.batch=8", "base.steps=300"),
)
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
[stage] = [number for number, parent in parents.items() if parent == above and b"recorder" not in
           Path(f"/proc/{number}/cmdline").read_bytes()]
os.kill(stage, signal.SIGSTOP)
"""


@dataclass
class Work:
    """A task that counts or trains, and the pods that it had."""

    task: Counting
    tracking: MlflowClient
    age: float = 0.0
    """Seconds."""
    pods: list[str] = field(default_factory=list)
    uids: list[str] = field(default_factory=list)
    """Of the pods: a name may come again."""

    def under_way(self) -> str:
        """The pod of the next attempt, once it has kept a resume point at this age, and MLflow knows of it.

        MLflow, which loads beside the stage, never hears of an attempt that is killed before.
        """
        cluster = self.task.cluster
        pod = self.task.pod(after=tuple(self.uids))
        began = cluster.core.read_namespaced_pod(pod, cluster.namespace).metadata.creation_timestamp
        next_point(
            cluster.store.blobs, self.task.address, lambda _: (datetime.now(UTC) - began).total_seconds() > self.age
        )
        self.pods.append(pod)
        self.uids.append(cluster.core.read_namespaced_pod(pod, cluster.namespace).metadata.uid)
        ends = time.monotonic() + 60
        while len(self.runs()) < len(self.pods):  # MLflow tells nobody what is new
            assert time.monotonic() < ends, f"{pod}: MLflow was not told within 60 s"
            time.sleep(0.5)
        return pod

    def runs(self) -> list[Run]:
        """MLflow's runs of the attempts, oldest first."""
        experiment = self.tracking.get_experiment_by_name(self.task.submission.split("-")[0])
        query = f"tags.`rlgen.address` = '{self.task.address}'"
        order = ["attributes.start_time ASC"]
        return list(self.tracking.search_runs([experiment.experiment_id], query, order_by=order)) if experiment else []

    def messages(self) -> list[str]:
        """What Argo says of each attempt, oldest first."""
        return [attempt.get("message", "") for attempt in self.task.attempts()]


class Given:
    """Trainings that differ in their resume points only: other keys, the same model."""

    def __init__(self, cluster: Any, tracking: MlflowClient) -> None:
        self.cluster, self.tracking = cluster, tracking
        self.seed = secrets.randbelow(10**9)
        self.resume_steps = 10

    def settings(self, *more: str) -> tuple[str, ...]:
        """Settings of the next training."""
        self.resume_steps += 1
        return (*WORKLOAD, f"seed={self.seed}", f"base.resume_steps={self.resume_steps}", *more)

    def training(self) -> Work:
        """A training just submitted."""
        settings = self.settings()
        return self.adopted(self.cluster.submit(*settings, until=("base",)), settings)

    def adopted(self, name: str, settings: tuple[str, ...]) -> Work:
        """The training of these settings that the workflow `name` is."""
        [node] = [node for node in plan(load_study("tiny", list(settings))) if node.name == "base"]
        manifest = self.cluster.workflow(name)
        submission = manifest["metadata"]["labels"]["rlgen-k8s/submission"]
        task = Counting(self.cluster, name, node.name, node.address, submission, manifest)
        return Work(task, self.tracking)

    def copied(self, work: Work) -> Work:
        """A second workflow that is the first but for its name."""
        task = work.task
        name = f"{task.name}-copy"
        manifest = {**task.manifest, "metadata": {**task.manifest["metadata"], "name": name}}
        copy = Counting(self.cluster, name, task.task, task.address, task.submission, manifest)
        copy.create()
        return Work(copy, self.tracking)


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
        """The pod's node without pods of its workflow, and closed to new ones for the block."""
        found = self.cluster.core.read_namespaced_pod(pod, self.cluster.namespace)
        node, workflow = found.spec.node_name, found.metadata.labels["workflows.argoproj.io/workflow"]
        pods = f"--pod-selector=workflows.argoproj.io/workflow={workflow}"  # others have their own tests
        try:
            self._kubectl(
                *("drain", node, pods, "--ignore-daemonsets", "--force"),
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

    def __init__(self, cluster: Any, tracking: MlflowClient) -> None:
        self.cluster, self.tracking = cluster, tracking

    def goes_on(self, work: Work, *saying: str) -> str:
        """A new pod has taken the last one's work up, and Argo says what happened to it, in one of these words."""
        pod = work.under_way()
        assert f"{work.task.address}: going on from step" in (log := work.task.log(pod)), log
        if saying:
            message = work.messages()[-2]
            assert any(words in message for words in saying), message
        return pod

    def published_once(self, work: Work) -> None:
        """The store has the files of the attempt that won, whole, and of the others nothing."""
        store, address = self.cluster.store, work.task.address
        manifest = store.manifest(address)
        assert manifest is not None, f"{address}: not published"
        assert store.blobs.children(f"{address}/attempts") == [manifest.attempt]
        assert set(store.blobs.children(address)) == {"attempts", "manifest.json"}

    def counted(self, work: Work, steps: int) -> None:
        """Bit for bit what counting to `steps` makes."""
        self.published_once(work)
        lines = "\n".join(f"{step} []" for step in range(steps))
        assert self.files(work) == {"lines": hashlib.sha256(lines.encode()).hexdigest()}

    def same_model(self, work: Work, undisturbed: Work) -> None:
        """Bit for bit what a training makes that nothing happened to."""
        assert work.task.address != undisturbed.task.address
        assert self.files(work) == self.files(undisturbed)

    def files(self, work: Work) -> dict[str, str]:
        """SHA-256 of each published file, by its path."""
        return {entry.path: entry.sha256 for entry in self.cluster.store.manifest(work.task.address).files}

    def tracked(self, work: Work, *states: str) -> None:
        """MLflow's runs of the attempts, oldest first, with none that still runs, and of the submission."""
        runs = work.runs()
        assert [run.info.status for run in runs] == list(states)
        parent = self.tracking.get_run(runs[-1].data.tags["mlflow.parentRunId"])
        assert parent.info.status == "FINISHED"


@pytest.fixture(scope="session")
def given(cluster: Any, tracking: MlflowClient) -> Given:
    return Given(cluster, tracking)


@pytest.fixture(scope="session")
def when(cluster: Any) -> When:
    return When(cluster)


@pytest.fixture(scope="session")
def then(cluster: Any, tracking: MlflowClient) -> Then:
    return Then(cluster, tracking)


@pytest.fixture(scope="module")
def counting(count: Callable[..., Counting], tracking: MlflowClient) -> Callable[..., Work]:
    """Submit work that counts."""
    return lambda age=0.0, **settings: Work(count(**settings), tracking, age)
