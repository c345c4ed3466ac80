"""Workflows of the stage `counting`: the product's workflow, template and frame around a load that a test chooses."""

import json
import runpy
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes.client import ApiException, CoreV1Api
from kubernetes.watch import Watch
from tests.cluster.points import next_point

from rlgen_k8s.dag.nodes import Node
from rlgen_k8s.dag.place import Place
from rlgen_k8s.dag.workflow import build_workflow
from rlgen_k8s.runners.argo.platform import Platform
from rlgen_k8s.runners.argo.workflows import UNTIL_ANNOTATION
from rlgen_k8s.stages import registry
from rlgen_k8s.store.results import Store
from rlgen_k8s.study.load import load_study
from rlgen_k8s.study.settings import PodShape, Study
from rlgen_k8s.tracking.events import Node as Planned
from rlgen_k8s.tracking.submission import WORKFLOW, announce_submission

STAGE_FILES = Path(__file__).parents[2] / "unit/frame"
FILES = ("counting_stage.py", "counting/settings.py", "counting/run.py")
CONFIG_MAP, FOLDER = "rlgen-test-counting", "/counting"
STUDY = "counting"
SHAPE = PodShape(cpu=0.01, memory=2, disk=3)
RETRY_AT_ONCE = {"duration": "1"}

LARGE = 2**27
"""Bytes that take much longer to upload than to look what is uploaded."""
# Waits until the first file of the first attempt is in the store, and stops every other process but the container's
# first at once.
STAND_STILL = """
import os, signal, sys
from rlgen_k8s.store.open import open_store
blobs, address = open_store(os.environ["RLGEN_STORE"]).blobs, sys.argv[1]
while True:
    for attempt in blobs.children(f"{address}/attempts"):
        if "lines" in blobs.children(f"{address}/attempts/{attempt}"):
            os.kill(-1, signal.SIGSTOP)
            print(attempt)
            sys.exit()
"""

runpy.run_path(str(STAGE_FILES / "counting_stage.py"))  # registers the stage here, too

Json = dict[str, Any]


def node(name: str = "count", shape: PodShape = SHAPE, pause: float = 0.0, **settings: Any) -> Node:
    """A task whose result nobody has: its pauses differ from all others by some nanoseconds."""
    pause += secrets.randbelow(10**6) * 1e-9
    return Node(name, "counting", registry.STAGES["counting"].settings(pause=pause, **settings), {}, shape)


def study() -> Study:
    """A study of that name, for the labels of its workflows."""
    return load_study("tiny", []).model_copy(update={"name": STUDY})


def keep_stage_files(core: CoreV1Api, namespace: str) -> None:
    """The stage's modules, where pods can mount them."""
    data = {path.replace("/", "."): (STAGE_FILES / path).read_text() for path in FILES}
    body = {"metadata": {"name": CONFIG_MAP}, "data": data}
    try:
        core.create_namespaced_config_map(namespace, body)
    except ApiException as error:
        if error.status != 409:
            raise
        core.replace_namespaced_config_map(CONFIG_MAP, namespace, body)


def place(platform: Platform) -> Place:
    """The platform, with a submission of its own."""
    return Place(
        store=platform.store,
        tracking=platform.tracking,
        submission=f"{STUDY}-{time.strftime('%Y%m%d')}-{secrets.token_hex(4)}",
        image=platform.image,
        service_account=platform.service_account,
        executor_service_account=platform.executor_service_account,
        store_secret=platform.store_secret,
        queue=platform.stages_queue,
    )


def workflow(nodes: list[Node], platform: Platform) -> Json:
    """The workflow of these tasks as `rlgen submit` makes it; only where the stage's code is differs."""
    made: Json = build_workflow(study(), nodes, place=place(platform)).to_dict()
    made["metadata"]["annotations"][UNTIL_ANNOTATION] = json.dumps([nodes[-1].name])
    items = [{"key": path.replace("/", "."), "path": path} for path in FILES]
    for template in made["spec"]["templates"]:
        if template["name"] == "close":  # a busy node has room for it
            template["container"]["resources"]["requests"]["cpu"] = "10m"
        if template["name"] == "counting":
            template["container"]["command"] = ["python", f"{FOLDER}/{FILES[0]}"]
            template["container"]["volumeMounts"].append({"name": "counting", "mountPath": FOLDER, "readOnly": True})
            template["volumes"].append({"name": "counting", "configMap": {"name": CONFIG_MAP, "items": items}})
            template["retryStrategy"]["backoff"] = RETRY_AT_ONCE
    return made


def announce(made: Json, nodes: list[Node], store: Store) -> str:
    """Tell tracking of a workflow, as `rlgen submit` does; the submission's id."""
    submission = str(made["metadata"]["labels"]["rlgen-k8s/submission"])
    planned = [Planned(task=node.name, address=node.address, verdict="run") for node in nodes]
    announce_submission(submission, STUDY, {"study": STUDY}, planned, store, {WORKFLOW: str(made["metadata"]["name"])})
    return submission


@dataclass
class Counting:
    """A workflow that counts."""

    cluster: Any
    name: str
    task: str
    address: str
    submission: str
    manifest: Json

    def create(self) -> None:
        """Give it to Argo."""
        self.cluster.custom.create_namespaced_custom_object(*self.cluster.workflows, self.manifest)

    def pod(self, *, after: tuple[str, ...] = ()) -> str:
        """The pod of the attempt that runs (next, none of those in `after`)."""
        return str(self.cluster.pod(self.name, self.task, 120, after=after))

    def lines(self, pod: str) -> Iterator[str]:
        """What the stage writes, as it does."""
        core, namespace = self.cluster.core, self.cluster.namespace
        options = {"container": "main", "_request_timeout": 180}
        for line in Watch().stream(core.read_namespaced_pod_log, pod, namespace, **options):
            yield str(line)

    def says(self, pod: str, words: str) -> str:
        """The line of the stage's log with these words, as soon as it is there."""
        seen = []
        for line in self.lines(pod):
            if words in line:
                return line
            seen.append(line)
        raise AssertionError(f"{pod}: ended without {words!r}: {seen}")

    def log(self, pod: str) -> str:
        """What the stage has written so far."""
        return str(self.cluster.core.read_namespaced_pod_log(pod, self.cluster.namespace, container="main"))

    def counted(self, steps: int) -> None:
        """Return once a resume point of a step from `steps` on is whole in the store."""
        next_point(self.cluster.store.blobs, self.address, lambda name: int(name[:12]) >= steps)

    def stand_still(self, pod: str) -> str:
        """Stop the stage's processes in the midst of its upload: the small file is there, the large one is not.

        Returns the attempt.
        """
        attempt = str(self.cluster.execute(pod, "python", "-c", STAND_STILL, self.address)).strip()
        files = self.cluster.store.blobs.children(f"{self.address}/attempts/{attempt}")
        assert files == ["lines"], f"{files}: the upload was over, LARGE is too small"
        return attempt

    def go_on(self, pod: str) -> None:
        """Let them go on."""
        self.cluster.execute(pod, "sh", "-c", "kill -CONT -1")

    def kill(self, pod: str) -> None:
        """Kill everything in the container but what Argo put there, which passes the end on; return when it ended."""
        self.cluster.execute(pod, "sh", "-c", "kill -KILL -1", code=None)
        labels = {"workflows.argoproj.io/workflow": self.name, "rlgen-k8s/task": self.task}
        self.cluster.wait_pods(
            labels, lambda one: one["metadata"]["name"] == pod and one["status"]["phase"] == "Failed"
        )

    def end(self, timeout: float = 240) -> Json:
        """The workflow's status at its end, which is a good one."""
        ended = self.cluster.end(self.name, timeout)
        assert ended["status"]["phase"] == "Succeeded", json.dumps(ended["status"])[:4000]
        return dict(ended["status"])

    def attempts(self) -> list[Json]:
        """What Argo says of each attempt, oldest first."""
        return list(self.cluster.attempts(self.name, self.task))

    def suspend(self, yes: bool) -> None:
        """Let the workflow start no pod, or again."""
        body = {"spec": {"suspend": yes or None}}
        self.cluster.custom.patch_namespaced_custom_object(*self.cluster.workflows, self.name, body)
