"""The processes that share a stream: which draws are whose, and the exchange of activations among them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This process and how many there are; they must have joined one process group of torch.distributed."""

    rank: int
    count: int

    def share(self, start: int, stop: int) -> int:
        """How many of the draws `start … stop − 1` of an epoch are this process's: those ≡ rank (mod count)."""
        return len(range(start + (self.rank - start) % self.count, stop, self.count))

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
