"""Directions that are known to be shared or to belong to one model are found, and named rightly."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rlgen_k8s.crosscoder import (
    Crosscoder,
    JointActivations,
    measure,
    model_attribution_scores,
    normalized_relative_norms,
)


def directions_written(coder: Crosscoder, features: Tensor, directions: Tensor) -> Tensor:
    """[features, K] cosine of each feature's summed decoder rows with each planted direction."""
    rows = coder.decoder_by_model[:, features].sum(dim=0)
    return torch.nn.functional.normalize(rows) @ directions.T


def precision_and_recall(cosines: Tensor, truth: slice) -> tuple[float, float]:
    """Share of the features that write a direction of `truth`; share of these directions that a feature writes."""
    hits = cosines[:, truth] > 0.9
    return float(hits.any(dim=1).float().mean()), float(hits.any(dim=0).float().mean())


def test_nrn_finds_what_only_the_tuned_and_only_the_base_model_has(
    plant: Callable[..., Any], train: Callable[..., Crosscoder]
) -> None:
    planted = plant([[1] * 8 + [1] * 6 + [0] * 6, [1] * 8 + [0] * 6 + [1] * 6])
    coder = train(planted.data)
    fires = measure(coder, planted.data, dense_rate=0.1).features.firing_rate > 0.01
    nrn = normalized_relative_norms(coder.decoder_by_model)
    groups = [(slice(0, 8), (nrn > 0.4) & (nrn < 0.6)), (slice(8, 14), nrn < 0.1), (slice(14, 20), nrn > 0.9)]
    for truth, named in groups:
        precision, recall = precision_and_recall(
            directions_written(coder, (named & fires).nonzero()[:, 0], planted.directions), truth
        )
        assert precision >= 0.9
        assert recall == 1.0


@pytest.mark.parametrize("n_models", [3, 4])
def test_mas_finds_each_models_own_directions(
    plant: Callable[..., Any], train: Callable[..., Crosscoder], n_models: int
) -> None:
    shared, own = 6, 4
    present = [
        [1] * shared + [int(owner == model) for owner in range(n_models) for _ in range(own)]
        for model in range(n_models)
    ]
    planted = plant(present)
    coder = train(planted.data)
    fires = measure(coder, planted.data, dense_rate=0.1).features.firing_rate > 0.01
    mas = model_attribution_scores(coder.decoder_by_model)
    for model in range(n_models):
        first = shared + own * model
        named = ((mas[model] > 0.9) & fires).nonzero()[:, 0]
        precision, recall = precision_and_recall(
            directions_written(coder, named, planted.directions), slice(first, first + own)
        )
        assert precision >= 0.9
        assert recall == 1.0


def test_a_copy_of_the_base_model_has_nothing_of_its_own(
    plant: Callable[..., Any], train: Callable[..., Crosscoder]
) -> None:
    """An exact copy stays equal by symmetry, so the copy gets noise of its own, a tenth of a feature's strength."""
    planted = plant([[1] * 20, [1] * 20])
    base, copy = planted.data.raw
    noise = 0.1 * torch.randn(copy.shape, generator=torch.Generator().manual_seed(1)) / copy.shape[1] ** 0.5
    data = JointActivations(planted.data.models, (base, copy + noise), planted.data.scales)
    coder = train(data)
    fires = measure(coder, data, dense_rate=0.1).features.firing_rate > 0.01
    nrn = normalized_relative_norms(coder.decoder_by_model)[fires]
    assert len(nrn) >= 20
    assert float((nrn - 0.5).abs().max()) < 0.1
