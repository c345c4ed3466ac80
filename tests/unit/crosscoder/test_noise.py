"""What NRN spreads where nothing differs."""

from collections.abc import Callable
from typing import Any

import torch

from rlgen_k8s.crosscoder import Trainer, TrainingPlan, new_crosscoder, normalized_relative_norms, start_apart


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


def test_an_exact_copy_has_nothing_of_its_own_only_by_symmetry_unless_started_apart(
    plant: Callable[..., Any], plan: Callable[..., TrainingPlan]
) -> None:
    """From a common start NRN is 0.5 to rounding, which measures nothing; from starts of their own it spreads."""
    data = plant([[1] * 20, [1] * 20]).data
    spreads = []
    for apart in (False, True):
        trainer = Trainer(data, plan())
        if apart:
            start_apart(trainer.crosscoder, seed=1)
        while trainer.step < trainer.total_steps:
            trainer.advance()
        nrn = normalized_relative_norms(trainer.crosscoder.decoder_by_model)
        spreads.append(float((nrn - 0.5).abs().max()))
    print(f"largest |NRN - 0.5|: common start {spreads[0]:.2g}, started apart {spreads[1]:.2g}")
    assert spreads[0] < 1e-6
    assert spreads[1] > 1e-3
