"""Did training change the answers? Paired comparisons of SFT and RL with the base model on the same samples."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlgen_k8s.stages.report.inputs import Run
from rlgen_k8s.stages.report.paper import GENERAL, MATHS, TASK_TITLES, UNSEEN
from rlgen_k8s.stats import PairedTest, benjamini_hochberg, mcnemar, paired_t


@dataclass(frozen=True)
class Comparison:
    """`model` against base on one task."""

    model: str
    task: str
    test: PairedTest
    q: float
    """Benjamini-Hochberg over all tasks and both models."""


def compare_all(run: Run, seed: int) -> list[Comparison]:
    """Every task that both evaluations hold: exact McNemar where outcomes are 0 and 1, paired t for means of k."""
    found: list[tuple[str, str, PairedTest]] = []
    for task in TASK_TITLES:
        before = run.outcomes("base", task)
        for model in ("sft", "rl"):
            after = run.outcomes(model, task)
            if before.empty or not before.index.equals(after.index):
                continue
            binary = task not in MATHS or bool(before.isin((0.0, 1.0)).all() and after.isin((0.0, 1.0)).all())
            test = (mcnemar if binary else paired_t)(before.to_numpy(), after.to_numpy(), seed)
            found.append((model, task, test))
    q = benjamini_hochberg([test.p for _model, _task, test in found])
    return [Comparison(model, task, test, float(qi)) for (model, task, test), qi in zip(found, q, strict=True)]


def of(comparisons: Sequence[Comparison], model: str, task: str) -> Comparison | None:
    """The one comparison, or None where it was not made."""
    return next((c for c in comparisons if c.model == model and c.task == task), None)


def transfer(comparisons: Sequence[Comparison], model: str, rate: float) -> tuple[list[str], list[str], int]:
    """Of the tasks that are not maths: those `model` is better at, those it is worse at (q ≤ rate), how many in all."""
    general = [c for c in comparisons if c.model == model and c.task in (*GENERAL, *UNSEEN)]
    real = [c for c in general if c.q <= rate]
    better = [TASK_TITLES[c.task] for c in real if (c.test.difference.mean or 0) > 0]
    worse = [TASK_TITLES[c.task] for c in real if (c.test.difference.mean or 0) < 0]
    return better, worse, len(general)
