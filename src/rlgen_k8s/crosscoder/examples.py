"""Where each feature fires most, and how strongly it fires: one pass over the tokens, memory that they do not grow."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.data import JointActivations
from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.one_pass import Encoded, read_once

LOWEST, HIGHEST, PER_DOUBLING = -10, 10, 4
"""The histogram's bins: from 2^LOWEST to 2^HIGHEST, this many to a doubling."""


def histogram_edges() -> Tensor:
    """[bins + 1] edges; what lies beyond the ends counts in the first or last bin, zeros in none."""
    return 2.0 ** torch.linspace(LOWEST, HIGHEST, (HIGHEST - LOWEST) * PER_DOUBLING + 1, dtype=torch.float64)


@dataclass(frozen=True)
class Firing:
    """The strongest examples of each feature, at most one a sequence, and its histogram."""

    values: Tensor
    """[D, k] activations, strongest first; 0 where a feature fires in fewer than k sequences."""
    rows: Tensor
    """[D, k] int64: which of all rows; −1 where there is none."""
    histogram: Tensor
    """[D, bins] int64: tokens by activation, bins of `histogram_edges`."""


class FiringMeter:
    """`firing` as one of several that share a pass (`one_pass`)."""

    def __init__(self, crosscoder: Crosscoder, *, k: int = 20) -> None:
        D, device = crosscoder.n_features, crosscoder.decoder.device
        self.k, self.bins = k, (HIGHEST - LOWEST) * PER_DOUBLING
        self._values = torch.zeros(k, D, device=device)
        self._rows = torch.full((k, D), -1, dtype=torch.int64, device=device)
        self._histogram = torch.zeros(D, self.bins, dtype=torch.int64, device=device)

    def update(self, seen: Encoded) -> None:
        """See `Meter`."""
        features, chunk, bins = seen.features, seen.chunk, self.bins
        token, feature = features.nonzero(as_tuple=True)
        place = ((features[token, feature].double().log2() - LOWEST) * PER_DOUBLING).floor().long()
        counts = (feature * bins + place.clamp_(0, bins - 1)).bincount(minlength=self._histogram.numel())
        self._histogram += counts.view_as(self._histogram)
        start, found_values, found_rows = chunk.start, [self._values], [self._rows]
        for part in features.split(chunk.lengths):
            value, index = part.max(dim=0, keepdim=True)
            found_values.append(value)
            found_rows.append(torch.where(value > 0, start + index, -1))
            start += len(part)
        self._values, order = torch.cat(found_values).topk(self.k, dim=0)
        self._rows = torch.cat(found_rows).gather(0, order)

    def compute(self) -> Firing:
        """Of all tokens seen."""
        return Firing(self._values.T.cpu(), self._rows.T.cpu(), self._histogram.cpu())


def firing(
    crosscoder: Crosscoder, held_out: JointActivations, lengths: Tensor, *, k: int = 20, batch: int = 4096
) -> Firing:
    """Read `held_out` once. `lengths: [n_blocks]` rows of each sequence.

    One example a sequence: the strongest tokens of a feature often stand side by side and show one thing k times.
    Memory beside a batch's: `D (k + batch's sequences)` values and rows, and D histograms.
    """
    meter = FiringMeter(crosscoder, k=k)
    read_once(crosscoder, held_out, lengths, [meter], batch=batch)
    return meter.compute()


@dataclass(frozen=True)
class Example:
    """A stretch of one sequence around the token on which a feature fires most."""

    tokens: list[int]
    activations: list[float]
    """The feature on each token; 0 where the token was not stored (separators)."""
    peak: int
    """Index into both."""


@torch.inference_mode()
def in_context(
    crosscoder: Crosscoder,
    held_out: JointActivations,
    found: Firing,
    feature: int,
    tokens: Tensor,
    kept: Tensor,
    *,
    before: int = 24,
    after: int = 8,
) -> list[Example]:
    """The examples of one feature with the tokens around them, strongest first.

    `tokens: [n, length]`, `kept: [n, length]` bool: the positions that were stored, whose rows are in reading order.
    """
    places = kept.nonzero()
    row_of = torch.full(kept.shape, -1, dtype=torch.int64)
    row_of[kept] = torch.arange(len(places))
    x = torch.empty(before + after + 1, len(held_out.models) * held_out.width)
    examples = []
    for row in found.rows[feature][found.rows[feature] >= 0].tolist():
        sequence, position = places[row].tolist()
        window = slice(max(0, position - before), position + after + 1)
        rows = row_of[sequence, window]
        stored = rows >= 0
        activations = torch.zeros(len(rows))
        filled = held_out.fill(rows[stored], x).to(crosscoder.decoder.device)
        activations[stored] = crosscoder.encode(filled)[:, feature].cpu()
        text = tokens[sequence, window].tolist()
        examples.append(Example(text, activations.tolist(), position - window.start))
    return examples
