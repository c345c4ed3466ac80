"""Distributions of NRN and MAS over features (paper 3.1, figures 1 and 3), and over starts of the crosscoder."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from rlgen_k8s.crosscoder import interval_over_seeds
from rlgen_k8s.stages.analyse.results import Distribution
from rlgen_k8s.stats import Interval, bootstrap_mean
from rlgen_k8s.stats.intervals import NOTHING

Scores = NDArray[np.float64]

NRN_LIMITS = ("<0.1", "<0.3", ">0.7", ">0.9")
"""Below the first two: mostly the base model's own; above the last two: mostly the tuned model's own."""
MAS_LIMITS = (">0.5", ">0.7", ">0.9")
"""Above: attributed to this model more than to the other two together, and further."""


def nrn_distribution(scores: Scores, restarts: Sequence[Scores], edges: Scores, seed: int) -> Distribution:
    """NRN `[D]` of a two-model crosscoder; `restarts`: of its other starts."""
    return _distribution(scores, restarts, edges, NRN_LIMITS, seed)


def mas_distribution(scores: Scores, restarts: Sequence[Scores], edges: Scores, seed: int) -> Distribution:
    """MAS `[D]` of one model in the joint crosscoder; `restarts`: in its other starts."""
    return _distribution(scores, restarts, edges, MAS_LIMITS, seed)


def over_starts(values: Scores) -> Interval:
    """Mean and Student's interval of a share `[starts]`, cut where no share can be; NaN: a start that has none.

    Nothing where fewer than two have: one says nothing about others.
    """
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return NOTHING
    mean, low, high = (float(end) for end in interval_over_seeds(torch.from_numpy(known)))
    return Interval(mean=mean, low=max(low, 0.0), high=min(high, 1.0), n=len(known))


def _distribution(
    scores: Scores, restarts: Sequence[Scores], edges: Scores, limits: Sequence[str], seed: int
) -> Distribution:
    written = scores[~np.isnan(scores)]
    starts = [one[~np.isnan(one)] for one in (scores, *restarts)]
    return Distribution(
        counts=[int(count) for count in np.histogram(written, bins=edges)[0]],
        mean=float(written.mean()) if len(written) else None,
        beyond={limit: bootstrap_mean(_beyond(written, limit), seed) for limit in limits},
        over_seeds={
            limit: over_starts(np.array([_beyond(one, limit).mean() if len(one) else np.nan for one in starts]))
            for limit in (limits if restarts else ())
        },
        unwritten=len(scores) - len(written),
    )


def _beyond(scores: Scores, limit: str) -> NDArray[np.bool_]:
    value = float(limit[1:])
    return scores < value if limit[0] == "<" else scores > value
