"""Difference-in-differences on planted outcomes: a causal feature is found, noise is not called one."""

from collections.abc import Sequence

import numpy as np

from rlgen_k8s.stages.intervene.contrasts import contrasts
from rlgen_k8s.stages.intervene.results import COMPARISONS, Contrast, Groups, Outcome, Outcomes

N = 60
GROUPS: Groups = {
    **{(task, "held_out"): range(N) for task in ("sciq", "openbookqa")},
    **{(task, "both_right"): range(100, 100 + 2 * N) for task in ("sciq", "openbookqa")},
    ("piqa", "unseen"): range(N),
    ("piqa", "both_right"): range(100, 100 + N),
}


def answers(rng: np.random.Generator, critical: float, reference: float) -> Outcomes:
    """RL's answers, all right before: these shares of them become wrong."""
    return {
        (task, doc): Outcome(float(rng.random() >= (reference if split == "both_right" else critical)), 0)
        for (task, split), docs in GROUPS.items()
        for doc in docs
    }


def compared(rng: np.random.Generator, main: tuple[float, float], control: tuple[float, float]) -> list[Contrast]:
    before = answers(rng, 0, 0)
    answered = {
        "main": [answers(rng, *main)],
        "random_features": [answers(rng, *control) for _ in range(3)],
        "random_directions": [answers(rng, *control) for _ in range(3)],
    }
    return contrasts(answered, before, GROUPS, "zero", int(rng.integers(1000)))


def harm(found: Sequence[Contrast], comparison: str) -> bool:
    """Whether the pooled held-out interval lies below zero."""
    (one,) = [c for c in found if (c.comparison, c.task, c.split) == (comparison, "all", "held_out")]
    assert one.difference.high is not None
    return one.difference.high < 0


def test_a_planted_causal_feature_is_found_by_every_comparison() -> None:
    rng = np.random.default_rng(0)
    studies = [compared(rng, main=(0.5, 0.15), control=(0.15, 0.15)) for _ in range(40)]
    for comparison in COMPARISONS:
        assert np.mean([harm(found, comparison) for found in studies]) > 0.9


def test_harm_to_all_answers_alike_is_told_from_harm_to_what_rl_gained() -> None:
    rng = np.random.default_rng(1)
    studies = [compared(rng, main=(0.5, 0.5), control=(0.15, 0.15)) for _ in range(40)]
    assert np.mean([harm(found, "random_features") for found in studies]) > 0.9
    # 2.5 % each way: of 40 at most 5 in 99.9 of 100 cases
    assert sum(harm(found, "unchanged_by_rl") for found in studies) <= 5
    assert sum(harm(found, "unchanged_by_rl_and_random") for found in studies) <= 5


def test_pure_noise_is_called_an_effect_at_the_stated_rate() -> None:
    rng = np.random.default_rng(2)
    studies = [compared(rng, main=(0.2, 0.2), control=(0.2, 0.2)) for _ in range(60)]
    for comparison in COMPARISONS:
        # 2.5 % of 60 is 1.5: more than 6 in less than 1 of 1000 cases
        assert sum(harm(found, comparison) for found in studies) <= 6


def test_samples_that_are_not_there_make_no_comparison() -> None:
    rng = np.random.default_rng(3)
    everyone = answers(rng, 0, 0)
    answered = {"main": [everyone], "random_features": [everyone], "random_directions": [everyone]}
    found = contrasts(answered, everyone, {("sciq", "held_out"): []}, "zero", 0)
    assert {(c.difference.n, c.difference.mean, c.reference) for c in found if c.task == "sciq"} == {(0, None, 0)}
    assert {c.difference.n for c in found} == {0}
