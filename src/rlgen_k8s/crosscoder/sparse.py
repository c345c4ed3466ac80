"""The products after the encoder when few features are active: decode and three gradients from the active ones alone.

Exact: a feature at zero adds nothing to any of the four. Everything is in the weights' own type.
"""

import warnings
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.products import Penalty, pull_decoder

# Said once a process by the first sparse tensor, whatever its arguments; tests hold the products against dense ones.
warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled")


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
        flat, (tokens, n_features) = features.view(-1), features.shape
        active = flat.nonzero()[:, 0]
        token = torch.div(active, n_features, rounding_mode="floor")
        self._feature = active - token * n_features
        value = flat[active].to(self.crosscoder.decoder)
        self._by_token = _csr(_bounds(token, tokens), self._feature, value, (tokens, n_features))
        self._order = torch.argsort(self._feature, stable=True)
        self._bounds = _bounds(self._feature, n_features)
        self._tokens = token[self._order]
        self._by_feature = self._transposed(value)

    def _transposed(self, values: Tensor) -> Tensor:
        """[D, tokens] with `values` in the order of `read` at the active features."""
        shape = (self._by_token.shape[1], self._by_token.shape[0])
        return _csr(self._bounds, self._tokens, values[self._order], shape)

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
        at_features = products.values() + penalty.features[self._feature]
        scratch = self._encoder_gradient
        torch.addmm(scratch, self._transposed(at_features), x, beta=0, out=scratch)
        gradients["encoder"].copy_(scratch.T)
        gradients["encoder_bias"].zero_().index_add_(0, self._feature, at_features)


def _bounds(owners: Tensor, n_owners: int) -> Tensor:
    """[n_owners + 1]: where each owner's entries begin once they are sorted by owner, and their number."""
    counts = torch.bincount(owners, minlength=n_owners)
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))


def _csr(bounds: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(bounds, columns, values, shape, check_invariants=False)
