import math

import pytest
import torch

from rlgen_k8s.crosscoder import model_attribution_scores, normalized_relative_norms


def l1(row: torch.Tensor) -> float:
    return sum(abs(float(value)) for value in row)


def test_nrn_is_the_papers_formula_written_as_a_loop() -> None:
    base, tuned = decoder = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(0))
    expected = [l1(tuned[i]) / (l1(base[i]) + l1(tuned[i])) for i in range(9)]
    assert normalized_relative_norms(decoder).tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n_models", [2, 3, 4])
def test_mas_is_the_papers_formula_written_as_a_loop(n_models: int) -> None:
    decoder = torch.randn(n_models, 9, 5, generator=torch.Generator().manual_seed(0))
    scores = model_attribution_scores(decoder)
    for i in range(9):
        total = sum(l1(decoder[m, i]) for m in range(n_models))
        assert scores[:, i].tolist() == pytest.approx([l1(decoder[m, i]) / total for m in range(n_models)], rel=1e-6)
    assert torch.allclose(scores.sum(dim=0), torch.ones(9, dtype=torch.float64))


def test_nrn_is_0_for_base_only_half_for_shared_and_1_for_tuned_only() -> None:
    row = torch.tensor([1.0, -2.0])
    decoder = torch.stack([torch.stack([row, row, 0 * row]), torch.stack([0 * row, -row, row])])
    assert normalized_relative_norms(decoder).tolist() == [0.0, 0.5, 1.0]


def test_a_feature_that_writes_nothing_belongs_nowhere() -> None:
    assert math.isnan(normalized_relative_norms(torch.zeros(2, 1, 3))[0])


def test_nrn_of_three_models_is_refused() -> None:
    with pytest.raises(ValueError, match="two models"):
        normalized_relative_norms(torch.ones(3, 4, 2))
