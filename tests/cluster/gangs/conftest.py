"""Given a stage that two pods run, or one pod with GPUs, on a cluster with JobSet and Kueue: `make cluster GPUS=16
QUEUES=1`, `queues.enabled=true`.

The quota of `values/dev.yaml` lets one of the gangs below in at a time, and one of the pods.
"""

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.conftest import Cluster
from tests.cluster.services import counting
from tests.cluster.services.conftest import platform
from tests.cluster.services.counting import CONFIG_MAP, FILES, FOLDER, Counting

from rlgen_k8s.dag.names import JOBSET
from rlgen_k8s.dag.nodes import Node
from rlgen_k8s.dag.workflow import build_workflow
from rlgen_k8s.runners.argo.platform import Platform
from rlgen_k8s.runners.gang.jobsets import JOBSETS
from rlgen_k8s.stages.registry import STAGES
from rlgen_k8s.stages.settings import StageSettings
from rlgen_k8s.store.manifest import Identity
from rlgen_k8s.store.results import Store
from rlgen_k8s.study.settings import PodShape

__all__ = ["platform"]
SHAPE = PodShape(cpu=0.55, memory=2, disk=1, nodes=2)
ALONE = PodShape(cpu=0.05, memory=1, disk=1, gpus=9)
PRIORITY = "kueue.x-k8s.io/priority-class"
SOON = 120
# The launcher's command, once the stage is registered.
LAUNCHER = f"""
import runpy
runpy.run_path("{FOLDER}/{FILES[0]}")
runpy.run_module("rlgen_k8s.runners.gang", run_name="__main__")
"""
Json = dict[str, Any]


@dataclass(frozen=True)
class Gang:
    """A workflow whose one task two pods run."""

    cluster: Cluster
    name: str
    address: str

    @property
    def jobset_name(self) -> str:
        return self.address.replace("/", "-")

    def jobset(self) -> Json | None:
        """As it is now."""
        place = (JOBSETS.group, JOBSETS.version, self.cluster.namespace, JOBSETS.plural)
        listed = self.cluster.custom.list_namespaced_custom_object(*place)["items"]
        return next((one for one in listed if one["metadata"]["name"] == self.jobset_name), None)

    def remove_jobset(self) -> None:
        """As somebody who cleans up does."""
        place = (JOBSETS.group, JOBSETS.version, self.cluster.namespace, JOBSETS.plural)
        self.cluster.custom.delete_namespaced_custom_object(*place, self.jobset_name)

    def remove(self) -> None:
        """Leave nothing of it."""
        self.cluster.custom.delete_namespaced_custom_object(*self.cluster.workflows, self.name)
        self.cluster.store.delete(self.address)

    def launcher(self, after: tuple[str, ...] = ()) -> str:
        """The pod of the launcher, once it runs; none of those in `after`."""
        labels = {"workflows.argoproj.io/workflow": self.name, "workflows.argoproj.io/completed": "false"}

        def runs(pod: Json) -> bool:
            return pod["metadata"]["name"] not in after and _runs(pod)

        return str(self.cluster.wait_pods(labels, runs, SOON)["metadata"]["name"])

    def pod(self, rank: int, after: tuple[str, ...] = ()) -> Json:
        """A pod of the gang, once it runs; none with a uid in `after`."""
        labels = {
            "jobset.sigs.k8s.io/jobset-name": self.jobset_name,
            "batch.kubernetes.io/job-completion-index": str(rank),
        }
        return self.cluster.wait_pods(labels, lambda pod: pod["metadata"]["uid"] not in after and _runs(pod), SOON)

    def log(self, pod: str) -> str:
        """What it has written so far."""
        return str(self.cluster.core.read_namespaced_pod_log(pod, self.cluster.namespace, container="main"))

    def counted(self, steps: int) -> bool:
        """Whether the result is bit for bit what counting makes."""
        return counted(self.cluster.store, self.address, steps)

    def end(self, timeout: float = 300) -> list[Json]:
        """The attempts of its launcher, after a good end."""
        ended = self.cluster.end(self.name, timeout)
        assert ended["status"]["phase"] == "Succeeded", json.dumps(ended["status"])[:4000]
        assert self.cluster.store.manifest(self.address) is not None
        (task,) = next(node for node in ended["spec"]["templates"] if "dag" in node)["dag"]["tasks"]
        return self.cluster.attempts(self.name, task["name"])


def counted(store: Store, address: str, steps: int) -> bool:
    """Whether a result is bit for bit what counting makes."""
    lines = "\n".join(f"{step} []" for step in range(steps))
    manifest = store.manifest(address)
    assert manifest is not None
    files = {entry.path: entry.sha256 for entry in manifest.files}
    return files == {"lines": hashlib.sha256(lines.encode()).hexdigest()}


def _runs(pod: Json) -> bool:
    states = {one["name"]: one.get("state") or {} for one in pod["status"].get("containerStatuses") or ()}
    return "running" in states.get("main", {})


@pytest.fixture
def gang(cluster: Cluster, platform: Platform) -> Iterator[Callable[..., Gang]]:
    """Submit a workflow in which two pods count; what is left of it in the end is removed."""
    counting.keep_stage_files(cluster.core, cluster.namespace)
    made: list[Gang] = []

    def submit(priority: str = "", shape: PodShape = SHAPE, before: str = "", **settings: Any) -> Gang:
        """`before` is Python that the launcher runs first."""
        node = counting.node(shape=shape, **settings)
        manifest = counting.workflow([node], platform)
        template = next(one for one in manifest["spec"]["templates"] if one["name"] == "counting")
        _in_both(template, priority)
        template["container"]["command"][-1] = before + template["container"]["command"][-1]
        name = manifest["metadata"]["name"]
        submission = counting.announce(manifest, [node], cluster.store)
        Counting(cluster, name, node.name, node.address, submission, manifest).create()
        made.append(Gang(cluster, name, node.address))
        return made[-1]

    yield submit
    for one in made:
        one.remove()


def _in_both(template: Json, priority: str) -> None:
    """Give the stage's code to the pods of the gang, and to their launcher; to the gang a priority class, if named."""
    variable = next(one for one in template["container"]["env"] if one["name"] == JOBSET)
    jobset = json.loads(variable["value"])
    if priority:
        jobset["metadata"]["labels"][PRIORITY] = priority
    pod = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    pod["containers"][0]["command"] = template["container"]["command"]
    pod["containers"][0]["volumeMounts"].append(template["container"]["volumeMounts"][-1])
    pod["volumes"].append(template["volumes"][-1])
    assert pod["volumes"][-1]["configMap"]["name"] == CONFIG_MAP
    variable["value"] = json.dumps(jobset)
    template["container"]["command"] = ["python", "-c", LAUNCHER]


@pytest.fixture
def alone(cluster: Cluster, platform: Platform) -> Iterator[Callable[..., Counting]]:
    """Submit a workflow in which a pod with GPUs counts; what is left of it in the end is removed."""
    counting.keep_stage_files(cluster.core, cluster.namespace)
    made: list[Counting] = []

    def submit(priority: str = "", gpus: int = ALONE.gpus, **settings: Any) -> Counting:
        node = counting.node(shape=ALONE.model_copy(update={"gpus": gpus}), **settings)
        manifest = counting.workflow([node], platform)
        template = next(one for one in manifest["spec"]["templates"] if one["name"] == "counting")
        if priority:
            template["metadata"]["labels"][PRIORITY] = priority
        submission = counting.announce(manifest, [node], cluster.store)
        made.append(Counting(cluster, manifest["metadata"]["name"], node.name, node.address, submission, manifest))
        made[-1].create()
        return made[-1]

    yield submit
    there = cluster.names()
    for one in made:
        if one.name in there:
            cluster.custom.delete_namespaced_custom_object(*cluster.workflows, one.name)
        cluster.store.delete(one.address)


Put = Callable[[str, str, StageSettings, Path], Node]
Run = Callable[[Node], Gang]


@pytest.fixture(scope="module")
def put(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Put]:
    """Put a folder into the cluster's store as the result of a stage, under a seed of its own."""
    made = []

    def keep(name: str, stage: str, settings: StageSettings, folder: Path) -> Node:
        node = Node(name, stage, settings.model_copy(update={"seed": secrets.randbelow(10**9)}), {}, PodShape())
        identity = Identity(
            stage=stage, version=STAGES[stage].version, settings=node.settings_json, inputs=node.input_addresses
        )
        attempt = cluster.store.open_attempt(node.address, tmp_path_factory.mktemp(name))
        shutil.copytree(folder, attempt.out, dirs_exist_ok=True)
        cluster.store.publish(attempt, identity)
        cluster.store.close(attempt)
        made.append(node)
        return node

    yield keep
    for node in made:
        cluster.store.delete(node.address)


@pytest.fixture(scope="module")
def run(cluster: Cluster, platform: Platform) -> Iterator[Run]:
    """Submit a task whose inputs are there; what is left of it in the end is removed."""
    started: list[Gang] = []

    def submit(node: Node) -> Gang:
        name = f"{node.name}-{secrets.token_hex(4)}"
        inputs = list({item.node.address: item.node for item in node.inputs.values()}.values())
        workflow = build_workflow(
            counting.study(),
            [*inputs, node],
            finished={each.name for each in inputs},
            place=counting.place(platform),
            name=name,
        )
        cluster.custom.create_namespaced_custom_object(*cluster.workflows, workflow.to_dict())
        started.append(Gang(cluster, name, node.address))
        return started[-1]

    yield submit
    for one in started:
        one.remove()
