"""Loss recovered: what a model's next-token loss becomes when the reconstruction stands in for its residual stream."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlgen_k8s.lm.middle import edit_residual


class SpliceLosses(NamedTuple):
    """Mean next-token cross-entropy in nats over the replaced positions."""

    original: float
    spliced: float
    """The stream replaced by its reconstruction."""
    ablated: float
    """The stream replaced by its mean: what knowing nothing of the token costs."""

    @property
    def recovered(self) -> float:
        """`(ablated − spliced) / (ablated − original)`: 1 nothing lost, 0 as bad as the mean."""
        return (self.ablated - self.spliced) / (self.ablated - self.original)


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
    """Cross-entropy of `model` on `tokens: [n, length]` as it is, spliced and ablated.

    `replaced: [n, length]` bool marks the positions that are replaced and scored (a sequence's last position predicts
    nothing and is not scored). `reconstruct(start, stop)` gives the stream's reconstruction [stop - start, d], in raw
    units, for those rows among all replaced positions in reading order. `mean: [d]`, raw.
    """
    sums, scored_tokens, row = torch.zeros(3, dtype=torch.float64), 0, 0
    for start in range(0, len(tokens), batch):
        ids, mask = tokens[start : start + batch], replaced[start : start + batch]
        rows = int(mask.sum())
        rebuilt = reconstruct(row, row + rows)
        row += rows
        scored = mask[:, :-1]
        for which, values in enumerate((None, rebuilt, mean.expand(rows, -1))):
            sums[which] += _loss(model, ids, mask, scored, values)
        scored_tokens += int(scored.sum())
    original, spliced, ablated = (sums / scored_tokens).tolist()
    return SpliceLosses(original, spliced, ablated)


def _loss(model: PreTrainedModel, ids: Tensor, mask: Tensor, scored: Tensor, values: Tensor | None) -> float:
    """Sum of the cross-entropies at `scored`, with `values` [rows, d] in the stream at `mask` if given."""

    def put(stream: Tensor) -> Tensor:
        if values is None:
            return stream
        edited = stream.clone()
        edited[mask] = values.to(stream)
        return edited

    with edit_residual(model, put):
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return float(torch.nn.functional.cross_entropy(logits[scored].float(), ids[:, 1:][scored], reduction="sum"))
