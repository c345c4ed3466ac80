"""Directions that are known to be shared or to belong to one model are found, and named rightly."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rlgen_k8s.crosscoder import (
    Crosscoder,
    JointActivations,
    Trainer,
    TrainingPlan,
    latent_scaling,
    measure,
    model_attribution_scores,
    normalized_relative_norms,
    start_apart,
)

SHARED, OWN = 6, 4


def directions_written(coder: Crosscoder, features: Tensor, directions: Tensor) -> Tensor:
    """[features, K] cosine of each feature's summed decoder rows with each planted direction."""
    rows = coder.decoder_by_model[:, features].sum(dim=0)
    return torch.nn.functional.normalize(rows) @ directions.T


def precision_and_recall(coder: Crosscoder, named: Tensor, directions: Tensor, truth: slice) -> tuple[float, float]:
    """Of the features `named` [D] bool, the share that write a direction of `truth`; of these, the share written."""
    hits = directions_written(coder, named.nonzero()[:, 0], directions)[:, truth] > 0.9
    precision, recall = float(hits.any(dim=1).float().mean()), float(hits.any(dim=0).float().mean())
    print(f"{int(named.sum())} features named, precision {precision:.2f}, recall {recall:.2f}")
    return precision, recall


def firing(coder: Crosscoder, data: JointActivations) -> Tensor:
    """[D] bool: features that fire on more than one token in a hundred."""
    return measure(coder, data, dense_rate=0.1).features.firing_rate > 0.01


def own_directions(n_models: int) -> list[list[int]]:
    """`SHARED` directions of all models, then `OWN` of each."""
    return [
        [1] * SHARED + [int(owner == model) for owner in range(n_models) for _ in range(OWN)]
        for model in range(n_models)
    ]


def test_nrn_finds_what_only_the_tuned_and_only_the_base_model_has(
    plant: Callable[..., Any], train: Callable[..., Crosscoder]
) -> None:
    planted = plant([[1] * 8 + [1] * 6 + [0] * 6, [1] * 8 + [0] * 6 + [1] * 6])
    coder = train(planted.data)
    fires = firing(coder, planted.data)
    nrn = normalized_relative_norms(coder.decoder_by_model)
    groups = [(slice(0, 8), (nrn > 0.4) & (nrn < 0.6)), (slice(8, 14), nrn < 0.1), (slice(14, 20), nrn > 0.9)]
    for truth, named in groups:
        precision, recall = precision_and_recall(coder, named & fires, planted.directions, truth)
        assert precision >= 0.9
        assert recall == 1.0


VARIANTS: dict[str, dict[str, Any]] = {
    "relu": {},
    "l2": {"norm_penalty": "l2"},
    "batch_topk": {"activation": "batch_topk", "active_features": 2, "dead_tokens": 5000},
    "batch_topk l2": {"activation": "batch_topk", "active_features": 2, "dead_tokens": 5000, "norm_penalty": "l2"},
    "jumprelu": {"activation": "jumprelu", "sparsity_weight": 5.0, "decoder_norm": 1.0},
    "jumprelu bf16": {"activation": "jumprelu", "sparsity_weight": 5.0, "decoder_norm": 1.0, "precision": "bf16"},
}


@pytest.mark.parametrize(
    ("variant", "n_models"),
    [
        *(("relu", n_models) for n_models in (2, 3, 4, 6)),
        *(("l2", n_models) for n_models in (2, 3)),
        # Of two models' 1.7 directions of a mean token BatchTopK would have to keep 2, and so something that is none.
        *((variant, 3) for variant in ("batch_topk", "batch_topk l2")),
        *((variant, n_models) for variant in ("jumprelu", "jumprelu bf16") for n_models in (2, 3)),
    ],
)
def test_mas_finds_each_models_own_directions_and_what_all_share(
    plant: Callable[..., Any], train: Callable[..., Crosscoder], variant: str, n_models: int
) -> None:
    """And where nothing shrinks features, as many are active as directions are there."""
    planted = plant(own_directions(n_models))
    coder = train(planted.data, n_features=2 * len(planted.directions), **VARIANTS[variant])
    fires = firing(coder, planted.data)
    mas = model_attribution_scores(coder.decoder_by_model)
    alike = (mas - 1 / n_models).abs().amax(dim=0) < 0.2 / n_models
    own = [(slice(SHARED + OWN * m, SHARED + OWN * (m + 1)), mas[m] > 0.9) for m in range(n_models)]
    for truth, named in [(slice(0, SHARED), alike), *own]:
        precision, recall = precision_and_recall(coder, named & fires, planted.directions, truth)
        assert precision >= 0.9
        assert recall == 1.0
    if coder.thresholds is not None:
        l0 = measure(coder, planted.data, dense_rate=0.1).l0
        print(f"L0 {l0:.2f}")
        assert l0 == pytest.approx(0.12 * len(planted.directions), rel=0.1)


@pytest.mark.parametrize("n_models", [2, 3, 4])
def test_latent_scaling_tells_own_directions_from_shared_ones(
    plant: Callable[..., Any], train: Callable[..., Crosscoder], n_models: int
) -> None:
    """By what a feature writes: an own direction is nowhere else; a shared one is, whatever the decoder's norms say."""
    planted = plant(own_directions(n_models))
    coder = train(planted.data, n_features=2 * len(planted.directions))
    found = latent_scaling(coder, planted.data, torch.full((120,), 100), resamples=0)
    everything = torch.arange(coder.n_features)
    written = (directions_written(coder, everything, planted.directions) > 0.9) & firing(coder, planted.data)[:, None]
    shared, own = written[:, :SHARED].any(dim=1), written[:, SHARED:].any(dim=1)
    others = torch.nn.functional.one_hot(found.owner, n_models).T == 0
    nu = found.nu_reconstruction.value
    print(f"largest ν of {int(own.sum())} own features {nu[:, own][others[:, own]].abs().max():.2f}", end=", ")
    print(f"smallest of {int(shared.sum())} shared ones {nu[:, shared].min():.2f}")
    assert own.sum() >= OWN * n_models
    assert shared.sum() >= SHARED
    assert nu[:, own][others[:, own]].abs().max() < 0.2
    assert nu[:, shared].min() > 0.5
    assert found.nu_error.value[:, own][others[:, own]].abs().max() < 0.2


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("n_copies", [1, 2])
def test_copies_of_the_base_model_have_nothing_of_their_own(
    plant: Callable[..., Any], plan: Callable[..., TrainingPlan], n_copies: int, apart: bool
) -> None:
    """Exact copies stay equal by symmetry from a common start: so each has noise of its own, a tenth of a feature's
    strength, or a start of its own.
    """
    planted = plant([[1] * 20] * (1 + n_copies))
    base, *copies = planted.data.raw
    generator = torch.Generator().manual_seed(1)
    noise = 0.0 if apart else 0.1 / base.shape[1] ** 0.5
    noisy = [copy + noise * torch.randn(copy.shape, generator=generator) for copy in copies]
    data = JointActivations(planted.data.models, (base, *noisy), planted.data.scales)
    trainer = Trainer(data, plan())
    if apart:
        start_apart(trainer.crosscoder, seed=1)
    while trainer.step < trainer.total_steps:
        trainer.advance()
    mas = model_attribution_scores(trainer.crosscoder.decoder_by_model)[:, firing(trainer.crosscoder, data)]
    print(f"{mas.shape[1]} features, MAS {mas.min():.3f} to {mas.max():.3f}")
    assert mas.shape[1] >= 20
    assert float((mas - 1 / (1 + n_copies)).abs().max()) < 0.1
