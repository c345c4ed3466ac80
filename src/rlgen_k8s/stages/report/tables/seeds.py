"""The study's own training beside those with other seeds."""

from collections.abc import Sequence

from rlgen_k8s.stages.report.cells import Cell, Plain, Table, name, p_value, percent
from rlgen_k8s.stages.report.figures.style import TITLES
from rlgen_k8s.stages.report.inputs import MODELS
from rlgen_k8s.stages.report.learning import HELD_OUT, Learnt
from rlgen_k8s.stages.report.paper import TASK_TITLES
from rlgen_k8s.stats import bootstrap_mean


def seeds_table(trainings: Sequence[Learnt], limit: float) -> Table:
    """A row a training, the study's own first; no rows where it is the only one."""
    rows: list[list[Cell]] = []
    for number, training in enumerate(trainings):
        means = [percent(bootstrap_mean(training.outcomes[model].to_numpy(), training.seed)) for model in MODELS]
        tests: list[Cell] = []
        for test in training.tests.values():
            tests += [percent(test.difference, signed=True), Plain(p_value(test.p))]
        learnt = training.by(limit)
        verdict = Plain("both better" if learnt else "not both", "good" if learnt else "bad")
        rows.append([name(f"{training.seed}{'' if number else ', this study'}"), *means, *tests, verdict])
    tests_used = sorted({test.test for training in trainings for test in training.tests.values()})
    sft, rl = TITLES["sft"], TITLES["rl"]
    return Table(
        "table-seeds",
        "Seeds: does what was learnt depend on them?",
        f"{TASK_TITLES[HELD_OUT]}, held-out problems, per cent right. Each row is a whole training with a seed "
        f"of its own, from the data to {sft} and {rl}. Difference in points to base on the same problems, with p of "
        f"the {' and '.join(tests_used) or 'paired'} test; verdict at p < {limit:g}.",
        ["Seed", *TITLES.values(), f"{sft} − base", "p", f"{rl} − base", "p", "Verdict"],
        rows if len(rows) > 1 else [],
        empty="This study was trained with one seed. `--set replicates=[1,2]` trains and evaluates it with two more.",
    )
