"""The statistics agree with known values, loops and brute force."""

from itertools import combinations, product

import numpy as np
import pytest

from rlgen_k8s.stats import (
    benjamini_hochberg,
    bootstrap,
    bootstrap_mean,
    difference,
    jaccard,
    mcnemar,
    mean_change,
    overlap_of,
    paired_t,
    sign_flip,
    sign_flip_columns,
)


def test_bootstrap_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(3)
    intervals = [bootstrap_mean(rng.random(200) < 0.3, seed=i, resamples=500) for i in range(300)]
    covered = np.mean([i.low <= 0.3 <= i.high for i in intervals if i.low is not None and i.high is not None])
    assert 0.90 <= covered <= 0.985


def test_bootstrap_of_many_values_has_the_standard_error_of_theory() -> None:
    data = np.random.default_rng(0).normal(5, 2, size=400)
    got = bootstrap_mean(data)
    assert got.low is not None
    assert got.high is not None
    assert (got.high - got.low) / (2 * 1.96) == pytest.approx(data.std() / np.sqrt(400), rel=0.08)
    same = bootstrap(data, lambda x: float(x.mean()))
    assert same.low == pytest.approx(got.low, abs=0.05)
    assert same.high == pytest.approx(got.high, abs=0.05)


def test_nothing_in_nothing_out_and_all_right_is_not_certainty() -> None:
    assert bootstrap_mean([]).mean is None
    none_of_ten = bootstrap_mean(np.zeros(10))
    assert none_of_ten.low == 0
    assert none_of_ten.high == pytest.approx(0.3085, abs=1e-3)  # 1 - 0.025 ** (1 / 10)


def test_mcnemar_known_value() -> None:
    before, after = np.array([0] * 10 + [1] * 2 + [1] * 30), np.array([1] * 10 + [0] * 2 + [1] * 30)
    test = mcnemar(before, after)
    # 2 * (C(12,0) + C(12,1) + C(12,2)) / 2**12
    assert test.p == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert (test.up, test.down, test.difference.n) == (10, 2, 42)
    assert mcnemar([1, 0], [1, 0]).p == 1


def test_paired_t_by_hand_and_permutation_by_enumeration() -> None:
    before, after = np.array([0.1, 0.3, 0.2, 0.5, 0.4, 0.1]), np.array([0.4, 0.5, 0.1, 0.9, 0.8, 0.3])
    change = after - before
    t = change.mean() / (change.std(ddof=1) / np.sqrt(6))
    assert paired_t(before, after).p == pytest.approx(2 * _t_tail(abs(t), 5), rel=1e-3)
    flips = [abs(np.dot(signs, change)) >= abs(change.sum()) - 1e-12 for signs in product([-1, 1], repeat=6)]
    assert sign_flip(before, after).p == pytest.approx(np.mean(flips), abs=0.01)


def _t_tail(t: float, dof: int) -> float:
    """The upper tail of Student's t by integrating its density."""
    from math import gamma, pi, sqrt

    grid = np.linspace(t, 400, 2_000_001)
    density = gamma((dof + 1) / 2) / (sqrt(dof * pi) * gamma(dof / 2)) * (1 + grid**2 / dof) ** (-(dof + 1) / 2)
    return float(np.sum((density[1:] + density[:-1]) / 2) * (grid[1] - grid[0]))


def test_benjamini_hochberg_rejects_what_the_step_up_procedure_rejects() -> None:
    p = np.random.default_rng(1).random(50) ** 3
    for q in (0.01, 0.05, 0.2):
        ranked = sorted(p)
        passing = [rank for rank, value in enumerate(ranked, 1) if value <= rank * q / len(p)]
        limit = ranked[max(passing) - 1] if passing else -1
        assert (benjamini_hochberg(p) <= q).tolist() == (p <= limit).tolist()


def test_overlap_by_chance_is_the_mean_over_all_pairs_of_sets() -> None:
    first = {0, 1, 2}
    shared = [len(first & set(other)) for other in combinations(range(7), 4)]
    got = overlap_of(first, [0, 1, 5, 6], universe=7)
    assert got.by_chance == pytest.approx(np.mean(shared))
    assert got.p == pytest.approx(np.mean(np.array(shared) >= 2))
    assert got.shared == 2
    assert jaccard([1, 2], [2, 3]) == pytest.approx(1 / 3)
    assert jaccard([], []) == 0


def test_max_t_is_the_share_of_all_sign_patterns_whose_largest_statistic_is_as_large() -> None:
    data = np.random.default_rng(0).normal(size=(7, 4)) + np.array([1.5, 0.0, 0.6, 0.0])
    found = sign_flip_columns(data, draws=20_000)
    lengths = [float(np.sqrt((column**2).sum())) for column in data.T]
    patterns = [
        [abs(float(np.dot(signs, column))) / length for column, length in zip(data.T, lengths, strict=True)]
        for signs in product([1, -1], repeat=7)
    ]
    for i, value in enumerate(patterns[0]):  # all signs as they are
        limit = value - 1e-12
        assert found.family[i] == pytest.approx(np.mean([max(row) >= limit for row in patterns]), abs=0.015)
        assert found.p[i] == pytest.approx(np.mean([row[i] >= limit for row in patterns]), abs=0.015)


def test_of_pure_noise_max_t_calls_something_in_one_study_of_twenty_and_finds_what_is_planted() -> None:
    rng = np.random.default_rng(1)
    false, found = 0, 0
    for study in range(200):
        common = rng.normal(size=(30, 1))  # features of one sample depend on each other
        noise = rng.normal(size=(30, 40)) + common
        false += bool((sign_flip_columns(noise, study, 199).family <= 0.05).any())
        noise[:, 7] += 1.5
        found += bool(sign_flip_columns(noise, study, 199).family[7] <= 0.05)
    # binomial(200, 0.05): at most 18 in 99 of 100 cases
    assert false <= 18
    assert found >= 190


def test_where_nothing_changed_the_interval_opens_to_where_a_change_could_have_gone() -> None:
    for before, ends in (([1.0] * 8, (-1, 0)), ([0.0] * 8, (0, 1)), ([0.0, 1.0] * 4, (-1, 1))):
        found = mean_change(before, before)
        assert (np.sign(found.low or 0), np.sign(found.high or 0)) == ends
        assert found.mean == 0
        assert max(abs(found.low or 0), abs(found.high or 0)) == pytest.approx(1 - 0.025 ** (1 / 8))
    everything = mean_change([1.0] * 8, [0.0] * 8)
    assert (everything.mean, everything.low) == (-1, -1)
    assert everything.high == pytest.approx(-(0.025 ** (1 / 8)))
    assert mean_change([], []).n == 0


def test_a_difference_weighs_strata_as_the_first_samples_do_and_agrees_with_a_plain_bootstrap() -> None:
    rng = np.random.default_rng(2)
    first = [(rng.random(60) < 0.6) * 1.0, (rng.random(20) < 0.2) * 1.0]
    second = [(rng.random(30) < 0.3) * 1.0, (rng.random(200) < 0.1) * 1.0]
    found = difference([bootstrap_mean(x) for x in first], [bootstrap_mean(x) for x in second])

    def statistic(a: list[np.ndarray], b: list[np.ndarray]) -> float:
        return sum(len(x) / 80 * (x.mean() - y.mean()) for x, y in zip(a, b, strict=True))

    draws = [
        statistic([rng.choice(x, len(x)) for x in first], [rng.choice(x, len(x)) for x in second]) for _ in range(4000)
    ]
    assert found.mean == pytest.approx(statistic(first, second))
    assert (found.low, found.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.02)
    assert found.n == 80
    nothing = bootstrap_mean([])
    assert difference([bootstrap_mean(first[0]), nothing], [bootstrap_mean(second[0])] * 2).n == 60
    assert difference([nothing], [nothing]).mean is None


def test_difference_in_differences_finds_a_planted_effect_and_covers_none_95_times_in_100() -> None:
    rng = np.random.default_rng(5)
    covered, seen = [], []
    for study in range(300):
        groups = []
        for n, rate in ((80, 0.3), (80, 0.6), (200, 0.3)):
            groups.append(mean_change(np.ones(n), (rng.random(n) > rate) * 1.0, study))
        same, hurt, reference = groups
        without, planted = difference([same], [reference]), difference([hurt], [reference])
        assert without.low is not None
        assert without.high is not None
        assert planted.high is not None
        covered.append(without.low <= 0 <= without.high)
        seen.append(planted.high < 0)
    assert 0.92 <= np.mean(covered) <= 0.985
    assert np.mean(seen) > 0.95
