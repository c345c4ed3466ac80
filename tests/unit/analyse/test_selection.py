"""Scores, sets and dynamics by hand."""

import numpy as np
import pytest
import torch

from rlgen_k8s.crosscoder.attribution import model_attribution_scores, normalized_relative_norms
from rlgen_k8s.stages.analyse.controls import matched_sets
from rlgen_k8s.stages.analyse.dynamics import labels_along, overlap_matrix, top_labels, transition
from rlgen_k8s.stages.analyse.selection import Rule, above_threshold, fallback, intersection, select
from rlgen_k8s.stages.analyse.specificity import nrn_distribution

RULE = Rule(threshold=0.2, sign_flips=199, false_discovery_rate=0.05, seed=0)


def test_nrn_and_mas_by_hand() -> None:
    decoder = torch.tensor([[[1.0, -1.0], [0.0, 0.0], [2.0, 2.0]], [[3.0, 3.0], [5.0, 0.0], [-2.0, 2.0]]])
    assert normalized_relative_norms(decoder).tolist() == [0.75, 1.0, 0.5]
    three = torch.cat([decoder, torch.tensor([[[2.0, 0.0], [5.0, 0.0], [0.0, 0.0]]])])
    assert model_attribution_scores(three).T.tolist() == [[0.2, 0.6, 0.2], [0.0, 0.5, 0.5], [0.5, 0.5, 0.0]]


def test_a_feature_that_writes_nothing_is_counted_apart() -> None:
    found = nrn_distribution(np.array([0.95, 0.5, np.nan, 0.05]), [], np.linspace(0, 1, 11), seed=0)
    assert sum(found.counts) == 3
    assert found.unwritten == 1
    assert found.beyond[">0.9"].mean == pytest.approx(1 / 3)
    assert found.beyond["<0.1"].n == 3


def test_threshold_is_a_share_of_the_largest_score() -> None:
    scores = np.array([0.1, 1.0, 0.2, 0.21, -5.0])
    assert above_threshold(scores, 0.2).tolist() == [1, 3]
    assert above_threshold(np.array([-1.0, 0.0]), 0.2).tolist() == []


def test_scores_are_mean_differences_of_the_two_models() -> None:
    base = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 2.0]], dtype=np.float32)
    rl = np.array([[2.0, 1.5, 0.0], [4.0, 1.5, 0.0]], dtype=np.float32)
    found = select(base, rl, None, RULE)
    assert found.ids == [0]
    assert found.features[0].score.mean == 3.0
    assert found.firing == 3


def test_noise_is_rarely_significant_though_the_threshold_always_selects() -> None:
    rng = np.random.default_rng(0)
    base, rl = (np.maximum(rng.normal(size=(40, 200)), 0).astype(np.float32) for _ in range(2))
    found = select(base, rl, None, RULE)
    assert len(found.features) > 10
    assert found.significant <= 2
    assert found.family_significant <= 1


def test_intersection_and_fallback() -> None:
    assert intersection([[3, 1, 2], [2, 3], [3, 2, 9]]) == [2, 3]
    assert intersection([[1], []]) == []
    assert intersection([]) == []
    pairs = {"a": [5.0, 4.0, 0.0, 0.0], "b": [0.0, 9.0, 9.0, 0.0], "c": [0.0, 1.0, 0.0, 8.0], "d": [0.0, 0.0, 4.0, 0.0]}
    chosen = {
        task: select(np.zeros((2, 4), np.float32), np.array([scores] * 2, np.float32), None, RULE)
        for task, scores in pairs.items()
    }
    # 1 is chosen by a and b (by c it is below the threshold), 2 by b and d; 0 and 3 by one task only
    assert fallback(chosen, 8)[0] == [2, 1, 0, 3]
    assert fallback(chosen, 1)[0] == [2]
    assert fallback({}, 8)[0] == []


def test_labels_follow_the_matching_and_leftovers_are_new() -> None:
    matches = [(np.array([2, 0, 1]), np.array([0.9, 0.95, 0.1])), (np.array([0, 1, 2]), np.array([1.0, 1.0, 1.0]))]
    labels = labels_along(matches, 3, least_cosine=0.7)
    assert [row.tolist() for row in labels] == [[0, 1, 2], [1, 3, 0], [1, 3, 0]]


def test_overlap_and_rank_shifts_with_blanks() -> None:
    scores = np.array([0.9, 0.2, 0.7, 0.8, np.nan])
    assert top_labels(scores, np.arange(10, 15), 3) == [10, 13, 12]
    assert overlap_matrix([[1, 2], [2, 3]]) == [[2, 1], [1, 2]]
    found = transition([7, 8, 9], [9, 7, 4], (1, 2))
    assert [(s.feature, s.before, s.after) for s in found.shifts] == [(7, 1, 2), (8, 2, None), (9, 3, 1), (4, None, 3)]
    assert found.blanks == 1
    assert found.median_shift == 1.5
    assert transition([1], [2], (1, 2)).median_shift is None


def test_controls_are_alike_in_norm_and_rate() -> None:
    rng = np.random.default_rng(0)
    rate, norms = rng.random(5000), rng.random((3, 5000))
    chosen = [3, 4, 5]
    sets = matched_sets(chosen, excluded=[6], norms=norms, rate=rate, n_sets=50, rng=rng)
    assert not {i for s in sets for i in s} & {3, 4, 5, 6}
    for alike in (rate, *norms):
        away = np.abs(np.array([alike[drawn] - alike[chosen] for drawn in sets])).mean()
        at_random = np.abs(alike[:, None] - alike[chosen]).mean()
        assert away < 0.5 * at_random
    assert len(matched_sets([0], [], np.ones((1, 1)), np.ones(1), 1, rng)[0]) == 0
