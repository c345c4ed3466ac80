"""The same feature in two crosscoders: an index means nothing across them, a decoder direction does."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array, hstack
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from torch import Tensor

LEAST_COSINE = 0.3
"""Pairs below it are no match. Far above what chance gives: cosines of random rows spread by `1 / √(M d)`."""


class Matching(NamedTuple):
    """Feature i of A is feature `partner[i]` of B, with `cosine[i]` between their decoder rows."""

    partner: np.ndarray
    """[D] int64, each feature of B at most once; −1 where B has no such feature."""
    cosine: np.ndarray
    """[D] float64; near 1 the same feature; 0 where there is no partner."""

    def same(self, least_cosine: float) -> np.ndarray:
        """[D] bool: features of A that B has too, with at least this cosine."""
        return (self.partner >= 0) & (self.cosine >= least_cosine)


def match_features(a: Tensor, b: Tensor, least_cosine: float = LEAST_COSINE, rows: int = 2048) -> Matching:
    """The one-to-one matching of decoders `a` and `b`, [M, D, d], with the largest sum of `cosine − least_cosine`.

    Exact: all pairs above `least_cosine` are candidates, and a feature may stay without a partner, so leftovers pull
    no one away from a true match. Memory grows with the candidates and with `rows × D`, not with D². The models' rows
    of a feature are taken as one long row.
    """
    i, j, cosines = _candidates(a, b, least_cosine, rows)
    n, n_b = a.shape[1], b.shape[1]
    # Each row takes one column: a feature of B, or its own slack, which stands for no partner. The solver drops zeros,
    # hence the 1: each row pays it once, whatever it takes.
    costs = coo_array((1 + least_cosine - cosines, (i, j)), shape=(n, n_b))
    slack = coo_array((np.ones(n), (np.arange(n), np.arange(n))), shape=(n, n))
    of_row, column = min_weight_full_bipartite_matching(hstack([costs, slack]).tocsr())
    matched = column < n_b
    partner, cosine = np.full(n, -1, dtype=np.int64), np.zeros(n)
    partner[of_row[matched]] = column[matched]
    # Candidates come in reading order, so a pair is found by bisection.
    cosine[of_row[matched]] = cosines[np.searchsorted(i * n_b + j, of_row[matched] * n_b + column[matched])]
    return Matching(partner, cosine)


def _candidates(a: Tensor, b: Tensor, least_cosine: float, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs with a cosine above `least_cosine`, in reading order: i, j and cosine, each [pairs]. `rows` of A at a
    time.
    """
    all_b = _directions(b).T
    found_i, found_j, values = [], [], []
    for start in range(0, a.shape[1], rows):
        cosines = _directions(a[:, start : start + rows]) @ all_b
        i, j = (cosines > least_cosine).nonzero(as_tuple=True)
        found_i.append((start + i).cpu())
        found_j.append(j.cpu())
        values.append(cosines[i, j].double().cpu())
    return (
        torch.cat(found_i).numpy(),
        torch.cat(found_j).numpy(),
        torch.cat(values).numpy(),
    )


def _directions(decoder: Tensor) -> Tensor:
    """[D, M * d] rows of norm 1."""
    return torch.nn.functional.normalize(decoder.transpose(0, 1).flatten(1))
