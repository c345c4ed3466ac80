"""The figures of a task, from its samples."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from rlgen_k8s.lm.harness.names import is_maths
from rlgen_k8s.lm.harness.samples import Sample


@dataclass(frozen=True)
class Scores:
    """A task's figures."""

    metric: str
    n: int
    mean: float
    stderr: float
    """Of the mean over samples; 0 for a single sample."""
    chance: float
    """Expected for an answer at random."""
    mean_normalized: float | None
    """`acc_norm`, where the task has it."""


def scores(samples: Iterable[Sample]) -> dict[str, Scores]:
    """The figures of each task that `samples` are of, as the harness reports them."""
    by_task: dict[str, list[Sample]] = {}
    for sample in samples:
        by_task.setdefault(sample.task, []).append(sample)
    return {task: _scores(task, rows) for task, rows in by_task.items()}


def _scores(task: str, samples: Sequence[Sample]) -> Scores:
    outcomes = [sample.outcome for sample in samples]
    normalized = [sample.outcome_normalized for sample in samples if sample.outcome_normalized is not None]
    return Scores(
        metric="average_at_k" if is_maths(task) else "acc",
        n=len(samples),
        mean=fmean(outcomes),
        stderr=stdev(outcomes) / math.sqrt(len(outcomes)) if len(outcomes) > 1 else 0.0,
        chance=0.0 if is_maths(task) else fmean(1 / len(sample.loglikelihoods) for sample in samples),
        mean_normalized=fmean(normalized) if normalized else None,
    )
