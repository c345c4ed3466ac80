from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rlgen_k8s.crosscoder import Crosscoder, JointActivations, Trainer, TrainingPlan, new_crosscoder
from rlgen_k8s.crosscoder.loss import decoder_norms
from rlgen_k8s.crosscoder.training import schedule


def finish(trainer: Trainer) -> Crosscoder:
    while trainer.step < trainer.total_steps:
        trainer.advance()
    return trainer.crosscoder


@pytest.mark.parametrize("n_models", [2, 3, 4])
def test_killed_and_resumed_ends_in_the_same_bits(
    plant: Callable[..., Any], plan: Callable[..., TrainingPlan], tmp_path: Path, n_models: int
) -> None:
    data = plant([[1] * 10] * (n_models - 1) + [[0, 1] * 5], n_tokens=1000).data
    whole = Trainer(data, plan(epochs=3))
    finish(whole)

    killed = Trainer(data, plan(epochs=3))
    for _ in range(6):  # in the middle of the second epoch
        killed.advance()
    killed.save(tmp_path)
    for _ in range(2):  # work after the last save is lost
        killed.advance()
    resumed = Trainer(data, plan(epochs=3))
    resumed.restore(tmp_path)
    assert resumed.step == 6
    finish(resumed)

    for name, tensor in whole.crosscoder.parameters.items():
        assert torch.equal(tensor, resumed.crosscoder.parameters[name]), name
    assert torch.equal(whole.idle_tokens, resumed.idle_tokens)


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
