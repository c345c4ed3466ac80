"""Given a stage of a chosen load on the platform, when one of the services that it uses is away."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes.client import AppsV1Api
from kubernetes.watch import Watch
from tests.cluster.services import counting
from tests.cluster.services.counting import Counting

from rlgen_k8s.runners.argo.api import connect
from rlgen_k8s.runners.argo.platform import Platform, read_platform

Json = dict[str, Any]
SOON = 120


@dataclass(frozen=True)
class Service:
    """A part of the platform that can be taken away: one pod, of a Deployment or a StatefulSet."""

    cluster: Any
    component: str
    scale: Callable[..., Any]

    @property
    def _labels(self) -> Json:
        return {"app.kubernetes.io/component": self.component, "app.kubernetes.io/instance": "rlgen"}

    @contextmanager
    def away(self) -> Iterator[None]:
        """Gone within a second; back, and ready, after the block."""
        try:
            self._scale(0)
            self._kill()
            yield
        finally:
            self._scale(1)
        self.cluster.wait_pods(self._labels, _ready, SOON)

    def _scale(self, replicas: int) -> None:
        self.scale(f"rlgen-{self.component}", self.cluster.namespace, {"spec": {"replicas": replicas}})

    def _kill(self) -> None:
        """End its pods at once, and return when they are really gone: with a grace of 0 s only their names are."""
        core, namespace = self.cluster.core, self.cluster.namespace
        selector = ",".join(f"{name}={value}" for name, value in self._labels.items())
        listed = core.list_namespaced_pod(namespace, label_selector=selector)
        left = {pod.metadata.name for pod in listed.items}
        for name in left:
            core.delete_namespaced_pod(name, namespace, grace_period_seconds=1)
        version, watch = listed.metadata.resource_version, Watch()
        options = {"label_selector": selector, "resource_version": version, "timeout_seconds": SOON}
        for event in watch.stream(core.list_namespaced_pod, namespace, **options) if left else ():
            left -= {event["object"].metadata.name} if event["type"] == "DELETED" else set()
            if not left:
                watch.stop()
        assert not left, f"{left}: still there after {SOON} s"


def _ready(pod: Json) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@pytest.fixture(scope="session")
def platform(cluster: Any) -> Platform:
    return read_platform(connect(cluster.namespace))


@pytest.fixture(scope="session")
def minio(cluster: Any) -> Service:
    return Service(cluster, "minio", AppsV1Api(cluster.core.api_client).patch_namespaced_stateful_set_scale)


@pytest.fixture(scope="session")
def mlflow(cluster: Any) -> Service:
    return Service(cluster, "mlflow", AppsV1Api(cluster.core.api_client).patch_namespaced_deployment_scale)


@pytest.fixture(scope="module")
def prepare(cluster: Any, platform: Platform) -> Iterator[Callable[..., Counting]]:
    """Prepare a workflow that counts; what it has published is removed in the end, it may be large."""
    counting.keep_stage_files(cluster.core, cluster.namespace)
    made: list[Counting] = []

    def prepared(**settings: Any) -> Counting:
        node = counting.node(**settings)
        manifest = counting.workflow([node], platform)
        submission = counting.announce(manifest, [node], cluster.store)
        name = manifest["metadata"]["name"]
        made.append(Counting(cluster, name, node.name, node.address, submission, manifest))
        return made[-1]

    yield prepared
    for one in made:
        cluster.store.delete(one.address)


@pytest.fixture(scope="module")
def count(prepare: Callable[..., Counting]) -> Callable[..., Counting]:
    """Submit a workflow that counts."""

    def submit(**settings: Any) -> Counting:
        one = prepare(**settings)
        one.create()
        return one

    return submit
