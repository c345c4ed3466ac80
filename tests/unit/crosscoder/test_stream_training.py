"""Several crosscoders on one stream: each as if it were alone, and the same after any interruption."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlgen_k8s.crosscoder import Trainer, TrainingPlan
from rlgen_k8s.crosscoder.stream import JointTraining, LiveActivations, Member, PackedTokens, Ranks, Recipe, Stream
from rlgen_k8s.crosscoder.stream.together import saved_scales
from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.load import load_model
from rlgen_k8s.lm.middle import residual_stream
from rlgen_k8s.stages.corpus.packed import load_corpus_info, open_tokens

RECIPE = Recipe(batch=256, epochs=2, seed=5, block=4, scale_units=3, corpus="c")


@pytest.fixture(scope="module")
def source(corpus: Path, model_folders: dict[str, Path]) -> LiveActivations:
    text = PackedTokens(open_tokens(corpus, "train"), load_corpus_info(corpus).separator, 10)
    return LiveActivations({name: load_model(folder) for name, folder in model_folders.items()}, text, "bfloat16")


@pytest.fixture(scope="module")
def members(plan: Callable[..., TrainingPlan]) -> dict[str, Member]:
    """Different subsets, orders, sizes, λ and seeds."""
    base = {"epochs": RECIPE.epochs, "batch": RECIPE.batch}
    return {
        "sft": Member(("base", "sft"), plan(**base)),
        "rl": Member(("rl", "base"), plan(**base, n_features=80, sparsity_weight=0.3)),
        "rl-seed1": Member(("rl", "base"), plan(**base, seed=1)),
        "all": Member(("base", "sft", "rl"), plan(**base)),
    }


def state(training: JointTraining) -> dict[str, Tensor]:
    weights = {
        f"{name}.{key}": tensor.clone()
        for name, trainer in training.trainers.items()
        for key, tensor in trainer.crosscoder.parameters.items()
    }
    return weights | {f"{name}.idle": trainer.idle_tokens.clone() for name, trainer in training.trainers.items()}


def assert_same_bits(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


@pytest.fixture(scope="module")
def uninterrupted(source: LiveActivations, members: dict[str, Member]) -> dict[str, Tensor]:
    training = JointTraining(Stream(source, RECIPE), members)
    steps = sum(1 for _ in training.run())
    assert steps == training.step == training.total_steps
    return state(training)


def test_each_crosscoder_ends_as_if_it_had_been_trained_alone(
    source: LiveActivations, members: dict[str, Member], uninterrupted: dict[str, Tensor]
) -> None:
    for name, member in members.items():
        stream = Stream(source, RECIPE)
        trainer = Trainer(stream.token_set(member.models), member.plan)
        for batch in stream.batches():
            parts = [batch[:, 32 * m : 32 * m + 32] for m in map(source.models.index, member.models)]
            trainer.advance(torch.cat(parts, dim=1))
        for key, tensor in trainer.crosscoder.parameters.items():
            assert torch.equal(tensor, uninterrupted[f"{name}.{key}"]), (name, key)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_steps_it_ends_in_the_same_bits(
    source: LiveActivations, members: dict[str, Member], uninterrupted: dict[str, Tensor], tmp_path: Path, seed: int
) -> None:
    chance, newest = random.Random(seed), None
    for life in range(4):
        stream = Stream(source, RECIPE, scales=saved_scales(newest) if newest else None)
        training = JointTraining(stream, members)
        if newest:
            training.restore(newest)
        saved, killed = (training.step + chance.randint(1, 12) for _ in range(2))
        if life == 3:
            killed = training.total_steps
        for _ in training.run():
            if training.step == saved and saved < killed:
                newest = tmp_path / str(life)
                newest.mkdir()
                training.save(newest)
            if training.step == killed:
                break
    assert newest is not None
    assert training.step == training.total_steps
    assert_same_bits(state(training), uninterrupted)


def test_each_model_runs_once_for_all_crosscoders(
    source: LiveActivations, members: dict[str, Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    def counted(model: PreTrainedModel, ids: Tensor) -> Tensor:
        ran.append(id(model))
        return residual_stream(model, ids)

    monkeypatch.setattr("rlgen_k8s.crosscoder.stream.sources.residual_stream", counted)
    training = JointTraining(Stream(source, RECIPE, scales=(1.0, 1.0, 1.0)), members)
    for _ in training.run():
        pass
    units = len(source.kept)
    assert len(ran) == 3 * units * RECIPE.epochs
    assert {ran.count(model) for model in set(ran)} == {units * RECIPE.epochs}


@pytest.mark.parametrize("change", [{"seed": 6}, {"block": 5}, {"corpus": "d"}])
def test_another_stream_does_not_take_up_the_state(
    source: LiveActivations, members: dict[str, Member], tmp_path: Path, change: dict[str, Any]
) -> None:
    JointTraining(Stream(source, RECIPE), members).save(tmp_path)
    with pytest.raises(UserError, match=r"its recipe .* is not this stream's"):
        JointTraining(Stream(source, replace(RECIPE, **change)), members).restore(tmp_path)


def test_a_crosscoder_with_another_plan_does_not_take_up_the_state(
    source: LiveActivations, members: dict[str, Member], tmp_path: Path
) -> None:
    JointTraining(Stream(source, RECIPE), members).save(tmp_path)
    member = members["sft"]
    other = {**members, "sft": replace(member, plan=replace(member.plan, sparsity_weight=9.0))}
    with pytest.raises(UserError, match="its crosscoders"):
        JointTraining(Stream(source, RECIPE), other).restore(tmp_path)


def test_members_share_the_streams_batch_and_epochs(
    source: LiveActivations, members: dict[str, Member], plan: Callable[..., TrainingPlan]
) -> None:
    with pytest.raises(UserError, match="crosscoder odd: batch 64 and epochs 2 are not the stream's"):
        JointTraining(Stream(source, RECIPE), {"odd": Member(("base",), plan(batch=64, epochs=2))})


def test_what_cannot_be_shared_among_processes_is_refused(
    source: LiveActivations, plan: Callable[..., TrainingPlan]
) -> None:
    with pytest.raises(UserError, match="recipe batch: 256 tokens are not a multiple of 3 processes"):
        Stream(source, RECIPE, ranks=Ranks(0, 3))
    stream = Stream(source, RECIPE, ranks=Ranks(0, 2))
    member = Member(("base", "rl"), plan(batch=RECIPE.batch, epochs=RECIPE.epochs, activation="batch_topk"))
    with pytest.raises(UserError, match=r"crosscoder topk: activation batch_topk .* does not train over 2 processes"):
        JointTraining(stream, {"topk": member})
