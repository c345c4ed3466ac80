"""How many things two sets share, and how many they would share by chance."""

from collections.abc import Collection

from pydantic import BaseModel, ConfigDict
from scipy.stats import hypergeom


class Overlap(BaseModel):
    """Two sets out of `universe` things: what they share and what two random sets of their sizes would."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shared: int
    sizes: tuple[int, int]
    universe: int
    by_chance: float
    """Mean of the hypergeometric distribution."""
    chance_high: int
    """Its 97.5 % quantile: as much as that is still chance."""
    p: float
    """Chance of sharing at least as many."""


def overlap_of(first: Collection[int], second: Collection[int], universe: int) -> Overlap:
    """The overlap of two sets of features out of `universe`."""
    a, b = set(first), set(second)
    shared = len(a & b)
    chance = hypergeom(universe, len(a), len(b))
    return Overlap(
        shared=shared,
        sizes=(len(a), len(b)),
        universe=universe,
        by_chance=len(a) * len(b) / universe,
        chance_high=int(chance.ppf(0.975)),
        p=float(chance.sf(shared - 1)),
    )


def jaccard(first: Collection[int], second: Collection[int]) -> float:
    """Shared over all; 0 where both are empty."""
    a, b = set(first), set(second)
    return len(a & b) / len(a | b) if a | b else 0.0
