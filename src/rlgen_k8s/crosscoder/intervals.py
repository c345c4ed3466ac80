"""Estimates with 95 % intervals, for whole tensors of figures at once: over bootstrap samples, and over seeds."""

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

LEVEL = 0.95


class Estimate(NamedTuple):
    """Figures of one shape and their intervals; NaN where there is none."""

    value: Tensor
    low: Tensor
    high: Tensor


def interval(draws: Tensor) -> Estimate:
    """The percentile interval of `draws: [1 + resamples, ...]`, the first of which is the sample's own value.

    A figure that some resample lacks (NaN: a feature that fires in a handful of blocks) has no interval.
    """
    draws = draws.cpu()
    if len(draws) == 1:
        nothing = torch.full_like(draws[0], torch.nan)
        return Estimate(draws[0], nothing, nothing)
    ends = np.quantile(draws[1:].numpy(), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    low, high = torch.from_numpy(ends)
    return Estimate(draws[0], low, high)


def interval_over_seeds(values: Tensor) -> Estimate:
    """Mean and Student's t interval of `values: [seeds, ...]`, one figure for each seed's whole training.

    Not a percentile bootstrap: one of 2 to 5 values cannot reach beyond their extremes and covers 50 to 90 % only. One
    seed says nothing about others: no interval.
    """
    n = len(values)
    mean = values.mean(dim=0)
    if n < 2:
        nothing = torch.full_like(mean, torch.nan)
        return Estimate(mean, nothing, nothing)
    reach = values.std(dim=0) * float(student.ppf((1 + LEVEL) / 2, n - 1)) / math.sqrt(n)
    return Estimate(mean, mean - reach, mean + reach)
