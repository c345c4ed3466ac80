"""What `results.json` and `samples.parquet` hold, and the figures in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rlgen_k8s.stages.intervene.conditions import Condition, Kind
from rlgen_k8s.stats import bootstrap_mean

Cell = Literal["both_right", "only_base", "only_rl", "both_wrong"]
Split = Literal["selection", "held_out", "unseen", "whole"] | Cell
POOLED = "all"
"""The task of a row over all tasks together."""


class Row(BaseModel):
    """Accuracy before and after on some samples, and the mean change with its 95 % bootstrap interval.

    All None where n is 0. The interval is over samples, each paired with itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    condition: str
    kind: Kind
    task: str
    split: Split
    n: int
    before: float | None
    after: float | None
    change: float | None
    ci_low: float | None
    ci_high: float | None


class LossRow(BaseModel):
    """Next-token loss on ordinary text, in nats; the interval is over sequences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    condition: str
    kind: Kind
    n_sequences: int
    n_tokens: int
    before: float
    after: float
    change: float
    ci_low: float
    ci_high: float


class Results(BaseModel):
    """`results.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    finding: str | None
    """What to say first where there were no generalization features; None where there were."""
    direction: Literal["zero", "raise"]
    model: str
    layer: int
    feature_set: Literal["generalization", "fallback", "none"]
    features: list[int]
    value: float | None
    """What features were raised to; None for zero."""
    value_over_maximum: dict[int, float]
    """`value` in units of each feature's largest activation on the tasks' prompts; empty for zero."""
    as_evaluated: float | None
    """Share of samples whose untouched outcome here equals the one that stage evaluate kept."""
    rows: list[Row]
    loss: list[LossRow]


@dataclass(frozen=True)
class Outcome:
    """How one sample was answered: right (1) or wrong (0), and which option."""

    right: float
    choice: int


Outcomes = Mapping[tuple[str, int], Outcome]
"""By task and doc_id."""
Groups = Mapping[tuple[str, Split], Sequence[int]]
"""Sample ids of each task's splits."""


def rows_of(condition: Condition, before: Outcomes, after: Outcomes, groups: Groups, seed: int) -> list[Row]:
    """One row for each task and split of `groups`, then one for each split over all tasks."""
    samples = {key: [(key[0], doc) for doc in docs] for key, docs in groups.items()}
    for split in dict.fromkeys(split for _, split in groups):
        samples[POOLED, split] = [item for (_, s), items in samples.items() if s == split for item in items]
    return [
        Row(
            condition=condition.name,
            kind=condition.kind,
            task=task,
            split=split,
            **_change([before[i].right for i in items], [after[i].right for i in items], seed),
        )
        for (task, split), items in samples.items()
    ]


def loss_row(condition: Condition, before: NDArray[np.float64], after: NDArray[np.float64], length: int) -> LossRow:
    """`before` and `after`: loss of each sequence [n]; `length` in tokens."""
    interval = bootstrap_mean(after - before)
    assert interval.mean is not None
    assert interval.low is not None
    assert interval.high is not None
    return LossRow(
        condition=condition.name,
        kind=condition.kind,
        n_sequences=len(before),
        n_tokens=len(before) * (length - 1),
        before=float(before.mean()),
        after=float(after.mean()),
        change=interval.mean,
        ci_low=interval.low,
        ci_high=interval.high,
    )


def _change(before: Sequence[float], after: Sequence[float], seed: int) -> dict[str, float | int | None]:
    if not before:
        return {"n": 0, "before": None, "after": None, "change": None, "ci_low": None, "ci_high": None}
    # Where nothing changed, the interval must open to the side that a change could go to.
    sign = -1.0 if np.mean(before) > 0.5 else 1.0
    interval = bootstrap_mean(sign * (np.asarray(after) - np.asarray(before)), seed)
    assert interval.low is not None
    assert interval.high is not None
    low, high = sorted((sign * interval.low + 0.0, sign * interval.high + 0.0))  # + 0.0: no -0.0
    return {
        "n": len(before),
        "before": float(np.mean(before)),
        "after": float(np.mean(after)),
        "change": float(np.mean(after) - np.mean(before)),
        "ci_low": low,
        "ci_high": high,
    }
