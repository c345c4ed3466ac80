from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from rlgen_k8s.crosscoder import Crosscoder, match_features, measure


def test_a_permuted_rescaled_decoder_is_matched_back() -> None:
    generator = torch.Generator().manual_seed(0)
    decoder = torch.randn(3, 40, 6, generator=generator)
    order = torch.randperm(40, generator=generator)
    shuffled = decoder[:, order] * 2.5
    matching = match_features(decoder, shuffled)
    assert torch.equal(order[torch.from_numpy(matching.partner)], torch.arange(40))
    assert matching.cosine == pytest.approx(np.ones(40), abs=1e-5)


@pytest.mark.parametrize("least", [0.05, 0.3, 0.6])
def test_the_matching_is_the_best_of_all(least: float) -> None:
    """Against all permutations of six features, cosines feature by feature; a pair below `least` adds nothing."""
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(2, 6, 4, generator=generator) for _ in range(2))

    def gain(i: int, j: int) -> float:
        x, y = a[:, i].flatten().double(), b[:, j].flatten().double()
        return max(0.0, float(x @ y / (x.norm() * y.norm())) - least)

    best = max(sum(gain(i, order[i]) for i in range(6)) for order in permutations(range(6)))
    matching = match_features(a, b, least)
    pairs = [(i, j) for i, j in enumerate(matching.partner) if j >= 0]
    assert len({j for _i, j in pairs}) == len(pairs)
    assert sum(gain(i, j) for i, j in pairs) == pytest.approx(best, abs=1e-5)
    assert [matching.cosine[i] for i, _j in pairs] == pytest.approx([gain(i, j) + least for i, j in pairs], abs=1e-5)
    assert all(matching.cosine[i] == 0 for i in range(6) if matching.partner[i] < 0)


@pytest.mark.parametrize("rows", [7, 64, 1000])
def test_the_sparse_matching_equals_the_dense_assignment(rows: int) -> None:
    """SciPy's dense solver on all D² pairs: half of the features have a noisy twin, the rest are strangers."""
    generator = torch.Generator().manual_seed(2)
    n, least = 300, 0.3
    a = torch.randn(3, n, 5, generator=generator)
    b = torch.randn(3, n, 5, generator=generator)
    b[:, :150] = a[:, 100:250] + 0.8 * torch.randn(3, 150, 5, generator=generator)
    rows_a, rows_b = (x.transpose(0, 1).reshape(n, 15).double().numpy() for x in (a, b))
    rows_a, rows_b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rows_a, rows_b))
    gains = np.maximum(rows_a @ rows_b.T - least, 0)
    i, j = linear_sum_assignment(gains, maximize=True)
    dense = {(x, y) for x, y in zip(i, j, strict=True) if gains[x, y] > 0}
    matching = match_features(a, b, least, rows=rows)
    assert {(x, y) for x, y in enumerate(matching.partner) if y >= 0} == dense
    assert matching.same(0.6).sum() == sum(gains[pair] >= 0.3 for pair in dense)


def test_strangers_have_no_partner() -> None:
    generator = torch.Generator().manual_seed(3)
    matching = match_features(*(torch.randn(2, 50, 400, generator=generator) for _ in range(2)))
    assert (matching.partner == -1).all()
    assert (matching.cosine == 0).all()
    assert not matching.same(0.3).any()


@pytest.mark.parametrize("n_models", [2, 3])
def test_two_seeds_find_the_same_planted_features(
    plant: Callable[..., Any], train: Callable[..., Crosscoder], n_models: int
) -> None:
    planted = plant([[1] * 16] * n_models)
    first, second = (train(planted.data, seed=seed) for seed in (0, 1))
    writes = measure(first, planted.data, dense_rate=0.5).features.firing_rate > 0.1
    matching = match_features(first.decoder_by_model, second.decoder_by_model)
    cosines = np.sort(matching.cosine[writes.numpy()])[::-1]
    assert len(cosines) >= 16
    assert cosines[15] > 0.95
