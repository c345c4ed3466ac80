"""Generalization scores, each task's features, and what all tasks share (paper 3.2 eq. 11, 7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlgen_k8s.stages.analyse.results import FeatureScore, Selection
from rlgen_k8s.stats import benjamini_hochberg, bootstrap_mean, sign_flip_columns


@dataclass(frozen=True)
class Rule:
    """How features are chosen and tested."""

    threshold: float
    sign_flips: int
    false_discovery_rate: float
    seed: int


def above_threshold(scores: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """Features with a score above `threshold` times the largest, best first; none where no score is positive."""
    largest = scores.max(initial=0.0)
    chosen = np.flatnonzero(scores > threshold * largest) if largest > 0 else np.empty(0, dtype=np.int64)
    return chosen[np.argsort(-scores[chosen], kind="stable")]


def select(
    base: NDArray[np.float32], rl: NDArray[np.float32], held_out: NDArray[np.float64] | None, rule: Rule
) -> Selection:
    """Choose features on `[samples, D]` last-token features of both models.

    The score of feature i is the mean over samples of `f_i^(RL) − f_i^(base)`. `held_out` `[D]`: scores on other
    samples, to put beside. The p of a score: flip the sign of each sample's difference, for all features at once.
    """
    difference = rl.astype(np.float64) - base.astype(np.float64)
    if len(difference) == 0:
        return Selection(
            n=0, largest=None, features=[], firing=0, significant=0, significant_of_all=0, family_significant=0
        )
    scores = difference.mean(axis=0)
    firing = np.flatnonzero((rl > 0).any(axis=0) | (base > 0).any(axis=0))
    p, q, family = (np.ones(len(scores)) for _ in range(3))
    if len(firing):
        tests = sign_flip_columns(difference[:, firing], rule.seed, rule.sign_flips)
        p[firing], q[firing], family[firing] = tests.p, benjamini_hochberg(tests.p), tests.family
    chosen = above_threshold(scores, rule.threshold)
    real = q <= rule.false_discovery_rate
    features = [
        FeatureScore(
            feature=int(i),
            score=bootstrap_mean(difference[:, i], rule.seed),
            p=float(p[i]),
            q=float(q[i]),
            family=float(family[i]),
            held_out=None if held_out is None else float(held_out[i]),
        )
        for i in chosen
    ]
    return Selection(
        n=len(difference),
        largest=float(scores.max()),
        features=features,
        firing=len(firing),
        significant=int(real[chosen].sum()),
        significant_of_all=int((real & (scores > 0)).sum()),
        family_significant=int((family[chosen] <= rule.false_discovery_rate).sum()),
    )


def intersection(sets: Sequence[Sequence[int]]) -> list[int]:
    """Features in every set, in order of index; none where there is no set."""
    return sorted(set(sets[0]).intersection(*sets[1:])) if sets else []


def fallback(per_task: Mapping[str, Selection], most: int) -> tuple[list[int], str]:
    """A set to intervene on where the intersection is empty, and the rule in words.

    The features that the largest number of tasks chose; ties by their mean share of the task's largest score.
    """
    rule = (
        f"up to {most} features chosen by the largest number of tasks (one may do), ties by the mean of "
        "score / the task's largest score"
    )
    votes: dict[int, list[float]] = {}
    for selection in per_task.values():
        for item in selection.features:
            votes.setdefault(item.feature, []).append((item.score.mean or 0.0) / (selection.largest or 1.0))
    ranked = sorted(votes, key=lambda f: (-len(votes[f]), -float(np.mean(votes[f])), f))
    return ranked[:most], rule
