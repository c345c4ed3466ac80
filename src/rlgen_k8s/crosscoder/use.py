"""What the shares of features by NRN or MAS depend on: the tokens on which features are counted, and the training.

NRN and MAS are functions of the decoder: no token enters them, so no bootstrap over tokens moves them. A share of
*features* counts one that fires twice in a million tokens as much as one that is always on. A share of *use* counts
each firing, depends on tokens, and has an interval over sequences. Both depend on the training: see `over_seeds`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.blocks import BlockWeights, block_sums
from rlgen_k8s.crosscoder.data import JointActivations
from rlgen_k8s.crosscoder.intervals import Estimate, interval
from rlgen_k8s.crosscoder.matching import Matching
from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.one_pass import Encoded, read_once


class UseMeter:
    """`share_of_use` as one of several that share a pass (`one_pass`)."""

    def __init__(self, crosscoder: Crosscoder, groups: Tensor, *, resamples: int = 2000, seed: int = 0) -> None:
        device, self.weights = crosscoder.decoder.device, BlockWeights(resamples, seed)
        self._kinds = torch.cat([groups, torch.ones_like(groups[:1])]).to(device, torch.float32).T
        self._totals = torch.zeros(resamples + 1, self._kinds.shape[1], dtype=torch.float64, device=device)

    def update(self, seen: Encoded) -> None:
        """See `Meter`."""
        fired = (seen.features > 0).to(torch.float32) @ self._kinds
        self._totals += self.weights.of(seen.chunk, self._totals) @ block_sums(fired, seen.chunk.lengths)

    def compute(self) -> Estimate:
        """Of all tokens seen."""
        return interval(self._totals[:, :-1] / self._totals[:, -1:])


def share_of_use(
    crosscoder: Crosscoder,
    held_out: JointActivations,
    groups: Tensor,
    lengths: Tensor,
    *,
    resamples: int = 2000,
    seed: int = 0,
    batch: int = 4096,
) -> Estimate:
    """[G] of all firings (a feature above 0 on a token), the share that is of each group's features.

    `groups: [G, D]` bool, such as `nrn > 0.9`. `lengths: [n_blocks]` rows of each sequence, over which the bootstrap
    runs (see `blocks`).
    """
    meter = UseMeter(crosscoder, groups, resamples=resamples, seed=seed)
    read_once(crosscoder, held_out, lengths, [meter], batch=batch)
    return meter.compute()


def over_seeds(scores: Sequence[Tensor], matchings: Sequence[Matching]) -> Tensor:
    """[seeds, D] the score of each of the first seed's features, and of the same feature in every further seed.

    `scores[s]: [D]` (NRN, or one model's MAS) of seed s; `matchings[s - 1]` from the first seed's decoder to that of
    seed s (`match_features`). NaN where a seed has no such feature. The spread down a column is what NRN owes to the
    seed; `interval_over_seeds` gives its interval.
    """
    first, *others = scores
    rows = [first]
    for score, matching in zip(others, matchings, strict=True):
        partner = torch.from_numpy(matching.partner)
        rows.append(torch.where(partner < 0, torch.nan, score[partner.clamp_min(0)]))
    return torch.stack(rows)
