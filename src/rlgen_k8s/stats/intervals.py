"""A figure and how far to trust it: percentile-bootstrap intervals."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import beta

LEVEL = 0.95
RESAMPLES = 2000
FEW_VALUES = 64
CHUNK_ELEMENTS = 4_000_000


class Interval(BaseModel):
    """A mean (or other statistic), its 95 % interval and the number of samples; all None where n is 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float | None
    low: float | None
    high: float | None
    n: int


NOTHING = Interval(mean=None, low=None, high=None, n=0)


def bootstrap_mean(values: ArrayLike, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL) -> Interval:
    """The mean of `values` `[n]` with its percentile-bootstrap interval.

    Data with few distinct values (right or wrong) are resampled as multinomial counts, which is the same
    distribution and much cheaper. Where all of n outcomes are 0, or all 1, resampling has no spread to show:
    the interval is then the exact (Clopper-Pearson) one for a proportion.
    """
    data = np.asarray(values, dtype=np.float64).ravel()
    if data.size == 0:
        return NOTHING
    n, mean = int(data.size), float(data.mean())
    distinct, counts = np.unique(data, return_counts=True)
    if distinct.size == 1 and distinct[0] in (0.0, 1.0):
        low, high = clopper_pearson(int(counts[0] * distinct[0]), n, level)
        return Interval(mean=mean, low=low, high=high, n=n)
    rng = np.random.default_rng(seed)
    if distinct.size <= FEW_VALUES:
        means = rng.multinomial(n, counts / n, size=resamples) @ distinct / n
    else:
        rows = max(1, CHUNK_ELEMENTS // n)
        sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]
        means = np.concatenate([data[rng.integers(0, n, size=(size, n))].mean(axis=1) for size in sizes])
    low, high = quantiles(means, level)
    return Interval(mean=mean, low=low, high=high, n=n)


def bootstrap(
    samples: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], float],
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """`statistic` of `samples` `[n, ...]`, resampled along the first axis (so rows stay together: paired data)."""
    data = np.asarray(samples, dtype=np.float64)
    if len(data) == 0:
        return NOTHING
    rng = np.random.default_rng(seed)
    draws = [statistic(data[rng.integers(0, len(data), size=len(data))]) for _ in range(resamples)]
    low, high = quantiles(np.asarray(draws), level)
    return Interval(mean=float(statistic(data)), low=low, high=high, n=len(data))


def clopper_pearson(successes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The exact interval of a proportion."""
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes == n else float(beta.ppf(1 - tail, successes + 1, n - successes))
    return low, high


def quantiles(draws: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The two ends that leave `(1 - level) / 2` of the draws outside on either side."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
