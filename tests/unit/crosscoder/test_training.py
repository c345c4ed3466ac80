from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rlgen_k8s.crosscoder import Crosscoder, JointActivations, Trainer, TrainingPlan, measure, new_crosscoder
from rlgen_k8s.crosscoder.loss import decoder_norms
from rlgen_k8s.crosscoder.training import schedule


def finish(trainer: Trainer) -> Crosscoder:
    while trainer.step < trainer.total_steps:
        trainer.advance()
    return trainer.crosscoder


VARIANTS: dict[str, dict[str, Any]] = {
    "relu": {},
    "l2": {"norm_penalty": "l2"},
    "bf16": {"precision": "bf16"},
    "sparse": {"n_features": 400, "sparsity_weight": 30.0, "sparsity_warmup": 0.5},
    "batch_topk": {"activation": "batch_topk", "active_features": 2, "dead_tokens": 600},
    "jumprelu": {"activation": "jumprelu", "sparsity_weight": 2.0, "decoder_norm": 1.0},
    "jumprelu bf16": {"activation": "jumprelu", "sparsity_weight": 2.0, "decoder_norm": 1.0, "precision": "bf16"},
}


@pytest.mark.parametrize("n_models", [2, 3])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_killed_and_resumed_ends_in_the_same_bits(
    plant: Callable[..., Any],
    plan: Callable[..., TrainingPlan],
    tmp_path: Path,
    n_models: int,
    changes: dict[str, Any],
) -> None:
    data = plant([[1] * 10] * (n_models - 1) + [[0, 1] * 5], n_tokens=1000).data
    settings = plan(epochs=3, **changes)
    whole = Trainer(data, settings)
    finish(whole)

    killed = Trainer(data, settings)
    for _ in range(6):  # in the middle of the second epoch
        killed.advance()
    killed.save(tmp_path)
    for _ in range(2):  # work after the last save is lost
        killed.advance()
    resumed = Trainer(data, settings)
    resumed.restore(tmp_path)
    assert resumed.step == 6
    finish(resumed)

    for name, tensor in whole.crosscoder.parameters.items():
        assert torch.equal(tensor, resumed.crosscoder.parameters[name]), name
    assert torch.equal(whole.idle_tokens, resumed.idle_tokens)
    assert torch.equal(whole.kept_above, resumed.kept_above)


class Recording(JointActivations):
    """Keeps every batch that training asked for."""

    def fill(self, rows: Tensor, out: Tensor) -> Tensor:
        x = super().fill(rows, out)
        BATCHES.append(x.clone())
        return x


BATCHES: list[Tensor] = []


def test_every_token_is_seen_exactly_once_an_epoch_and_in_a_new_order_each_time(
    plan: Callable[..., TrainingPlan],
) -> None:
    """Each token's activation names it, in both models: pairs must stay together too."""
    BATCHES.clear()
    names = torch.arange(1000.0)[:, None]
    finish(Trainer(Recording(("a", "b"), (names, names), (1.0, 1.0)), plan(epochs=2, batch=64)))
    assert [len(batch) for batch in BATCHES] == 2 * ([64] * 15 + [40])
    seen = torch.cat(BATCHES)
    assert torch.equal(seen[:, 0], seen[:, 1])
    first, second = seen[:1000, 0].tolist(), seen[1000:, 0].tolist()
    assert sorted(first) == sorted(second) == list(range(1000))
    assert first != second


def test_two_trainings_with_one_seed_are_equal_and_with_two_seeds_are_not(
    plant: Callable[..., Any], train: Callable[..., Crosscoder]
) -> None:
    data = plant([[1] * 5, [1] * 5], n_tokens=500).data
    first, same, other = (train(data, epochs=1, seed=seed).decoder for seed in (3, 3, 4))
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)


def test_start_is_common_to_all_models_and_transposed() -> None:
    def start(names: tuple[str, ...]) -> Crosscoder:
        return new_crosscoder(names, (1.0,) * len(names), width=8, n_features=20, decoder_norm=0.08, seed=5)

    three, two = start(("a", "b", "c")), start(("a", "b"))
    assert torch.allclose(decoder_norms(three), torch.tensor(0.08))
    for model in range(3):
        assert torch.equal(three.decoder_by_model[model], two.decoder_by_model[0])
        assert torch.equal(three.encoder_by_model[model], three.decoder_by_model[model].T)
    assert not three.encoder_bias.any()
    assert not three.decoder_bias.any()


def test_schedule_rises_holds_and_falls(plan: Callable[..., TrainingPlan]) -> None:
    settings = plan(sparsity_weight=2.0, learning_rate=1.0, sparsity_warmup=0.1, learning_rate_decay=0.2)
    points = [schedule(settings, step, 100) for step in range(100)]
    assert [point.sparsity_weight for point in points[:11]] == pytest.approx([0.2 * k for k in range(1, 11)] + [2.0])
    assert all(point.learning_rate == 1.0 for point in points[:81])
    assert [point.learning_rate for point in points[80:]] == pytest.approx([k / 20 for k in range(20, 0, -1)])


def test_gradients_are_clipped_to_the_given_norm(plant: Callable[..., Any], plan: Callable[..., TrainingPlan]) -> None:
    trainer = Trainer(plant([[1] * 5, [1] * 5], n_tokens=500).data, plan(max_gradient_norm=0.01))
    trainer.advance()
    norm = sum(float(gradient.square().sum()) for gradient in trainer.gradient_step.gradients.values()) ** 0.5
    assert norm == pytest.approx(0.01, rel=1e-3)


def test_idle_tokens_count_from_the_last_firing(plant: Callable[..., Any], plan: Callable[..., TrainingPlan]) -> None:
    trainer = Trainer(plant([[1] * 5, [1] * 5], n_tokens=500).data, plan(batch=100))
    trainer.crosscoder.encoder_bias[7] = -1e6
    for _ in range(3):
        result = trainer.advance()
    assert trainer.idle_tokens[7] == 300
    assert not trainer.idle_tokens[result.fired].any()


@pytest.mark.parametrize("n_models", [2, 3])
def test_dead_features_come_back_by_the_auxiliary_loss_alone(
    plant: Callable[..., Any], plan: Callable[..., TrainingPlan], n_models: int
) -> None:
    """Eight living features cannot write twenty directions; sixteen more write too little to be chosen."""
    data = plant([[1] * 20] * n_models, n_tokens=4000).data

    def dead_and_error(weight: float) -> tuple[int, float]:
        settings = plan(
            n_features=24, activation="batch_topk", active_features=2, dead_tokens=1000, auxiliary_weight=weight
        )
        trainer = Trainer(data, settings)
        trainer.crosscoder.decoder[:16] *= 0.01
        results = [trainer.advance() for _ in range(trainer.total_steps)]
        assert not any(result.auxiliary for result in results[:4])  # nothing is dead before 1000 tokens
        error = sum(float(result.squared_error) for result in results[-16:]) / 16  # an epoch
        return int((trainer.idle_tokens >= 1000).sum()), error

    (without, left_without), (with_it, left_with_it) = dead_and_error(0.0), dead_and_error(1 / 32)
    assert without >= 16
    assert with_it < without / 2
    assert left_with_it < left_without / 2


@pytest.mark.parametrize("n_models", [2, 3])
def test_batch_topk_keeps_as_many_features_without_a_batch_as_with_one(
    plant: Callable[..., Any], train: Callable[..., Crosscoder], n_models: int
) -> None:
    """Of the 2.4 directions of a mean token it may keep 2."""
    data = plant([[1] * 20] * n_models).data
    coder = train(data, activation="batch_topk", active_features=2)
    x = next(data.chunks(4096))
    assert float((coder.encode(x) > 0).sum(dim=1).float().mean()) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("n_models", [2, 3])
@pytest.mark.parametrize("changes", [VARIANTS[name] for name in ("relu", "l2", "jumprelu")])
def test_bf16_products_explain_as_much_held_out_variance(
    plant: Callable[..., Any], train: Callable[..., Crosscoder], changes: dict[str, Any], n_models: int
) -> None:
    """Within 0.3 points of fp32, in every model. (With batch_topk two seeds differ by more than two precisions.)"""
    present = [[1] * 14 + [0] * 6, [1] * 8 + [0] * 6 + [1] * 6, [1] * 20]
    data = plant(present[:n_models], n_tokens=8000).data
    seen, held_out = (
        replace(data, raw=tuple(raw[part] for raw in data.raw)) for part in (slice(4000), slice(4000, None))
    )
    explained = {
        precision: measure(train(seen, **changes, precision=precision), held_out, dense_rate=0.1).variance_explained
        for precision in ("fp32", "bf16")
    }
    for model, exact in explained["fp32"].items():
        assert exact > 0.5
        assert explained["bf16"][model] == pytest.approx(exact, abs=0.003)
