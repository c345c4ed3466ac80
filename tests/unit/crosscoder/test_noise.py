"""What NRN spreads where nothing differs."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rlgen_k8s.crosscoder import Trainer, TrainingPlan, model_attribution_scores, new_crosscoder, start_apart


def test_halves_started_apart_keep_their_norms_and_tied_encoders() -> None:
    coder = new_crosscoder(("a", "b", "c"), (1.0,) * 3, width=16, n_features=30, decoder_norm=0.08, seed=0)
    before = coder.decoder_by_model.clone()
    start_apart(coder, seed=1)
    rows = coder.decoder_by_model
    assert torch.equal(rows[0], before[0])
    torch.testing.assert_close(rows.norm(dim=2), before.norm(dim=2))
    torch.testing.assert_close(coder.encoder, coder.decoder.T)
    for m, n in ((0, 1), (0, 2), (1, 2)):
        cosines = torch.cosine_similarity(rows[m], rows[n], dim=1)
        assert float(cosines.mean().abs()) < 0.2
        assert float(cosines.abs().max()) < 0.95


@pytest.mark.parametrize("n_models", [2, 3])
def test_an_exact_copy_has_nothing_of_its_own_only_by_symmetry_unless_started_apart(
    plant: Callable[..., Any], plan: Callable[..., TrainingPlan], n_models: int
) -> None:
    """From a common start MAS (of two models NRN) is 1 / M to rounding, which measures nothing; else it spreads."""
    data = plant([[1] * 20] * n_models).data
    spreads = []
    for apart in (False, True):
        trainer = Trainer(data, plan())
        if apart:
            start_apart(trainer.crosscoder, seed=1)
        while trainer.step < trainer.total_steps:
            trainer.advance()
        mas = model_attribution_scores(trainer.crosscoder.decoder_by_model)
        spreads.append(float((mas - 1 / n_models).abs().max()))
    print(f"largest |MAS - 1 / M|: common start {spreads[0]:.2g}, started apart {spreads[1]:.2g}")
    assert spreads[0] < 1e-6
    assert spreads[1] > 1e-3
