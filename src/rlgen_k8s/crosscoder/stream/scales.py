"""Each model's scale, from a sample: streams are scaled before all tokens have been seen."""

import math

import torch

from rlgen_k8s.crosscoder.stream.sources import Source
from rlgen_k8s.errors import UserError


def estimate_scales(source: Source, units: int) -> tuple[float, ...]:
    """`√d / mean ‖x‖` of each model over the tokens of the first `units` units, as held (after rounding).

    The text was shuffled when it was packed, so its first units are a random sample. With n tokens of which norms have
    the coefficient of variation c, the relative standard error is about `c / √n` (more where sequences differ a lot).
    Raises `UserError` if a model's activations are not finite (a model that diverged).
    """
    scales = []
    sample = range(min(units, len(source.kept)))
    tokens = sum(int(source.kept[unit]) for unit in sample)
    for model, name in enumerate(source.models):
        norms = sum(
            float(torch.linalg.vector_norm(source.activations(model, unit).float(), dim=1).sum(dtype=torch.float64))
            for unit in sample
        )
        if not 0 < norms < math.inf:
            raise UserError(f"model {name}: mean norm of its activations is {norms / tokens}; train it again")
        scales.append(math.sqrt(source.width) * tokens / norms)
    return tuple(scales)
