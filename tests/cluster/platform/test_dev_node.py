"""Volumes, GPUs without a GPU, and names, as pods of the cluster for development have them."""

import os
import subprocess
from pathlib import Path

import pytest
from kubernetes import watch

UP = Path(__file__).parents[3] / "platform" / "cluster" / "up"


def claim(pods, name: str) -> str:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    pods.core.create_namespaced_persistent_volume_claim(pods.namespace, {"metadata": {"name": name}, "spec": spec})
    return name


def test_a_volume_of_the_default_class_is_any_users_and_outlives_its_pod(pods):
    name = claim(pods, "data")
    assert pods.run("writer", "echo kept > /data/file && id -u", claim=name) == ["65532"]
    assert pods.run("reader", "cat /data/file; id -u", claim=name, user=12345) == ["kept", "12345"]


def test_a_volumes_folder_goes_with_its_claim(pods):
    name = claim(pods, "short")
    pods.run("once", "touch /data/file", claim=name)
    bound = pods.core.read_namespaced_persistent_volume_claim(name, pods.namespace).spec.volume_name
    folder = Path(pods.core.read_persistent_volume(bound).spec.local.path)
    assert (folder / "file").exists()
    pods.core.delete_namespaced_pod("once", pods.namespace)
    pods.core.delete_namespaced_persistent_volume_claim(name, pods.namespace)
    only = f"metadata.name={bound}"
    for event in watch.Watch().stream(pods.core.list_persistent_volume, field_selector=only, timeout_seconds=60):
        if event["type"] == "DELETED":
            break
    assert not folder.exists()


def test_names_of_services_are_answered(pods):
    (line,) = pods.run("names", "getent hosts kubernetes.default.svc.cluster.local")
    assert line.split() == ["10.96.0.1", "kubernetes.default.svc.cluster.local"]


@pytest.fixture
def gpus_as_before(pods):
    (node,) = pods.core.list_node().items
    yield
    set_gpus(int((node.status.allocatable or {}).get("nvidia.com/gpu", "0")))


def set_gpus(count: int) -> None:
    environment = os.environ | {"GPUS": str(count)}
    subprocess.run([UP], env=environment, check=True, capture_output=True)


def test_gpus_without_a_gpu_are_scheduled_and_survive_kubelet(pods, gpus_as_before):
    set_gpus(4)
    (node,) = pods.core.list_node().items

    # When kubelet has said three times how its node is
    only = f"metadata.name={node.metadata.name}"
    beats = set()
    for event in watch.Watch().stream(pods.core.list_node, field_selector=only, timeout_seconds=60):
        node = event["object"]
        beats |= {one.last_heartbeat_time for one in node.status.conditions if one.type == "Ready"}
        if len(beats) > 3:
            break

    # Then the GPUs are still there, and no more than there are are given away
    assert len(beats) > 3
    assert node.status.allocatable["nvidia.com/gpu"] == "4"
    pods.start("three", "sleep infinity", gpus=3)
    pods.wait("three", lambda pod: pod.status.phase == "Running")
    pods.start("two", "sleep infinity", gpus=2)
    waiting = pods.wait("two", lambda pod: pod.status.conditions)
    assert "Insufficient nvidia.com/gpu" in waiting.status.conditions[0].message
    pods.core.delete_namespaced_pod("three", pods.namespace)
    pods.wait("two", lambda pod: pod.status.phase == "Running")
