"""What interventions did, beside what controls did, on the samples that were not used for the selection."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from rlgen_k8s.stages.intervene.results import POOLED, Row
from rlgen_k8s.stages.report.inputs import Run
from rlgen_k8s.stats import Interval, bootstrap_mean, mean_change


@dataclass(frozen=True)
class Control:
    """Several random sets or directions: their mean change over samples, and the range over the sets."""

    change: Interval
    lowest: float | None
    highest: float | None
    sets: int


def main_row(run: Run, direction: str, task: str, split: str) -> Interval:
    """Change by the intervention itself; n = 0 where there were no samples or nothing to edit."""
    return row_of(run, direction, "main", task, split)


def row_of(run: Run, direction: str, kind: str, task: str, split: str) -> Interval:
    """Change by the first condition of `kind`; n = 0 where there is no such row."""
    wanted = (kind, task, split)
    return _interval(next((r for r in run.interventions[direction].rows if (r.kind, r.task, r.split) == wanted), None))


def whole_task(run: Run, direction: str, task: str) -> tuple[Interval, Interval]:
    """Accuracy on all samples of `task`, or of all tasks (`POOLED`), before and after the intervention."""
    frame = run.changes[direction]
    frame = frame[(frame["kind"] == "main") & ((frame["task"] == task) | (task == POOLED))]
    return bootstrap_mean(frame["before"].to_numpy()), bootstrap_mean(frame["after"].to_numpy())


def contrast_of(run: Run, direction: str, comparison: str, task: str, split: str) -> tuple[Interval, int]:
    """A difference-in-differences and the number of samples it is taken against; n = 0 where it was not made."""
    for found in run.interventions[direction].contrasts:
        if (found.comparison, found.task, found.split) == (comparison, task, split):
            return found.difference, found.reference
    return bootstrap_mean([]), 0


def dose_rows(run: Run, direction: str, split: str) -> list[tuple[str, Interval]]:
    """Over all tasks: each dose by its name, then the whole intervention."""
    rows = [r for r in run.interventions[direction].rows if r.task == POOLED and r.split == split]
    doses = [(row.condition, _interval(row)) for row in rows if row.kind == "dose"]
    return doses + [("dose 1", _interval(row)) for row in rows if row.kind == "main"]


def control(run: Run, direction: str, kind: str, task: str | None, docs: Collection[tuple[str, int]]) -> Control:
    """Controls of `kind` on the samples `docs`, of one task or (None) of all."""
    frame = run.changes[direction]
    frame = frame[frame["kind"] == kind]
    if task is not None:
        frame = frame[frame["task"] == task]
    chosen = pd.MultiIndex.from_frame(frame[["task", "doc_id"]]).isin(list(docs)) if len(frame) and docs else []
    frame = frame[chosen] if len(frame) and docs else frame.iloc[:0]
    by_set = (frame["after"] - frame["before"]).groupby(frame["condition"]).mean()
    by_sample = frame.groupby(["task", "doc_id"])[["before", "after"]].mean()
    return Control(
        change=mean_change(by_sample["before"], by_sample["after"]),
        lowest=float(by_set.min()) if len(by_set) else None,
        highest=float(by_set.max()) if len(by_set) else None,
        sets=len(by_set),
    )


def docs_of(run: Run, split: str) -> list[tuple[str, int]]:
    """Samples (task, doc_id) of a split: selection, held_out or unseen."""
    if split == "unseen":
        return [(task, doc) for task, docs in run.features.unseen_critical.items() for doc in docs]
    return [(task, doc) for task, part in run.features.critical.items() for doc in getattr(part, split)]


def reanswering(direction: str, chance: float) -> float:
    """Expected change on critical samples if every answer were drawn anew at random.

    Base is wrong on all of them, so it gains 1/k; RL is right on all, so it loses 1 − 1/k.
    """
    return chance if direction == "raise" else chance - 1


def _interval(row: Row | None) -> Interval:
    if row is None:
        return bootstrap_mean([])
    return Interval(mean=row.change, low=row.ci_low, high=row.ci_high, n=row.n)
