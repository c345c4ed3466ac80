"""Packed token ids, in units of as many sequences as one forward pass takes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class PackedTokens:
    """Sequences of one length without padding, shuffled when they were packed.

    The separator (BOS, or what stands for it) starts every sequence and stands between documents. Its activations are
    those of an attention sink, not of text: models see it, crosscoders do not.
    """

    ids: np.ndarray
    """int32 [n_sequences, length], memory-mapped or not."""
    separator: int
    forward: int
    """Sequences of a unit; the last unit may have fewer."""

    @property
    def n_units(self) -> int:
        """Forward passes that cover the text."""
        return -(-len(self.ids) // self.forward)

    def unit(self, number: int) -> np.ndarray:
        """int64 [≤ forward, length]"""
        return self.ids[number * self.forward : (number + 1) * self.forward].astype(np.int64)

    @cached_property
    def kept(self) -> np.ndarray:
        """int64 [n_units]: tokens of each unit that are not the separator."""
        return np.array([np.count_nonzero(self.unit(number) != self.separator) for number in range(self.n_units)])
