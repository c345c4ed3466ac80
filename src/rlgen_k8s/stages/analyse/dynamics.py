"""Features across a family's checkpoints: one identity, the overlap of the top, shifts of rank (paper 5.2, B.1)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rlgen_k8s.stages.analyse.results import Shift, Transition


def labels_along(
    matches: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]], n_features: int, least_cosine: float
) -> list[NDArray[np.int64]]:
    """One label per feature and checkpoint, `[checkpoints][D]`: equal labels are one feature.

    `matches[k]` = (partner, cosine), each `[D]`: feature `i` of checkpoint `k` is feature `partner[i]` of the next
    one. A label is handed on where the cosine is at least `least_cosine`; otherwise the partner is a new feature
    with a new label (`>= D`). A negative partner means none.
    """
    labels = [np.arange(n_features)]
    fresh = n_features
    for partner, cosine in matches:
        following = np.full(n_features, -1, dtype=np.int64)
        kept = (partner >= 0) & (cosine >= least_cosine)
        following[partner[kept]] = labels[-1][kept]
        new = following < 0
        following[new] = np.arange(fresh, fresh + new.sum())
        fresh += int(new.sum())
        labels.append(following)
    return labels


def top_labels(scores: NDArray[np.float64], labels: NDArray[np.int64], top: int) -> list[int]:
    """Labels of the `top` features by descending score `[D]`; ties by index."""
    order = np.argsort(-scores, kind="stable")[:top]
    return [int(label) for label in labels[order]]


def overlap_matrix(tops: Sequence[Sequence[int]]) -> list[list[int]]:
    """How many features each two checkpoints' tops share, `[checkpoints, checkpoints]`."""
    return [[len(set(a) & set(b)) for b in tops] for a in tops]


def transition(before: Sequence[int], after: Sequence[int], checkpoints: tuple[int, int]) -> Transition:
    """Shifts of rank between two tops (labels in order of rank, best first), ranks counted from 1."""
    old = {label: rank for rank, label in enumerate(before, 1)}
    new = {label: rank for rank, label in enumerate(after, 1)}
    everyone = [*before, *(label for label in after if label not in old)]
    shifts = [Shift(feature=label, before=old.get(label), after=new.get(label)) for label in everyone]
    sizes = [abs(s.before - s.after) for s in shifts if s.before is not None and s.after is not None]
    return Transition(
        checkpoints=checkpoints,
        shifts=shifts,
        blanks=len(old.keys() - new.keys()),
        median_shift=float(np.median(sizes)) if sizes else None,
    )
