"""Edits of one model's residual stream through its branch of a crosscoder, and along random directions.

    f = f^(m)(x)        x' = x + (f' − f) W_dec[m]

with weights for raw activations (`Crosscoder.folded`), and thresholds where the crosscoder has them. Only the change of
the features is decoded, so what the crosscoder does not reconstruct stays as it was (docs/study.md, weakness 6).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.model import Crosscoder

Edit = Callable[[Tensor], Tensor]
"""A residual stream [..., d] to another."""


@dataclass(frozen=True)
class Target:
    """What chosen features become: `f' = f + dose (goal − f)`."""

    goal: float
    dose: float = 1.0


@dataclass(frozen=True)
class FeatureEdit:
    """`x + (f' − f) W_dec[m]` for some features."""

    branch: Crosscoder
    """The model's, for these features and raw activations."""
    target: Target

    def change(self, stream: Tensor) -> Tensor:
        """What the edit adds to `stream`, both [..., d]; in the crosscoder's precision."""
        features = self.branch.encode(stream.to(self.branch.encoder.dtype))
        return self.target.dose * (self.target.goal - features) @ self.branch.decoder

    def __call__(self, stream: Tensor) -> Tensor:
        """The edited stream [..., d]."""
        return stream + self.change(stream).to(stream.dtype)


def feature_edit(crosscoder: Crosscoder, model: str, features: Sequence[int], target: Target) -> FeatureEdit:
    """The edit of `features` in `model`'s residual stream, of raw activations."""
    chosen = torch.tensor(list(features), device=crosscoder.encoder.device, dtype=torch.long)
    return FeatureEdit(crosscoder.folded().branch(model, chosen), target)


def direction_edit(like: FeatureEdit, seed: int) -> Edit:
    """Move every token along one random direction, by the length of the change that `like` makes there."""
    drawn = torch.randn(like.branch.width, generator=torch.Generator().manual_seed(seed))
    direction: Tensor = (drawn / drawn.norm()).to(like.branch.decoder)

    def edit(stream: Tensor) -> Tensor:
        length: Tensor = like.change(stream).norm(dim=-1, keepdim=True)
        return stream + (length * direction).to(stream.dtype)

    return edit


def unchanged(stream: Tensor) -> Tensor:
    """No edit: what every other condition is compared with."""
    return stream
