"""What the shares of features by NRN or MAS depend on: the tokens on which features are counted, and the training.

NRN and MAS are functions of the decoder: no token enters them, so no bootstrap over tokens moves them. A share of
*features* counts one that fires twice in a million tokens as much as one that is always on. A share of *use* counts
each firing, depends on tokens, and has an interval over sequences. Both depend on the training: see `over_seeds`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlgen_k8s.crosscoder.blocks import BlockWeights, block_sums, in_blocks
from rlgen_k8s.crosscoder.data import JointActivations
from rlgen_k8s.crosscoder.intervals import Estimate, interval
from rlgen_k8s.crosscoder.matching import Matching
from rlgen_k8s.crosscoder.measures import check_units
from rlgen_k8s.crosscoder.model import Crosscoder


@torch.inference_mode()
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
    check_units(crosscoder, held_out)
    device = crosscoder.decoder.device
    kinds = torch.cat([groups, torch.ones_like(groups[:1])]).to(device, torch.float32).T
    totals = torch.zeros(resamples + 1, kinds.shape[1], dtype=torch.float64, device=device)
    weights = BlockWeights(resamples, seed)
    for chunk in in_blocks(held_out, lengths, batch, device):
        fired = (crosscoder.encode(chunk.x) > 0).to(torch.float32) @ kinds
        totals += weights.of(chunk, totals) @ block_sums(fired, chunk.lengths)
    return interval(totals[:, :-1] / totals[:, -1:])


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
