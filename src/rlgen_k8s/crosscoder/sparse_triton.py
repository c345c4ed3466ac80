"""`sparse`'s four products in Triton kernels, for crosscoders on a GPU; `SparseProducts` is their twin in PyTorch.

No atomic additions: the same batch gives the same bits. Rows are read in a precision of their own (bf16 beside bf16
products), sums are kept in that of what they are added to.
"""

from collections.abc import Callable

import torch
import triton
import triton.language as tl
from torch import Tensor

from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.products import Penalty, pull_decoder
from rlgen_k8s.crosscoder.sparse import find_active

GROUP, BLOCK = 8, 512
"""Rows and columns that a program reads at once."""


class TritonProducts:
    """Holds the active features of one batch. Weights, batch and residual are read in `dtype`."""

    def __init__(self, crosscoder: Crosscoder, dtype: torch.dtype) -> None:
        self.crosscoder, self.dtype = crosscoder, dtype

    def read(self, features: Tensor) -> None:
        """Take up `features: [tokens, D]`, contiguous."""
        self._active = find_active(features, self.crosscoder.decoder.dtype)

    def decode(self, residual: Tensor) -> None:
        """See `Products`."""
        active = self._active
        rows = self.crosscoder.decoder.to(self.dtype)
        add_rows(residual, active.token_bounds, active.features, active.values, rows)

    def backward(
        self,
        x: Tensor,
        residual: Tensor,
        penalty: Penalty,
        gradients: dict[str, Tensor],
        to_preactivations: Callable[[Tensor], None],
    ) -> None:
        """See `Products`. Features at zero pass no gradient on, so `to_preactivations` has nothing to do."""
        active, decoder, scale = self._active, self.crosscoder.decoder, 2 / len(x)
        by_feature, by_token = (active.feature_bounds, active.tokens), (active.token_bounds, active.features)
        pull_decoder(penalty, decoder, gradients["decoder"])
        errors = residual.to(self.dtype)
        add_rows(gradients["decoder"], *by_feature, active.values[active.order] * scale, errors)
        products = row_products(*by_token, errors, decoder.to(self.dtype), decoder.dtype)
        at_features = (products * scale + penalty.features[active.features])[active.order]
        add_rows(gradients["encoder"].zero_().T, *by_feature, at_features, x.to(self.dtype))
        ones = at_features.new_ones(len(x), 1)
        add_rows(gradients["encoder_bias"].zero_()[:, None], *by_feature, at_features, ones)


def add_rows(out: Tensor, bounds: Tensor, columns: Tensor, values: Tensor, rows: Tensor) -> None:
    """`out[i] += sum_e values[e] * rows[columns[e]]` over `bounds[i] ≤ e < bounds[i + 1]`.

    `out: [n, width]` may be a transposed view; `bounds: [n + 1]`, `columns` and `values: [entries]`, `rows: [m, width]`
    are contiguous.
    """
    (n, width), strides = out.shape, out.stride()
    with torch.cuda.device_of(out):
        _add_rows[(n, triton.cdiv(width, BLOCK))](
            out, bounds, columns, values, rows, width, *strides, GROUP=GROUP, BLOCK=BLOCK
        )


def row_products(bounds: Tensor, columns: Tensor, left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """[entries] in `dtype`: `left[i] · right[columns[e]]` for `bounds[i] ≤ e < bounds[i + 1]`.

    `bounds: [n + 1]`, `columns: [entries]`, `left: [n, width]` and `right: [m, width]` are contiguous.
    """
    out = torch.empty(len(columns), dtype=dtype, device=columns.device)
    with torch.cuda.device_of(out):
        _row_products[(len(left),)](out, bounds, columns, left, right, left.shape[1], GROUP=GROUP, BLOCK=BLOCK)
    return out


@triton.jit  # type: ignore[untyped-decorator]
def _add_rows(  # type: ignore[no-untyped-def]
    out, bounds, columns, values, rows, width, down, along, GROUP: tl.constexpr, BLOCK: tl.constexpr
):
    owner = tl.program_id(0).to(tl.int64)
    place = (tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    inside = place < width
    end = tl.load(bounds + owner + 1)
    total = tl.full([BLOCK], 0, out.dtype.element_ty)
    for first in range(tl.load(bounds + owner), end, GROUP):
        entry = first + tl.arange(0, GROUP)
        there = entry < end
        row = tl.load(columns + entry, mask=there, other=0)
        value = tl.load(values + entry, mask=there, other=0.0)
        wanted = there[:, None] & inside[None, :]
        tile = tl.load(rows + row[:, None] * width + place[None, :], mask=wanted, other=0.0)
        total += tl.sum(tile.to(total.dtype) * value[:, None].to(total.dtype), axis=0)
    at = out + owner * down + place * along
    tl.store(at, tl.load(at, mask=inside) + total, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _row_products(  # type: ignore[no-untyped-def]
    out, bounds, columns, left, right, width, GROUP: tl.constexpr, BLOCK: tl.constexpr
):
    owner = tl.program_id(0).to(tl.int64)
    end = tl.load(bounds + owner + 1)
    for first in range(tl.load(bounds + owner), end, GROUP):
        entry = first + tl.arange(0, GROUP)
        there = entry < end
        row = tl.load(columns + entry, mask=there, other=0)
        total = tl.full([GROUP], 0, out.dtype.element_ty)
        for start in range(0, width, BLOCK):
            place = start + tl.arange(0, BLOCK)
            inside = place < width
            ours = tl.load(left + owner * width + place, mask=inside, other=0.0).to(total.dtype)
            wanted = there[:, None] & inside[None, :]
            theirs = tl.load(right + row[:, None] * width + place[None, :], mask=wanted, other=0.0)
            total += tl.sum(theirs.to(total.dtype) * ours[None, :], axis=1)
        tl.store(out + entry, total, mask=there)
