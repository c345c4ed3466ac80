"""Loss and KL recovered: what a model predicts when the reconstruction stands in for its residual stream."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div
from transformers import PreTrainedModel

from rlgen_k8s.lm.middle import edit_residual

ROWS = 1024
"""Positions whose predictions are in float32 at a time: with 150 K tokens of vocabulary 0.6 GB."""


class SpliceLosses(NamedTuple):
    """Means over the replaced positions, in nats: next-token cross-entropy, and KL from the untouched prediction."""

    original: float
    spliced: float
    """The stream replaced by its reconstruction."""
    ablated: float
    """The stream replaced by its mean: what knowing nothing of the token costs."""
    kl_spliced: float
    """`KL(p_original ‖ p_spliced)`"""
    kl_ablated: float
    """`KL(p_original ‖ p_ablated)`"""

    @property
    def recovered(self) -> float:
        """`(ablated − spliced) / (ablated − original)`: 1 nothing lost, 0 as bad as the mean."""
        return (self.ablated - self.spliced) / (self.ablated - self.original)

    @property
    def kl_recovered(self) -> float:
        """`1 − kl_spliced / kl_ablated`: the same scale, but errors that cancel in the loss count here."""
        return 1 - self.kl_spliced / self.kl_ablated


@torch.inference_mode()
def splice_losses(
    model: PreTrainedModel,
    tokens: Tensor,
    replaced: Tensor,
    reconstruct: Callable[[int, int], Tensor],
    mean: Tensor,
    *,
    batch: int,
) -> SpliceLosses:
    """Cross-entropy of `model` on `tokens: [n, length]` as it is, spliced and ablated, and the KL of the latter two.

    `replaced: [n, length]` bool marks the positions that are replaced and scored (a sequence's last position predicts
    nothing and is not scored). `reconstruct(start, stop)` gives the stream's reconstruction [stop - start, d], in raw
    units, for those rows among all replaced positions in reading order. `mean: [d]`, raw.
    """
    sums, scored_tokens, row = torch.zeros(5, dtype=torch.float64), 0, 0
    for start in range(0, len(tokens), batch):
        ids, mask = tokens[start : start + batch], replaced[start : start + batch]
        rows = int(mask.sum())
        rebuilt = reconstruct(row, row + rows)
        row += rows
        scored = mask[:, :-1]
        wanted = ids[:, 1:][scored]
        original = _logits(model, ids, mask, scored, None)
        sums[0] += _cross_entropy(original, wanted)
        for which, values in enumerate((rebuilt, mean.expand(rows, -1)), 1):
            edited = _logits(model, ids, mask, scored, values)
            sums[which] += _cross_entropy(edited, wanted)
            sums[2 + which] += _divergence(original, edited)
        scored_tokens += len(wanted)
    return SpliceLosses(*(sums / scored_tokens).tolist())


def _logits(model: PreTrainedModel, ids: Tensor, mask: Tensor, scored: Tensor, values: Tensor | None) -> Tensor:
    """Predictions [scored positions, vocabulary], with `values` [rows, d] in the stream at `mask` if given."""

    def put(stream: Tensor) -> Tensor:
        if values is None:
            return stream
        edited = stream.clone()
        edited[mask] = values.to(stream)
        return edited

    with edit_residual(model, put):
        logits: Tensor = model(input_ids=ids, use_cache=False).logits[:, :-1][scored]
    return logits


def _cross_entropy(logits: Tensor, wanted: Tensor) -> float:
    """Sum over positions."""
    pieces = zip(logits.split(ROWS), wanted.split(ROWS), strict=True)
    return sum(float(cross_entropy(piece.float(), ids, reduction="sum")) for piece, ids in pieces)


def _divergence(original: Tensor, edited: Tensor) -> float:
    """Sum over positions of `KL(p_original ‖ p_edited)`."""
    pieces = zip(original.split(ROWS), edited.split(ROWS), strict=True)
    return sum(
        float(kl_div(q.float().log_softmax(1), p.float().log_softmax(1), reduction="sum", log_target=True))
        for p, q in pieces
    )
