from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch

from rlgen_k8s.crosscoder import Crosscoder, match_features, measure


def test_a_permuted_rescaled_decoder_is_matched_back() -> None:
    generator = torch.Generator().manual_seed(0)
    decoder = torch.randn(3, 40, 6, generator=generator)
    order = torch.randperm(40, generator=generator)
    shuffled = decoder[:, order] * 2.5
    matching = match_features(decoder, shuffled)
    assert torch.equal(order[torch.from_numpy(matching.partner)], torch.arange(40))
    assert matching.cosine == pytest.approx(np.ones(40), abs=1e-5)


def test_the_assignment_is_the_best_of_all() -> None:
    """Against all permutations of six features, cosines computed feature by feature."""
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(2, 6, 4, generator=generator) for _ in range(2))

    def cosine(i: int, j: int) -> float:
        x, y = a[:, i].flatten().double(), b[:, j].flatten().double()
        return float(x @ y / (x.norm() * y.norm()))

    best = max(sum(cosine(i, order[i]) for i in range(6)) for order in permutations(range(6)))
    matching = match_features(a, b)
    assert matching.cosine.sum() == pytest.approx(best, abs=1e-5)
    assert sorted(matching.partner) == list(range(6))
    assert matching.cosine == pytest.approx([cosine(i, matching.partner[i]) for i in range(6)], abs=1e-5)


def test_two_seeds_find_the_same_planted_features(plant: Callable[..., Any], train: Callable[..., Crosscoder]) -> None:
    planted = plant([[1] * 16, [1] * 16])
    first, second = (train(planted.data, seed=seed) for seed in (0, 1))
    writes = measure(first, planted.data, dense_rate=0.5).features.firing_rate > 0.1
    matching = match_features(first.decoder_by_model, second.decoder_by_model)
    cosines = np.sort(matching.cosine[writes.numpy()])[::-1]
    assert len(cosines) >= 16
    assert cosines[15] > 0.95
