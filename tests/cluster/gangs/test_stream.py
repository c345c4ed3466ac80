"""One stream of activations in one pod and shared by two: the crosscoders are the same."""

from pathlib import Path

import pytest
from tests.cluster.conftest import Cluster
from tests.cluster.gangs.conftest import Gang, Put, Run
from tests.unit.crosscoder.conftest import corpus, mirror, model_folders, tokenizer

from rlgen_k8s.dag.nodes import Input, Node
from rlgen_k8s.stages.corpus.settings import CorpusSettings
from rlgen_k8s.stages.crosscoder.settings import CrosscoderSettings
from rlgen_k8s.stages.harvest.settings import HarvestSettings
from rlgen_k8s.stages.model.settings import ModelSettings
from rlgen_k8s.stages.stream.settings import Asked, StreamSettings
from rlgen_k8s.study.settings import PodShape

__all__ = ["corpus", "mirror", "model_folders", "tokenizer"]
SETTINGS = StreamSettings(
    harvest=HarvestSettings(batch=10, scale_sequences=25),
    crosscoder=CrosscoderSettings(
        n_features=64, batch=256, learning_rate=1e-3, epochs=2, splice_sequences=5, buffer_sequences=40
    ),
    crosscoders={
        "sft-1": Asked(models=("base", "tuned"), reads=("base", "sft")),
        "joint": Asked(models=("base", "sft", "rl"), reads=("base", "sft", "rl")),
        "rl-1": Asked(models=("base", "tuned"), reads=("base", "rl")),
    },
)


def files(gang: Gang) -> dict[str, str]:
    """SHA-256 of each published file, by its path."""
    manifest = gang.cluster.store.manifest(gang.address)
    assert manifest is not None
    return {entry.path: entry.sha256 for entry in manifest.files}


@pytest.mark.timeout(900)
def test_two_pods_make_the_crosscoders_that_one_makes(
    cluster: Cluster, put: Put, run: Run, corpus: Path, model_folders: dict[str, Path]
) -> None:
    models = {name: put(name, "model", ModelSettings(), folder) for name, folder in model_folders.items()}
    inputs = {"corpus": Input(put("corpus", "corpus", CorpusSettings(), corpus))}
    inputs |= {f"model-{name}": Input(node) for name, node in models.items()}
    made = []
    for nodes in (1, 2):
        gang = run(Node("stream", "stream", SETTINGS, inputs, PodShape(cpu=1 / nodes, memory=3, disk=3, nodes=nodes)))
        gang.end(400)
        made.append(files(gang))
        cluster.store.delete(gang.address)
    assert made[0] == made[1]
    assert {path.split("/")[0] for path in made[0]} == set(SETTINGS.crosscoders)
