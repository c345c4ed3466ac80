"""GRPO over Ray in two pods: verl's driver in the first, a training process and a rollout server in each."""

import pytest
from tests.cluster.conftest import Cluster
from tests.cluster.gangs.conftest import Gang, Put, Run
from tests.cluster.points import next_point
from tests.local.micro import write_words

from rlgen_k8s.dag.nodes import Input, Node
from rlgen_k8s.stages.grpo.settings import GrpoSettings
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.problems.settings import ProblemsSettings
from rlgen_k8s.study.settings import PodShape

STEPS = 15
SETTINGS = GrpoSettings(
    engine="hf",
    precision="fp32",
    n_gpus=2,
    prompts_per_step=4,
    mini_batch_prompts=2,
    rollouts=4,
    prompt_tokens=16,
    response_tokens=3,
    learning_rate=0.01,
    seed=1,
)


@pytest.fixture(scope="module")
def gang(put: Put, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Gang:
    """A training on two pods, as it starts."""
    folder = tmp_path_factory.mktemp("grpo")
    write_words(folder, STEPS * 4 + 2, width=16, heads=2, length=64)
    inputs = {
        "base": Input(put("base", "model", ModelSettings(), folder / "base")),
        "problems": Input(put("problems", "problems", ProblemsSettings(), folder)),
    }
    return run(Node("grpo", "grpo", SETTINGS, inputs, PodShape(cpu=0.5, memory=6, disk=4, nodes=2, patience=10)))


@pytest.mark.timeout(1200)
def test_two_pods_train_and_a_gang_that_loses_one_goes_on_from_a_checkpoint_of_both(
    cluster: Cluster, gang: Gang
) -> None:
    second = gang.pod(1)["metadata"]["name"]
    point = next_point(cluster.store.blobs, gang.address, seconds=400)
    state = f"{gang.address}/resume/{point}/files/global_step_{int(point[:12])}/actor"
    assert {f"model_world_size_2_rank_{rank}.pt" for rank in range(2)} <= set(cluster.store.blobs.children(state))

    cluster.core.delete_namespaced_pod(second, cluster.namespace, grace_period_seconds=0)

    gang.end(600)
    assert "going on from step" in cluster.rlgen("logs", "grpo", gang.name)
    manifest = cluster.store.manifest(gang.address)
    assert manifest is not None
    weights = {entry.path: entry.sha256 for entry in manifest.files if entry.path.endswith(".safetensors")}
    assert sorted(weights) == [f"checkpoints/{fifth}/model.safetensors" for fifth in range(1, 6)]
    assert len(set(weights.values())) == 5
