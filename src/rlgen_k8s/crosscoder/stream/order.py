"""Which token is in which batch: a function of the recipe and of how many tokens each unit keeps, nothing else.

Each epoch puts the units into a new order and takes them `recipe.block` at a time into the buffer. The tokens of a
block are drawn in a random order, all of them, before the next block is read; batches are cut from that sequence of
draws without regard to blocks. So every token is drawn exactly once an epoch, a batch within a block is a simple random
sample of the block's tokens, and a position is found again by running one block. A sequence of n tokens has
`n * batch / N` of them, on average, in each batch of its block of N tokens: two of 1024 where a block is 512 such
sequences and the batch 1024, with eleven models of width 2560 in bfloat16 a buffer of 30 GB.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rlgen_k8s.crosscoder.stream.recipe import Recipe


class Block(NamedTuple):
    """The units that are in the buffer together."""

    epoch: int
    number: int
    units: np.ndarray
    """[units], in the order in which they are read."""
    first: int
    """Tokens of the epoch that were drawn before."""
    tokens: int


class Order:
    """The order of a whole training."""

    def __init__(self, kept: np.ndarray, recipe: Recipe) -> None:
        """`kept: [n_units]`, tokens of each unit."""
        self.kept, self.recipe = kept, recipe
        self.n_tokens = int(kept.sum())
        self.steps_per_epoch = -(-self.n_tokens // recipe.batch)
        self.total_steps = recipe.epochs * self.steps_per_epoch
        self.most_tokens = int(np.sort(kept)[-recipe.block :].sum())
        """No block has more tokens than this."""

    def blocks(self, epoch: int) -> Iterator[Block]:
        """The blocks of an epoch, in order."""
        units = np.random.default_rng([self.recipe.seed, epoch, 0]).permutation(len(self.kept))
        first = 0
        for number, start in enumerate(range(0, len(units), self.recipe.block)):
            here = units[start : start + self.recipe.block]
            tokens = int(self.kept[here].sum())
            yield Block(epoch, number, here, first, tokens)
            first += tokens

    def draws(self, block: Block) -> np.ndarray:
        """int64 [tokens]: for each draw its token, counted in the block's reading order."""
        return np.random.default_rng([self.recipe.seed, block.epoch, 1 + block.number]).permutation(block.tokens)

    def rows(self, block: Block) -> np.ndarray:
        """int64 [tokens]: for each draw its token, counted in the text's reading order, separators left out."""
        ends = np.cumsum(self.kept)
        reading = [np.arange(ends[unit] - self.kept[unit], ends[unit]) for unit in block.units]
        rows: np.ndarray = np.concatenate(reading)[self.draws(block)]
        return rows
