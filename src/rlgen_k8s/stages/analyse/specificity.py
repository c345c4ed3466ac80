"""Distributions of NRN and MAS over features (paper 3.1, figures 1 and 3)."""

import numpy as np
from numpy.typing import NDArray

from rlgen_k8s.stages.analyse.results import Distribution
from rlgen_k8s.stats import bootstrap_mean

NRN_LIMITS = (0.1, 0.3, 0.7, 0.9)
"""Below the first two: mostly the base model's own; above the last two: mostly the tuned model's own."""
MAS_LIMITS = (0.5, 0.7, 0.9)
"""Above: attributed to this model more than to the other two together, and further."""


def nrn_distribution(scores: NDArray[np.float64], edges: NDArray[np.float64], seed: int) -> Distribution:
    """NRN `[D]` of a two-model crosscoder."""
    low = {f"<{limit}": scores < limit for limit in NRN_LIMITS if limit < 0.5}
    high = {f">{limit}": scores > limit for limit in NRN_LIMITS if limit > 0.5}
    return _distribution(scores, edges, low | high, seed)


def mas_distribution(scores: NDArray[np.float64], edges: NDArray[np.float64], seed: int) -> Distribution:
    """MAS `[D]` of one model in the joint crosscoder."""
    return _distribution(scores, edges, {f">{limit}": scores > limit for limit in MAS_LIMITS}, seed)


def _distribution(
    scores: NDArray[np.float64], edges: NDArray[np.float64], beyond: dict[str, NDArray[np.bool_]], seed: int
) -> Distribution:
    written = ~np.isnan(scores)
    return Distribution(
        counts=[int(count) for count in np.histogram(scores[written], bins=edges)[0]],
        mean=float(scores[written].mean()) if written.any() else None,
        beyond={name: bootstrap_mean(mask[written], seed) for name, mask in beyond.items()},
        unwritten=int((~written).sum()),
    )
