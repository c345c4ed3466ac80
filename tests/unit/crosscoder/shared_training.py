"""Trains crosscoders on one stream, in one process and in two: `python shared_training.py FOLDER CORPUS MODEL…`.

Rank r of n leaves the losses of every step and its final state in FOLDER/n-r.safetensors.
"""

import os
import sys
from pathlib import Path

import torch
import torch.distributed
import torch.multiprocessing
from safetensors.torch import save_file
from torch import Tensor

from rlgen_k8s.crosscoder import TrainingPlan
from rlgen_k8s.crosscoder.stream import JointTraining, LiveActivations, Member, PackedTokens, Ranks, Recipe, Stream
from rlgen_k8s.lm.load import load_model
from rlgen_k8s.stages.corpus.packed import load_corpus_info, open_tokens


def train(ranks: Ranks, corpus: Path, models: list[Path]) -> dict[str, Tensor]:
    """The state at the end; the text and the batch are such that an epoch's last batch is a single token."""
    ids, separator = open_tokens(corpus, "train"), load_corpus_info(corpus).separator
    text = PackedTokens(ids, separator, forward=10)
    n_tokens = int(text.kept.sum())
    if n_tokens % 2 == 0:
        row, column = next(zip(*(ids != separator).nonzero(), strict=True))
        ids = ids.copy()
        ids[row, column], n_tokens = separator, n_tokens - 1
        text = PackedTokens(ids, separator, forward=10)
    batch = next(size for size in range(200, n_tokens, 2) if n_tokens % size == 1)
    plan = TrainingPlan(
        n_features=48,
        sparsity_weight=1.0,
        batch=batch,
        learning_rate=1e-3,
        epochs=2,
        sparsity_warmup=0.05,
        learning_rate_decay=0.2,
        max_gradient_norm=1.0,
        decoder_norm=0.08,
        seed=0,
    )
    loaded = {folder.name: load_model(folder) for folder in models}
    recipe = Recipe(batch=batch, epochs=2, seed=5, block=4, scale_units=3, corpus="c")
    stream = Stream(LiveActivations(loaded, text, "bfloat16"), recipe, ranks=ranks)
    names = tuple(loaded)
    training = JointTraining(stream, {"two": Member(names[:2], plan), "all": Member(names, plan)})
    tensors: dict[str, Tensor] = {}
    for results in training.run():
        for name, result in results.items():
            tensors[f"{name}.squared_error.{training.step}"] = result.squared_error
    for name, trainer in training.trainers.items():
        tensors |= {f"{name}.{key}": tensor for key, tensor in trainer.crosscoder.parameters.items()}
        tensors[f"{name}.idle_tokens"] = trainer.idle_tokens
    return tensors


def join(rank: int, count: int, folder: Path, corpus: Path, models: list[Path]) -> None:
    """One process's life."""
    torch.set_num_threads(1)
    meet = f"file://{folder}/{count}-meet"
    torch.distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=count)
    save_file(train(Ranks(rank, count), corpus, models), folder / f"{count}-{rank}.safetensors")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    folder, corpus, *models = map(Path, sys.argv[1:])
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    for count in (1, 2):
        torch.multiprocessing.start_processes(join, (count, folder, corpus, models), count, start_method="fork")
