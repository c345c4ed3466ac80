"""Random features to compare an intervention with: like the chosen ones in norm and in how often they fire."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 16
"""How many of the most alike unused features a control is drawn from."""


def matched_sets(
    chosen: Collection[int],
    excluded: Collection[int],
    norms: NDArray[np.float64],
    rate: NDArray[np.float64],
    n_sets: int,
    rng: np.random.Generator,
) -> list[list[int]]:
    """`n_sets` random sets, one feature for each of `chosen`, none of them in `chosen` or `excluded`.

    `norms` `[models, D]`: decoder norms; `rate` `[D]`: firing rates. Likeness is the distance of (log norms, log
    rate), each in units of its spread. A set is shorter than `chosen` only where features run out.
    """
    coordinates = np.log(np.vstack([norms, rate[None]]).T + 1e-6)
    coordinates /= coordinates.std(axis=0) + 1e-12
    barred = set(chosen) | set(excluded)
    pool = np.array([i for i in range(len(rate)) if i not in barred], dtype=np.int64)
    sets = []
    for _ in range(n_sets):
        free = np.ones(len(pool), dtype=bool)
        drawn = []
        for feature in list(chosen)[: len(pool)]:
            left = np.flatnonzero(free)
            distance = np.linalg.norm(coordinates[pool[left]] - coordinates[feature], axis=1)
            nearest = left[np.argsort(distance, kind="stable")[:NEIGHBOURS]]
            pick = int(rng.choice(nearest))
            free[pick] = False
            drawn.append(int(pool[pick]))
        sets.append(drawn)
    return sets
