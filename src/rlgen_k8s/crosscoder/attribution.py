"""To which model a feature belongs, by the L1 norms of its decoder rows (docs/study.md, "NRN" and "MAS").

A feature whose decoder rows are all zero writes nothing and belongs nowhere: its value is NaN.
"""

import torch
from torch import Tensor


def model_attribution_scores(decoder: Tensor) -> Tensor:
    """MAS [M, D] of `decoder: [M, D, d]`: `‖W_dec[m, i]‖₁ / sum_m' ‖W_dec[m', i]‖₁`; sums to 1 over the models."""
    norms = decoder.abs().sum(dim=2, dtype=torch.float64)
    return norms / norms.sum(dim=0)


def normalized_relative_norms(decoder: Tensor) -> Tensor:
    """NRN [D] of a two-model `decoder: [2, D, d]`, base first: 0 base only, 0.5 shared, 1 tuned only."""
    if len(decoder) != 2:
        raise ValueError(f"NRN is defined for two models, not {len(decoder)}; use model_attribution_scores")
    return model_attribution_scores(decoder)[1]
