"""SFT with DeepSpeed over gloo, its two processes in one pod and in two: the models are the same, whatever happens."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cluster.conftest import Cluster
from tests.cluster.gangs.conftest import Gang, Put, Run
from tests.cluster.points import next_point
from tests.local.test_sft_training import MICRO, inputs

from rlgen_k8s.dag.nodes import Input, Node
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.traces.settings import TracesSettings
from rlgen_k8s.study.settings import PodShape

__all__ = ["inputs"]
SETTINGS = MICRO.model_copy(update={"deepspeed_stage": 3, "processes": 2, "per_device_batch": 8, "epochs": 10})
Train = Callable[..., Gang]


@pytest.fixture(scope="module")
def train(put: Put, run: Run, inputs: dict[str, Path]) -> Train:
    """Submit the training on so many nodes."""
    given = [
        put("base", "model", ModelSettings(), inputs["base"]),
        put("traces", "traces", TracesSettings(), inputs["traces"]),
    ]
    reads = {node.name: Input(node) for node in given}

    def submit(nodes: int) -> Gang:
        shape = PodShape(cpu=1 / nodes, memory=5, disk=4, nodes=nodes, patience=10)
        return run(Node("sft", "sft", SETTINGS, reads, shape))

    return submit


def files(gang: Gang) -> dict[str, str]:
    """SHA-256 of each published file, by its path; of the curve, which holds times, nothing."""
    manifest = gang.cluster.store.manifest(gang.address)
    return {entry.path: entry.sha256 for entry in manifest.files if entry.path.endswith(".safetensors")}


@pytest.fixture(scope="module")
def alone(cluster: Cluster, train: Train) -> dict[str, str]:
    """What one pod with both processes makes."""
    one = train(1)
    one.end(400)
    made = files(one)
    assert len(made) == 5
    cluster.store.delete(one.address)
    return made


@pytest.mark.timeout(900)
def test_two_pods_make_the_models_that_one_makes(cluster: Cluster, train: Train, alone: dict[str, str]) -> None:
    two = train(2)
    [attempt] = two.end(400)
    assert files(two) == alone, attempt
    cluster.store.delete(two.address)


@pytest.mark.timeout(900)
def test_a_gang_that_loses_a_pod_goes_on_from_a_checkpoint_of_both(
    cluster: Cluster, train: Train, alone: dict[str, str]
) -> None:
    two = train(2)
    second = two.pod(1)["metadata"]["name"]
    next_point(cluster.store.blobs, two.address)

    cluster.core.delete_namespaced_pod(second, cluster.namespace, grace_period_seconds=0)

    two.end(400)
    assert "going on from step" in cluster.rlgen("logs", "sft", two.name)
    assert files(two) == alone
