"""The processes that share a stream: which draws are whose, and the exchange of activations among them.

There are two ways. Each process takes its share of every batch and all train all crosscoders (data parallel, see
`shared`): weights and optimizers stand on every device, and gradients travel at every step. Or each process takes every
batch whole and trains crosscoders of its own: nothing but activations travels, and a crosscoder is to the bit what one
process makes of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This process and how many there are; they must have joined one process group of torch.distributed."""

    rank: int
    count: int
    whole: bool = False
    """Whether each process takes every batch whole, not its share."""

    @property
    def shares(self) -> int:
        """Into how many shares a batch is divided."""
        return 1 if self.whole else self.count

    def takes(self, position: np.ndarray) -> np.ndarray:
        """Of draws at `position: [n]` of an epoch, which are this process's: those ≡ rank (mod shares); bool [n]."""
        ours: np.ndarray = (position - self.rank) % self.shares == 0
        return ours

    def share(self, start: int, stop: int) -> int:
        """How many of the draws `start … stop − 1` of an epoch are this process's."""
        return len(range(start + (self.rank - start) % self.shares, stop, self.shares))

    def exchange(self, mine: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        """The tensors [sizes[r], d] of the processes r < len(sizes), in order; `mine` is this process's."""
        if self.count == 1:
            return [mine]
        padded = mine.new_zeros(max(sizes), mine.shape[1])
        padded[: len(mine)] = mine
        # As bytes: not every backend knows bfloat16.
        parts = [torch.empty_like(padded) for _ in range(self.count)]
        torch.distributed.all_gather([part.view(torch.uint8) for part in parts], padded.view(torch.uint8))
        return [part[:size] for part, size in zip(parts, sizes, strict=False)]


ALONE = Ranks(0, 1)
