"""Did training change the answers? Paired comparisons of SFT and RL with the base model on the same samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from rlgen_k8s.stages.report.inputs import MODELS, Run, outcomes_of
from rlgen_k8s.stages.report.paper import GENERAL, MATHS, TASK_TITLES, UNSEEN
from rlgen_k8s.stats import PairedTest, benjamini_hochberg, mcnemar, paired_t

HELD_OUT = "math500"
"""The problems on which a training has to show what it taught."""


@dataclass(frozen=True)
class Comparison:
    """`model` against base on one task."""

    model: str
    task: str
    test: PairedTest
    q: float
    """Benjamini-Hochberg over all tasks and both models."""


def compare_all(run: Run, seed: int) -> list[Comparison]:
    """Every task that both evaluations hold."""
    found: list[tuple[str, str, PairedTest]] = []
    for task in TASK_TITLES:
        before = run.outcomes("base", task)
        for model in ("sft", "rl"):
            after = run.outcomes(model, task)
            if not before.empty and before.index.equals(after.index):
                found.append((model, task, compare(before, after, task, seed)))
    q = benjamini_hochberg([test.p for _model, _task, test in found])
    return [Comparison(model, task, test, float(qi)) for (model, task, test), qi in zip(found, q, strict=True)]


def compare(before: pd.Series, after: pd.Series, task: str, seed: int) -> PairedTest:
    """Two models' outcomes of the same samples: exact McNemar where they are 0 and 1, paired t for means of k."""
    binary = task not in MATHS or bool(before.isin((0.0, 1.0)).all() and after.isin((0.0, 1.0)).all())
    return (mcnemar if binary else paired_t)(before.to_numpy(), after.to_numpy(), seed)


@dataclass(frozen=True)
class Learnt:
    """What one training brought on `HELD_OUT`, with the seed it was made with."""

    seed: int
    outcomes: Mapping[str, pd.Series]
    """By model."""
    tests: Mapping[str, PairedTest]
    """By tuned model, against base."""

    def by(self, limit: float) -> bool:
        """Whether both tuned models are better than base at p < `limit`."""
        return all(test.p < limit and (test.difference.mean or 0) > 0 for test in self.tests.values())


def learnt_by_seed(run: Run, seed: int) -> list[Learnt]:
    """The study's own training, made with `seed`, and each further one; none where `HELD_OUT` was not evaluated."""
    found = []
    for one, samples in ((seed, run.samples), *run.replicates.items()):
        outcomes = {model: outcomes_of(samples[model], HELD_OUT) for model in MODELS}
        if not outcomes["base"].empty:
            tests = {model: compare(outcomes["base"], outcomes[model], HELD_OUT, one) for model in ("sft", "rl")}
            found.append(Learnt(one, outcomes, tests))
    return found


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
