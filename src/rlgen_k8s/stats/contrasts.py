"""Changes of outcomes, and differences between such changes: difference-in-differences with its interval."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from rlgen_k8s.stats.intervals import NOTHING, Interval, bootstrap_mean, clopper_pearson


def mean_change(before: ArrayLike, after: ArrayLike, seed: int = 0) -> Interval:
    """Mean of `after − before` on the same samples `[n]`, both in 0..1, with its percentile-bootstrap interval.

    Where no sample changed, resampling has no spread to show: the interval is then the exact (Clopper-Pearson) one of
    a proportion, opened to the sides that a change could have gone to. With the outcomes under a control as `before`
    this is a paired difference-in-differences: what the two changes have in common cancels.
    """
    x, y = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    change = y - x
    if change.size and not change.any():
        reach = clopper_pearson(0, change.size)[1]
        low, high = (-reach if (x > 0).any() else 0.0), (reach if (x < 1).any() else 0.0)
        return Interval(mean=0.0, low=low, high=high, n=change.size)
    if change.size and (change == -1).all():
        reach = clopper_pearson(change.size, change.size)[0]
        return Interval(mean=-1.0, low=-1.0, high=-reach, n=change.size)
    return bootstrap_mean(change, seed)


def difference(first: Sequence[Interval], second: Sequence[Interval]) -> Interval:
    """How much larger the `first` means are than the `second` ones, which come from other samples.

    One pair of means for each stratum (task); `sum_s w_s (first_s − second_s)` with `w_s` the stratum's share of the
    first samples, so that other proportions of the tasks in the second make no difference. Strata that lack either are
    left out; `n` counts the first samples of the rest. The interval follows from those of the means (method of variance
    estimates recovery; Zou & Donner 2008), so a stratum in which nothing changed still widens it.
    """
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a.n and b.n]
    n = sum(a.n for a, _b in pairs)
    if not n:
        return NOTHING
    weights = np.array([a.n / n for a, _b in pairs])
    (mean_a, low_a, high_a), (mean_b, low_b, high_b) = (
        np.array([[i.mean, i.low, i.high] for i in part], dtype=np.float64).T for part in zip(*pairs, strict=True)
    )
    mean = float(weights @ (mean_a - mean_b))
    below = float(np.sqrt(weights**2 @ ((mean_a - low_a) ** 2 + (high_b - mean_b) ** 2)))
    above = float(np.sqrt(weights**2 @ ((high_a - mean_a) ** 2 + (mean_b - low_b) ** 2)))
    return Interval(mean=mean, low=mean - below, high=mean + above, n=n)
