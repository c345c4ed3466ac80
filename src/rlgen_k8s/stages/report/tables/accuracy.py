"""Table 1, the learning check, and what the samples look like."""

from collections.abc import Sequence

from rlgen_k8s.stages.report.cells import Cell, Plain, Table, name, number, p_value, paper, percent
from rlgen_k8s.stages.report.figures.style import TITLES
from rlgen_k8s.stages.report.inputs import MODELS, Run
from rlgen_k8s.stages.report.learning import Comparison, of
from rlgen_k8s.stages.report.paper import TASK_TITLES, PaperModel
from rlgen_k8s.stats import bootstrap_mean


def accuracy_table(run: Run, reference: PaperModel, seed: int) -> Table:
    """Table 1: tasks down, models across, the paper's figures beside."""
    rows: list[list[Cell]] = []
    for task, title in TASK_TITLES.items():
        ours = [percent(bootstrap_mean(run.outcomes(model, task).to_numpy(), seed)) for model in MODELS]
        theirs = [paper(reference.accuracy_of(model, task)) for model in MODELS]
        rows.append([name(title), Plain(number(100 * run.chance.get(task, 0), 0), "soft"), *ours, *theirs])
    return Table(
        "table-1",
        "Table 1. Accuracy",
        "Per cent right; for the maths tasks the mean over samples of the share of right answers. "
        f"Chance: an answer at random. In grey the paper's figures for {reference.title} on the real tasks; where this "
        "study's model or tasks are others, they are there to compare directions, not values.",
        ["Task", "Chance", *TITLES.values(), *(f"{title}, paper" for title in TITLES.values())],
        rows,
    )


def normalized_table(run: Run, seed: int) -> Table:
    """The same answers scored by log-likelihood per character: does the finding hang on the scoring?"""
    rows: list[list[Cell]] = []
    for task, title in TASK_TITLES.items():
        frames = {m: f[(f["task"] == task) & f["outcome_normalized"].notna()] for m, f in run.samples.items()}
        if all(len(frame) for frame in frames.values()):
            cells = [percent(bootstrap_mean(frames[m]["outcome_normalized"].to_numpy(), seed)) for m in MODELS]
            rows.append([name(title), *cells])
    return Table(
        "table-normalized",
        "The same by length-normalised likelihood",
        "A second way of scoring the same answers, where the harness has one (acc_norm). A finding that only one of "
        "the two shows is about the format.",
        ["Task", *TITLES.values()],
        rows,
        empty="The harness gives no second score for these tasks.",
    )


def learning_table(comparisons: Sequence[Comparison], limit: float) -> Table:
    """Paired tests of SFT and RL against base."""
    rows: list[list[Cell]] = []
    for task, title in TASK_TITLES.items():
        for model in ("sft", "rl"):
            found = of(comparisons, model, task)
            if found is None:
                continue
            test = found.test
            up = (test.difference.mean or 0) > 0
            verdict = "no clear change" if test.p >= limit else ("better" if up else "worse")
            rows.append(
                [
                    name(f"{title}, {TITLES[model]}"),
                    percent(test.difference, signed=True),
                    Plain(f"{test.up} / {test.down}"),
                    Plain(test.test, "soft"),
                    Plain(p_value(test.p)),
                    Plain(p_value(found.q)),
                    Plain(verdict, {"better": "good", "worse": "bad"}.get(verdict, "soft")),
                ]
            )
    return Table(
        "table-learning",
        "Learning check: against the base model, on the same samples",
        f"Difference in points. Up / down: samples that got better / worse. Verdict at p < {limit:g}; q: the same p "
        "after Benjamini-Hochberg over all rows.",
        ["Task, model", "Difference", "Up / down", "Test", "p", "q", "Verdict"],
        rows,
    )


def cells_table(run: Run, seed: int) -> Table:
    """The four right/wrong cells of base and RL."""
    rows: list[list[Cell]] = []
    for task, cells in run.features.cells.items():
        n = cells.both_right + cells.only_base + cells.only_rl + cells.both_wrong
        shares = [
            percent(bootstrap_mean([1.0] * count + [0.0] * (n - count), seed))
            for count in (cells.only_rl, cells.only_base)
        ]
        counts = (cells.both_right, cells.only_rl, cells.only_base, cells.both_wrong)
        rows.append([name(TASK_TITLES.get(task, task)), *(Plain(str(count)) for count in counts), *shares])
    return Table(
        "table-cells",
        "Which samples count: right and wrong of base and RL",
        "Generalization-critical samples are those that only RL gets right. Those that only base gets right are as "
        "much a product of training: where they are as many, the critical ones may be noise.",
        ["Task", "Both right", "Only RL right", "Only base right", "Both wrong", "Only RL, %", "Only base, %"],
        rows,
    )
