"""Held-out tokens are encoded once for all that is measured on them.

A meter is shown chunk after chunk and keeps running sums, so memory does not grow with the tokens. Each measure is also
a function that reads the tokens for itself alone: `measure`, `latent_scaling`, `firing`, `share_of_use`.

quality, scaling = QualityMeter(crosscoder, dense_rate=0.1), ScalingMeter(crosscoder)
read_once(crosscoder, held_out, lengths, [quality, scaling])
quality.compute(), scaling.compute()
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.blocks import Chunk, in_blocks
from rlgen_k8s.crosscoder.data import JointActivations
from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.errors import UserError


class Encoded:
    """A chunk of tokens and what the crosscoder makes of it, each made when first asked for."""

    def __init__(self, crosscoder: Crosscoder, chunk: Chunk) -> None:
        self.crosscoder, self.chunk = crosscoder, chunk

    @cached_property
    def features(self) -> Tensor:
        """[rows, D]"""
        return self.crosscoder.encode(self.chunk.x)

    @cached_property
    def rebuilt(self) -> Tensor:
        """[rows, M * d], scaled."""
        return self.crosscoder.decode(self.features)


class Meter(Protocol):
    """Something that is measured; `compute()`, of its own type, gives the result."""

    def update(self, seen: Encoded) -> None:
        """Add a chunk to the running sums."""


def check_units(crosscoder: Crosscoder, data: JointActivations) -> None:
    """Raise `UserError` unless `data` has the models and the scales that `crosscoder` was trained with.

    A folded crosscoder (scales 1) takes raw activations: data whose scales are 1.
    """
    if data.models != crosscoder.models or data.scales != crosscoder.scales:
        shown = (
            ", ".join(f"{name} × {scale:g}" for name, scale in zip(of.models, of.scales, strict=True))
            for of in (data, crosscoder)
        )
        raise UserError("activations {}: the crosscoder is for {}; scale them as it was trained".format(*shown))


@torch.inference_mode()
def read_once(
    crosscoder: Crosscoder, held_out: JointActivations, lengths: Tensor, meters: Sequence[Meter], *, batch: int = 4096
) -> None:
    """Show `held_out`, activations of the crosscoder's models with its scales (`check_units`), to all `meters`.

    `lengths: [n_blocks]` rows of each sequence: a chunk is whole sequences, at most `batch` rows if none is longer.
    """
    check_units(crosscoder, held_out)
    for chunk in in_blocks(held_out, lengths, batch, crosscoder.decoder.device):
        seen = Encoded(crosscoder, chunk)
        for meter in meters:
            meter.update(seen)
