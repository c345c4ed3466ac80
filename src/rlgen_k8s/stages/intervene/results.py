"""What `results.json` and `samples.parquet` hold, and the figures in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict

from rlgen_k8s.stages.intervene.conditions import Condition, Kind
from rlgen_k8s.stages.intervene.loss import OnText
from rlgen_k8s.stats import Interval, bootstrap_mean, mean_change

Cell = Literal["both_right", "only_base", "only_rl", "both_wrong"]
Split = Literal["selection", "held_out", "critical", "unseen", "whole"] | Cell
"""`critical`: both halves of a task's critical samples; `unseen`: all those of a task kept out of the selection."""
Comparison = Literal["random_features", "random_directions", "unchanged_by_rl", "unchanged_by_rl_and_random"]
COMPARISONS: tuple[Comparison, ...] = get_args(Comparison)
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
    """What an edit does to ordinary text, in nats a token; intervals are over sequences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    condition: str
    kind: Kind
    n_tokens: int
    before: Interval
    """Next-token loss of the untouched model."""
    after: Interval
    change: Interval
    divergence: Interval
    """`KL(untouched ‖ edited)` of the next-token distributions: also what moves without a change of the loss."""


class Contrast(BaseModel):
    """How much more accuracy changed by the intervention than in a comparison, in shares, on some samples.

    - `random_features`, `random_directions`: than by the mean of these controls, on the same samples.
    - `unchanged_by_rl`: than by the intervention on `contrasts.REFERENCE`, in the same proportions of the tasks.
    - `unchanged_by_rl_and_random`: the same difference, less that by the first set of random features.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    comparison: Comparison
    task: str
    split: Split
    difference: Interval
    """n: the critical samples."""
    reference: int
    """Samples of `contrasts.REFERENCE` behind it; 0 where the comparison is on the same samples."""


class Alone(BaseModel):
    """What the edit of one feature alone does to ordinary text, in nats a token; intervals are over sequences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    loss: Interval
    """Change of the next-token loss."""
    divergence: Interval
    """`KL(untouched ‖ edited)`."""


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
    paper_features: list[int]
    """The features of condition `paper`, selected by the paper's own protocol; empty where it was not asked for."""
    rows: list[Row]
    contrasts: list[Contrast]
    loss: list[LossRow]
    alone: dict[int, Alone]
    """Each feature of interest."""


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


def loss_row(condition: Condition, untouched: OnText, edited: OnText, length: int) -> LossRow:
    """`length` of the sequences, in tokens."""
    return LossRow(
        condition=condition.name,
        kind=condition.kind,
        n_tokens=len(edited.loss) * (length - 1),
        before=bootstrap_mean(untouched.loss),
        after=bootstrap_mean(edited.loss),
        change=bootstrap_mean(edited.loss - untouched.loss),
        divergence=bootstrap_mean(edited.divergence),
    )


def alone(untouched: OnText, edited: OnText) -> Alone:
    """Of one feature."""
    return Alone(loss=bootstrap_mean(edited.loss - untouched.loss), divergence=bootstrap_mean(edited.divergence))


def _change(before: Sequence[float], after: Sequence[float], seed: int) -> dict[str, float | int | None]:
    if not before:
        return {"n": 0, "before": None, "after": None, "change": None, "ci_low": None, "ci_high": None}
    interval = mean_change(before, after, seed)
    return {
        "n": len(before),
        "before": float(np.mean(before)),
        "after": float(np.mean(after)),
        "change": interval.mean,
        "ci_low": interval.low,
        "ci_high": interval.high,
    }
