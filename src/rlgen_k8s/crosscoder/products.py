"""A step's matrix products over all features, in fp32 or in bf16.

bf16 products read rounded copies of the fp32 weights, add up in fp32 and round what comes out; residual, penalties,
gradients and Adam stay in fp32. Large buffers are allocated once: at D = 8192 fresh memory for each step costs more
than the arithmetic on it.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.model import Crosscoder


class Penalty(NamedTuple):
    """The sparsity penalty's own gradients, λ and the mean over tokens included."""

    pull: Tensor
    """[D, parts]: each part of a decoder row is pulled along itself by this factor."""
    features: Tensor
    """[D]: at an active feature."""


class Products(Protocol):
    """What comes after the encoder, for the features of one batch."""

    def decode(self, residual: Tensor) -> None:
        """Add `f W_dec` to `residual: [tokens, M * d]`."""

    def backward(
        self,
        x: Tensor,
        residual: Tensor,
        penalty: Penalty,
        gradients: dict[str, Tensor],
        to_preactivations: Callable[[Tensor], None],
    ) -> None:
        """Fill the gradients of decoder, encoder and encoder bias.

        `to_preactivations` turns gradients at the features, [tokens, D], into those at the preactivations, in place.
        """


class Float32Products:
    """Plain products in the weights' own type; constants ride on them, penalties are what they are added to."""

    def __init__(self, crosscoder: Crosscoder, batch: int) -> None:
        self.crosscoder = crosscoder
        self._features = crosscoder.decoder.new_empty(batch, crosscoder.n_features)
        self._feature_gradients = torch.empty_like(self._features)

    def encode(self, x: Tensor) -> Tensor:
        """Preactivations [tokens, D], which the caller turns into features in place."""
        coder = self.crosscoder
        self.features = self._features[: len(x)]
        return torch.addmm(coder.encoder_bias, x, coder.encoder, out=self.features)

    def decode(self, residual: Tensor) -> None:
        """See `Products`."""
        residual.addmm_(self.features, self.crosscoder.decoder)

    def backward(
        self,
        x: Tensor,
        residual: Tensor,
        penalty: Penalty,
        gradients: dict[str, Tensor],
        to_preactivations: Callable[[Tensor], None],
    ) -> None:
        """See `Products`."""
        decoder, scale = self.crosscoder.decoder, 2 / len(x)
        pull_decoder(penalty, decoder, gradients["decoder"])
        gradients["decoder"].addmm_(self.features.T, residual, alpha=scale)
        at_features = self._feature_gradients[: len(x)]
        torch.addmm(penalty.features, residual, decoder.T, alpha=scale, out=at_features)
        to_preactivations(at_features)
        torch.mm(x.T, at_features, out=gradients["encoder"])
        torch.sum(at_features, dim=0, out=gradients["encoder_bias"])


class BFloat16Products:
    """Products of bf16 copies. Once a copy of weights has been read, the product with its shape is written over it."""

    def __init__(self, crosscoder: Crosscoder, batch: int) -> None:
        self.crosscoder = crosscoder

        def empty(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=torch.bfloat16, device=crosscoder.decoder.device)

        width = crosscoder.decoder.shape[1]
        self._encoder, self._decoder = empty(*crosscoder.encoder.shape), empty(*crosscoder.decoder.shape)
        self._features, self._feature_gradients = (empty(batch, crosscoder.n_features) for _ in range(2))
        self._x, self._residual = (empty(batch, width) for _ in range(2))

    def encode(self, x: Tensor) -> Tensor:
        """Preactivations [tokens, D] in bf16, which the caller turns into features in place."""
        coder = self.crosscoder
        self.features = self._features[: len(x)]
        bias = coder.encoder_bias.bfloat16()
        return torch.addmm(bias, self._x[: len(x)].copy_(x), self._encoder.copy_(coder.encoder), out=self.features)

    def decode(self, residual: Tensor) -> None:
        """See `Products`."""
        residual.add_(self.features @ self._decoder.copy_(self.crosscoder.decoder))

    def backward(
        self,
        x: Tensor,
        residual: Tensor,
        penalty: Penalty,
        gradients: dict[str, Tensor],
        to_preactivations: Callable[[Tensor], None],
    ) -> None:
        """See `Products`."""
        scaled = self._residual[: len(x)].copy_(residual * (2 / len(x)))
        at_features = self._feature_gradients[: len(x)]
        torch.addmm(penalty.features.bfloat16(), scaled, self._decoder.T, out=at_features)
        to_preactivations(at_features)
        gradients["decoder"].copy_(torch.mm(self.features.T, scaled, out=self._decoder))
        pull_decoder(penalty, self.crosscoder.decoder, gradients["decoder"], add=True)
        gradients["encoder"].copy_(torch.mm(self._x[: len(x)].T, at_features, out=self._encoder))
        gradients["encoder_bias"].copy_(at_features.sum(dim=0))


def pull_decoder(penalty: Penalty, decoder: Tensor, gradient: Tensor, *, add: bool = False) -> None:
    """The penalty's gradient at `decoder: [D, M * d]`, written to `gradient` or added to it."""
    shape = (*penalty.pull.shape, -1)
    rows, out, pull = decoder.view(shape), gradient.view(shape), penalty.pull[:, :, None]
    if add:
        out.addcmul_(rows, pull)
    else:
        torch.mul(rows, pull, out=out)
