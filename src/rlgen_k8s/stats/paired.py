"""Tests of two models on the same samples."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest, ttest_rel

from rlgen_k8s.stats.intervals import Interval, bootstrap_mean


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
    p = float(sign_flip_columns(change[:, None], seed, draws)[0]) if len(change) else 1.0
    up, down = int((change > 0).sum()), int((change < 0).sum())
    return PairedTest(test="paired permutation", difference=bootstrap_mean(change, seed), up=up, down=down, p=p)


def sign_flip_columns(differences: ArrayLike, seed: int = 0, draws: int = 1000) -> NDArray[np.float64]:
    """Two-sided sign-flip p of each column's mean `[n, features] -> [features]`; whole rows flip together.

    The smallest p is `1 / (draws + 1)`, so no draw counts as proof.
    """
    data = np.asarray(differences, dtype=np.float64)
    observed = np.abs(data.sum(axis=0))
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1.0, 1.0], size=(draws, len(data)))
    tolerance = 1e-9 * np.abs(data).sum(axis=0)
    as_large = (np.abs(signs @ data) >= observed - tolerance).sum(axis=0)
    return np.asarray((as_large + 1) / (draws + 1), dtype=np.float64)


def _pair(before: ArrayLike, after: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(before, dtype=np.float64).ravel(), np.asarray(after, dtype=np.float64).ravel()
    if x.shape != y.shape:
        raise ValueError(f"paired samples must be the same ones: got {x.size} and {y.size}")
    return x, y
