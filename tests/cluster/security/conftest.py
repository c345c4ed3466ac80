"""A real submission, one stage of which is still at work: what it may do is tried from inside its pod."""

import base64
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes import client
from tests.cluster.rights import as_account

from rlgen_k8s.runners.argo.api import connect
from rlgen_k8s.runners.argo.platform import Platform, read_platform

Json = dict[str, Any]
SOON = 240
# A mirror of seconds, then a training that lasts until it is stopped.
SETTINGS = (
    *("mirror.problems=20", "mirror.math500=20", "mirror.questions=20", "mirror.conversations=20", "mirror.pages=20"),
    *("mirror.pretraining=2000", "mirror.teaching=20", "pods.mirror.cpu=0.01"),
    *("base.layers=2", "base.width=32", "base.batch=8", "base.steps=1000000", "pods.model.cpu=0.01"),
)


@dataclass(frozen=True)
class Stage:
    """A stage's pod that runs, of a workflow that `rlgen submit` made."""

    cluster: Any
    workflow: str
    name: str
    spec: Json

    def python(self, code: str, *arguments: str) -> str:
        """What a program prints inside the stage's container."""
        return str(self.cluster.execute(self.name, "python", "-c", code, *arguments))


@pytest.fixture(scope="session")
def stage(cluster: Any) -> Iterator[Stage]:
    workflow = cluster.submit(*SETTINGS, f"seed={secrets.randbelow(10**9)}", until=("base",))
    name = cluster.pod(workflow, "base", SOON)
    pod = cluster.core.read_namespaced_pod(name, cluster.namespace)
    spec = cluster.core.api_client.sanitize_for_serialization(pod)["spec"]
    yield Stage(cluster, workflow, name, spec)
    if workflow in cluster.names():
        cluster.rlgen("stop", workflow)
        cluster.end(workflow, SOON)


@pytest.fixture(scope="session")
def platform(cluster: Any) -> Platform:
    return read_platform(connect(cluster.namespace))


@pytest.fixture(scope="session")
def executor_token(cluster: Any, platform: Platform) -> str:
    """What Argo's containers in a stage's pod identify themselves with."""
    name = f"{platform.executor_service_account}.service-account-token"
    return base64.b64decode(cluster.core.read_namespaced_secret(name, cluster.namespace).data["token"]).decode()


@pytest.fixture(scope="session")
def executor(cluster: Any, executor_token: str) -> client.ApiClient:
    """The API server as Argo's containers in a stage's pod see it."""
    return as_account(cluster.core.api_client, executor_token)
