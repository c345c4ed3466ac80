"""The products after the encoder when few features are active: decode and three gradients from the active ones alone.

Exact: a feature at zero adds nothing to any of the four. `SparseProducts` has PyTorch's CSR products in the weights'
own type; `sparse_triton` has the same in kernels for a GPU.
"""

import warnings
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.products import Penalty, pull_decoder

# Said once a process by the first sparse tensor, whatever its arguments; tests hold the products against dense ones.
warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled")


class Active(NamedTuple):
    """A batch's active features, token by token, and what brings them into an order feature by feature."""

    values: Tensor
    """[active]"""
    features: Tensor
    """[active] int64, rising within a token."""
    token_bounds: Tensor
    """[tokens + 1]: where each token's begin, and their number."""
    order: Tensor
    """[active]: sorts by feature; tokens rise within a feature."""
    tokens: Tensor
    """[active] int64, in that order."""
    feature_bounds: Tensor
    """[D + 1]: where each feature's begin in that order, and their number."""


def find_active(features: Tensor, dtype: torch.dtype) -> Active:
    """What is not zero in `features: [tokens, D]`, contiguous; values in `dtype`."""
    flat, (tokens, n_features) = features.view(-1), features.shape
    place = _places(flat)
    token = torch.div(place, n_features, rounding_mode="floor")
    feature = place - token * n_features
    order = _sorting(feature, n_features)
    return Active(
        flat.index_select(0, place).to(dtype),
        feature,
        _bounds(token, tokens),
        order,
        token.index_select(0, order),
        _bounds(feature, n_features),
    )


def _places(features: Tensor) -> Tensor:
    """Where `features: [n]` are not zero. On CPUs NumPy's takes a third of the time of PyTorch's."""
    if features.is_cuda:
        return features.nonzero()[:, 0]
    return torch.from_numpy(np.flatnonzero(features.bool().numpy()))


def _sorting(features: Tensor, n_features: int) -> Tensor:
    """A stable order. On CPUs NumPy's sort by radix (16 bits, D ≤ 65536) takes an eighth of the time of PyTorch's."""
    if features.is_cuda:
        return torch.argsort(features, stable=True)
    return torch.from_numpy(features.numpy().astype(np.min_scalar_type(n_features - 1)).argsort(kind="stable"))


class SparseProducts:
    """Holds the features of one batch, by token and by feature."""

    def __init__(self, crosscoder: Crosscoder) -> None:
        self.crosscoder = crosscoder

    @cached_property
    def _encoder_gradient(self) -> Tensor:
        """[D, M * d]: the encoder's gradient comes feature by feature and is turned round afterwards."""
        return torch.empty_like(self.crosscoder.decoder)

    def read(self, features: Tensor) -> None:
        """Take up `features: [tokens, D]`, contiguous."""
        self._active = active = find_active(features, self.crosscoder.decoder.dtype)
        self._by_token = _csr(active.token_bounds, active.features, active.values, tuple(features.shape))
        self._by_feature = self._transposed(active.values)

    def _transposed(self, values: Tensor) -> Tensor:
        """[D, tokens] with `values` in the order of `read` at the active features."""
        active, (tokens, n_features) = self._active, self._by_token.shape
        return _csr(active.feature_bounds, active.tokens, values.index_select(0, active.order), (n_features, tokens))

    def decode(self, residual: Tensor) -> None:
        """See `Products`."""
        torch.addmm(residual, self._by_token, self.crosscoder.decoder, out=residual)

    def backward(
        self,
        x: Tensor,
        residual: Tensor,
        penalty: Penalty,
        gradients: dict[str, Tensor],
        to_preactivations: Callable[[Tensor], None],
    ) -> None:
        """See `Products`. Features at zero pass no gradient on, so `to_preactivations` has nothing to do."""
        decoder, scale = self.crosscoder.decoder, 2 / len(x)
        pull_decoder(penalty, decoder, gradients["decoder"])
        torch.addmm(gradients["decoder"], self._by_feature, residual, alpha=scale, out=gradients["decoder"])
        products = torch.sparse.sampled_addmm(self._by_token, residual, decoder.T, beta=0.0, alpha=scale)
        at_features = products.values() + penalty.features.index_select(0, self._active.features)
        scratch = self._encoder_gradient
        torch.addmm(scratch, self._transposed(at_features), x, beta=0, out=scratch)
        gradients["encoder"].copy_(scratch.T)
        gradients["encoder_bias"].zero_().index_add_(0, self._active.features, at_features)


def _bounds(owners: Tensor, n_owners: int) -> Tensor:
    """[n_owners + 1]: where each owner's entries begin once they are sorted by owner, and their number."""
    counts = torch.bincount(owners, minlength=n_owners)
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))


def _csr(bounds: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.sparse_csr_tensor(bounds, columns, values, shape, check_invariants=False)
