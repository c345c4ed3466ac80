"""Shares of use over sequences, scores over seeds, and the intervals of both."""

import math

import numpy as np
import pytest
import torch

from rlgen_k8s.crosscoder import Crosscoder, JointActivations, interval_over_seeds, over_seeds, share_of_use
from rlgen_k8s.crosscoder.blocks import BlockWeights, in_blocks
from rlgen_k8s.crosscoder.matching import Matching
from rlgen_k8s.errors import UserError


def crosscoder(n_features: int, n_models: int = 2) -> Crosscoder:
    """Reads one unit of model a a feature, so that what fires is what the data says."""
    encoder = torch.cat([torch.eye(n_features), torch.zeros((n_models - 1) * n_features, n_features)])
    zeros = torch.zeros(n_features)
    names, scales = tuple("abc"[:n_models]), (1.0,) * n_models
    return Crosscoder(names, scales, encoder, zeros, encoder.T.clone(), torch.zeros(n_models * n_features))


@pytest.mark.parametrize("n_models", [2, 3])
def test_share_of_use_counts_firings_and_draws_sequences(n_models: int) -> None:
    lengths = torch.tensor([3, 10, 1, 6] * 10)
    n, generator = int(lengths.sum()), torch.Generator().manual_seed(0)
    # Sequences differ in what fires, so drawing tokens instead would give a much narrower interval.
    rate = torch.rand(len(lengths), 4, generator=generator).repeat_interleave(lengths, dim=0)
    raw = (torch.rand(n, 4, generator=generator) < rate).float()
    data = JointActivations(tuple("abc"[:n_models]), (raw,) * n_models, (1.0,) * n_models)
    groups = torch.tensor([[True, False, False, True], [False] * 4])
    found = share_of_use(crosscoder(4, n_models), data, groups, lengths, batch=16)
    assert found.value.tolist() == pytest.approx([float(raw[:, [0, 3]].sum() / raw.sum()), 0.0])
    parts = [(float(part[:, [0, 3]].sum()), float(part.sum())) for part in raw.split(lengths.tolist())]
    drawn = np.random.default_rng(0).integers(0, len(parts), (4000, len(parts)))
    sums = np.array(parts)[drawn].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    assert float(found.low[0]) == pytest.approx(low, abs=0.15 * (high - low))
    assert float(found.high[0]) == pytest.approx(high, abs=0.15 * (high - low))


def test_chunks_hold_whole_sequences_and_every_token_once() -> None:
    raw = torch.arange(50.0)[:, None]
    data = JointActivations(("a", "b"), (raw, -raw), (1.0, 2.0))
    lengths = torch.tensor([4, 1, 20, 3, 3, 3, 9, 7])
    seen, sizes, blocks = [], [], []
    for chunk in in_blocks(data, lengths, 10):
        assert len(chunk.x) == sum(chunk.lengths) <= 20
        assert chunk.x[0, 0] == chunk.start
        seen += chunk.x[:, 0].tolist()
        sizes += chunk.lengths
        blocks.append(chunk.first_block)
        assert torch.equal(chunk.x[:, 1], -2 * chunk.x[:, 0])
    assert seen == raw[:, 0].tolist()
    assert sizes == lengths.tolist()
    assert blocks == [0, 2, 3, 6, 7]
    with pytest.raises(ValueError, match="blocks of 49 rows"):
        next(in_blocks(data, lengths - torch.tensor([1, 0, 0, 0, 0, 0, 0, 0]), 10))


def test_a_sequences_weights_do_not_depend_on_how_tokens_are_chunked() -> None:
    data = JointActivations(("a", "b"), (torch.zeros(40, 1), torch.zeros(40, 1)), (1.0, 1.0))
    drawn = [
        torch.cat(
            [BlockWeights(300, 5).of(chunk, torch.zeros(())) for chunk in in_blocks(data, lengths, tokens)], dim=1
        )
        for lengths, tokens in ((torch.full((8,), 5), 5), (torch.full((8,), 5), 17))
    ]
    assert torch.equal(*drawn)
    assert torch.equal(drawn[0][0], torch.ones(8))
    assert float(drawn[0][1:].mean()) == pytest.approx(1.0, abs=0.1)
    assert float(drawn[0][1:].var()) == pytest.approx(1.0, abs=0.15)


def test_scores_over_seeds_follow_the_matching() -> None:
    first, second = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.2, 0.8, 0.6])
    matching = Matching(np.array([2, -1, 1]), np.array([0.9, 0.0, 0.8]))
    found = over_seeds([first, second], [matching])
    assert torch.equal(found[0], first)
    assert found[1].tolist() == pytest.approx([0.6, math.nan, 0.8], nan_ok=True)


def test_an_interval_over_seeds_is_students_and_covers() -> None:
    """Three seeds of a known mean, many times: 95 % of the intervals hold it; one seed gives none."""
    values = torch.randn(3, 20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = interval_over_seeds(values)
    covered = ((found.low <= 0) & (found.high >= 0)).double().mean()
    assert float(covered) == pytest.approx(0.95, abs=0.01)
    alone = interval_over_seeds(values[:1])
    assert torch.equal(alone.value, values[0])
    assert alone.low.isnan().all()


def test_data_in_other_units_is_refused() -> None:
    raw = torch.ones(4, 2)
    with pytest.raises(UserError, match=r"activations a × 1, b × 2: the crosscoder is for a × 1, b × 1"):
        share_of_use(
            crosscoder(2),
            JointActivations(("a", "b"), (raw, raw), (1.0, 2.0)),
            torch.ones(1, 2).bool(),
            torch.tensor([4]),
        )
