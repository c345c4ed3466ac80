"""The same feature in two crosscoders: an index means nothing across them, a decoder direction does."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


class Matching(NamedTuple):
    """Feature i of A is feature `partner[i]` of B, with `cosine[i]` between their decoder rows."""

    partner: np.ndarray
    """[D] int64, a permutation."""
    cosine: np.ndarray
    """[D] float64; near 1 the same feature, near 0 a pairing of leftovers."""


def decoder_cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosines [D, D] between the rows of two decoders [M, D, d], the models' rows taken as one long row."""
    rows_a, rows_b = (decoder.transpose(0, 1).flatten(1) for decoder in (a, b))
    return torch.nn.functional.normalize(rows_a) @ torch.nn.functional.normalize(rows_b).T


def match_features(a: Tensor, b: Tensor) -> Matching:
    """The one-to-one assignment with the largest sum of cosines between decoders `a` and `b`, both [M, D, d].

    Solved exactly: memory grows with D² (8.6 GB at D = 32 768), time at worst with D³, far less from a common start.
    """
    cosines = decoder_cosines(a, b).double().numpy()
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    return Matching(partner=columns, cosine=cosines[rows, columns])
