"""Edits of one model's residual stream through its branch of a crosscoder, and along random directions.

    f = ReLU(x W_enc[m] + b_enc)        x' = x + (f' − f) W_dec[m]

with weights for raw activations (`Crosscoder.folded`). Only the change of the features is decoded, so what the
crosscoder does not reconstruct stays as it was (docs/study.md, weakness 6).
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

    encoder: Tensor
    """[d, k]"""
    bias: Tensor
    """[k]"""
    decoder: Tensor
    """[k, d]"""
    target: Target

    def change(self, stream: Tensor) -> Tensor:
        """What the edit adds to `stream`, both [..., d]; in the crosscoder's precision."""
        features = torch.relu(stream.to(self.encoder.dtype) @ self.encoder + self.bias)
        return self.target.dose * (self.target.goal - features) @ self.decoder

    def __call__(self, stream: Tensor) -> Tensor:
        """The edited stream [..., d]."""
        return stream + self.change(stream).to(stream.dtype)


def feature_edit(crosscoder: Crosscoder, model: str, features: Sequence[int], target: Target) -> FeatureEdit:
    """The edit of `features` in `model`'s residual stream, of raw activations."""
    raw, m = crosscoder.folded(), crosscoder.position(model)
    chosen = torch.tensor(list(features), device=raw.encoder.device, dtype=torch.long)
    return FeatureEdit(
        encoder=raw.encoder_by_model[m][:, chosen].contiguous(),
        bias=raw.encoder_bias[chosen],
        decoder=raw.decoder_by_model[m][chosen].contiguous(),
        target=target,
    )


def direction_edit(like: FeatureEdit, seed: int) -> Edit:
    """Move every token along one random direction, by the length of the change that `like` makes there."""
    drawn = torch.randn(like.decoder.shape[1], generator=torch.Generator().manual_seed(seed))
    direction: Tensor = (drawn / drawn.norm()).to(like.decoder)

    def edit(stream: Tensor) -> Tensor:
        length: Tensor = like.change(stream).norm(dim=-1, keepdim=True)
        return stream + (length * direction).to(stream.dtype)

    return edit


def unchanged(stream: Tensor) -> Tensor:
    """No edit: what every other condition is compared with."""
    return stream
