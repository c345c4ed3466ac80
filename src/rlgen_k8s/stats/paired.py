"""Tests of two models on the same samples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest, ttest_rel

from rlgen_k8s.stats.intervals import Interval, bootstrap_mean

DRAWS_AT_ONCE = 500
"""Sign patterns in memory at a time: `DRAWS_AT_ONCE × features` values."""


class PairedTest(BaseModel):
    """Difference `after − before` on the same samples, with its interval and the two-sided p of `test`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    test: str
    difference: Interval
    up: int
    """Samples on which `after` is higher."""
    down: int
    """Samples on which `after` is lower."""
    p: float


def mcnemar(before: ArrayLike, after: ArrayLike, seed: int = 0) -> PairedTest:
    """Exact McNemar test of right (1) and wrong (0) on the same samples `[n]`: are the changes one-sided?"""
    x, y = _pair(before, after)
    if not np.isin(np.concatenate([x, y]), (0.0, 1.0)).all():
        raise ValueError("McNemar's test is for outcomes 0 and 1")
    up, down = int((y > x).sum()), int((y < x).sum())
    p = float(binomtest(up, up + down).pvalue) if up + down else 1.0
    return PairedTest(test="exact McNemar", difference=bootstrap_mean(y - x, seed), up=up, down=down, p=p)


def paired_t(before: ArrayLike, after: ArrayLike, seed: int = 0) -> PairedTest:
    """Paired t test of means of k `[n]` on the same samples; p is 1 where nothing differs.

    Where every sample changes by the same amount t is infinite: p is then that of the sign test, `2^(1−n)`.
    """
    x, y = _pair(before, after)
    change = y - x
    if not change.any() or len(x) < 2:
        p = 1.0
    elif np.ptp(change) == 0:
        p = 2.0 ** (1 - len(x))
    else:
        p = float(ttest_rel(y, x).pvalue)
    up, down = int((change > 0).sum()), int((change < 0).sum())
    return PairedTest(test="paired t", difference=bootstrap_mean(change, seed), up=up, down=down, p=p)


def sign_flip(before: ArrayLike, after: ArrayLike, seed: int = 0, draws: int = 10_000) -> PairedTest:
    """Paired permutation test: under no effect each difference is as likely to have the other sign."""
    x, y = _pair(before, after)
    change = y - x
    p = float(sign_flip_columns(change[:, None], seed, draws).p[0]) if len(change) else 1.0
    up, down = int((change > 0).sum()), int((change < 0).sum())
    return PairedTest(test="paired permutation", difference=bootstrap_mean(change, seed), up=up, down=down, p=p)


class FlipTests(NamedTuple):
    """Sign-flip tests of many columns on the same samples; both `[features]`."""

    p: NDArray[np.float64]
    """Two-sided, of each column alone."""
    family: NDArray[np.float64]
    """Adjusted by max-T (Westfall & Young 1993): how often the largest of all columns' `|sum| / ‖column‖` is as large.
    Rejecting those ≤ α calls anything out of nothing in at most α of all studies, however the columns depend."""


def sign_flip_columns(differences: ArrayLike, seed: int = 0, draws: int = 1000) -> FlipTests:
    """Tests of each column's mean, `[n, features]`; whole rows flip together.

    The smallest p is `1 / (draws + 1)`, so no draw counts as proof.
    """
    data = np.asarray(differences, dtype=np.float64)
    observed, scale = np.abs(data.sum(axis=0)), np.linalg.norm(data, axis=0)
    scale[scale == 0] = 1.0
    rng = np.random.default_rng(seed)
    tolerance = 1e-9 * np.abs(data).sum(axis=0)
    as_large, largest = np.zeros(data.shape[1]), []
    for start in range(0, draws, DRAWS_AT_ONCE):
        signs = rng.choice([-1.0, 1.0], size=(min(DRAWS_AT_ONCE, draws - start), len(data)))
        drawn = np.abs(signs @ data)
        as_large += (drawn >= observed - tolerance).sum(axis=0)
        largest.append((drawn / scale).max(axis=1, initial=0.0))
    below = np.searchsorted(np.sort(np.concatenate(largest)), (observed - tolerance) / scale, side="left")
    return FlipTests((as_large + 1) / (draws + 1), (draws - below + 1) / (draws + 1))


def _pair(before: ArrayLike, after: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(before, dtype=np.float64).ravel(), np.asarray(after, dtype=np.float64).ravel()
    if x.shape != y.shape:
        raise ValueError(f"paired samples must be the same ones: got {x.size} and {y.size}")
    return x, y
