"""Held-out tokens block by block, and a bootstrap over blocks that needs one pass and no stored values.

Tokens of one sequence depend on each other (one document, one topic), so they are not exchangeable; sequences, dealt at
random into the shard, are. So a block is a sequence: a bootstrap that drew single tokens would give intervals that are
too narrow by about the square root of how many tokens say the same thing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rlgen_k8s.crosscoder.data import JointActivations


@dataclass(frozen=True)
class Chunk:
    """Some whole blocks."""

    x: Tensor
    """[rows, M * d], scaled; its memory is used again for the next chunk."""
    start: int
    """Row of the first token among all rows."""
    lengths: list[int]
    """Rows of each block."""
    first_block: int


def in_blocks(
    data: JointActivations, lengths: Tensor, tokens: int, device: torch.device | str = "cpu"
) -> Iterator[Chunk]:
    """All rows in order, in chunks of whole blocks and at most `tokens` rows (or one block, if that is longer).

    `lengths: [n_blocks]` int: rows of each block, in reading order. Raises `ValueError` if they are not all the rows.
    """
    sizes = lengths.tolist()
    if sum(sizes) != data.n_tokens:
        raise ValueError(f"blocks of {sum(sizes)} rows in all do not make up the {data.n_tokens} rows of the data")
    out = torch.empty(max(tokens, *sizes), len(data.models) * data.width, device=device)
    block = start = 0
    while block < len(sizes):
        end, rows = block, 0
        while end < len(sizes) and (end == block or rows + sizes[end] <= tokens):
            rows += sizes[end]
            end += 1
        yield Chunk(data.fill(torch.arange(start, start + rows), out), start, sizes[block:end], block)
        block, start = end, start + rows


class BlockWeights:
    """How often each block is drawn in each of `resamples` bootstrap samples: Poisson(1), independent by block.

    The streamed form of drawing blocks with replacement, whose counts are multinomial (Chamandy et al. 2012,
    "Estimating uncertainty for massive data streams"). The same seed gives a block the same weights.
    """

    def __init__(self, resamples: int, seed: int) -> None:
        self.resamples, self.seed = resamples, seed

    def of(self, chunk: Chunk, like: Tensor) -> Tensor:
        """[resamples + 1, blocks of the chunk]; the first row is 1: the sample itself."""
        blocks = range(chunk.first_block, chunk.first_block + len(chunk.lengths))
        drawn = [np.random.default_rng([self.seed, block]).poisson(1.0, self.resamples) for block in blocks]
        weights = np.concatenate([np.ones((1, len(drawn))), np.stack(drawn, axis=1)])
        return torch.from_numpy(weights).to(like)


def block_sums(values: Tensor, lengths: list[int]) -> Tensor:
    """[blocks, ...] float64 sums of `values: [rows, ...]` over each block's rows."""
    return torch.stack([part.sum(dim=0, dtype=torch.float64) for part in values.split(lengths)])
