"""Tables 2 to 5 with their controls, the four cells, the doses, and the price on ordinary text."""

from rlgen_k8s.stages.intervene.results import POOLED
from rlgen_k8s.stages.report.cells import NONE, Cell, Plain, Table, estimate, name, number, paper, percent
from rlgen_k8s.stages.report.effects import Control, control, docs_of, dose_rows, main_row, reanswering
from rlgen_k8s.stages.report.inputs import Run
from rlgen_k8s.stages.report.paper import GENERAL, PAPER, TASK_TITLES, UNSEEN
from rlgen_k8s.stats import Interval

WHAT = {"zero": "Features to 0 in the RL model", "raise": "Features raised in the base model"}
CELLS = {
    "only_rl": "Only RL right",
    "only_base": "Only base right",
    "both_right": "Both right",
    "both_wrong": "Both wrong",
}
NUMBERS = {("zero", "seen"): 2, ("raise", "seen"): 3, ("zero", "unseen"): 4, ("raise", "unseen"): 5}


def intervention_table(run: Run, direction: str, seen: bool) -> Table:
    """Table 2, 3, 4 or 5: change of accuracy on critical samples, held-out first, controls beside."""
    splits = ("held_out", "selection") if seen else ("unseen",)
    names = {"held_out": "Held-out", "selection": "Selection", "unseen": "Critical samples"}
    docs = docs_of(run, splits[0])
    rows: list[list[Cell]] = []
    for task in GENERAL if seen else UNSEEN:
        if task not in run.chance:
            continue
        rows.append(
            [
                name(TASK_TITLES[task]),
                *(percent(main_row(run, direction, task, split), signed=True) for split in splits),
                *(
                    _control(control(run, direction, kind, task, docs))
                    for kind in ("random_features", "random_directions")
                ),
                Plain(number(100 * reanswering(direction, run.chance[task]), 0, signed=True), "soft"),
                percent(main_row(run, direction, task, "whole"), signed=True),
                *(paper(model.change_of(direction, task), signed=True) for model in PAPER.values()),
            ]
        )
    which = NUMBERS[direction, "seen" if seen else "unseen"]
    first = names[splits[0]].lower()
    return Table(
        f"table-{which}",
        f"Table {which}. {WHAT[direction]}{'' if seen else ', unseen tasks'}",
        f"Change of accuracy in points. Random features and directions: mean over several, on the {first} samples, "
        "with the range over the sets. Re-answering: what answering at random would give on these samples, by the "
        "way they are chosen. Whole task: all samples, also those that can only change the other way.",
        [
            "Task",
            *(names[split] for split in splits),
            "Random features",
            "Random directions",
            "Re-answering",
            "Whole task",
            *(f"{title}, paper" for title in PAPER),
        ],
        rows if run.interventions[direction].rows else [],
        empty=run.interventions[direction].finding or "Nothing was measured.",
    )


def four_cells_table(run: Run) -> Table:
    """The change in each cell, over all tasks: the critical cell alone shows one direction only."""
    rows: list[list[Cell]] = [
        [
            name(WHAT[d]),
            *(percent(main_row(run, d, POOLED, cell), signed=True) for cell in (*CELLS, "whole")),
        ]
        for d, result in run.interventions.items()
        if result.rows
    ]
    return Table(
        "table-four-cells",
        "All four cells, over all tasks",
        "Change of accuracy in points. A useful feature helps in one cell without harm in the others; noise moves "
        "each cell towards chance.",
        ["Intervention", *CELLS.values(), "All samples"],
        rows,
        empty=_finding(run),
    )


def dose_table(run: Run) -> Table:
    """Parts of the intervention on held-out critical samples of all tasks."""
    rows: list[list[Cell]] = [
        [name(WHAT[d]), Plain(label.removeprefix("dose ")), percent(change, signed=True)]
        for d in run.interventions
        for label, change in dose_rows(run, d, "held_out")
    ]
    return Table(
        "table-dose",
        "Dose and response",
        "Held-out critical samples of all tasks; 1 is the whole intervention. Change in points.",
        ["Intervention", "Dose", "Change"],
        rows,
        empty=_finding(run),
    )


def loss_table(run: Run) -> Table:
    """The next-token loss on ordinary text."""
    rows: list[list[Cell]] = []
    for direction, result in run.interventions.items():
        for row in result.loss:
            label = "generalization features" if row.kind == "main" else row.condition
            if row.kind == "main" and result.feature_set == "fallback":
                label = "the features that stand in"
            change = Interval(mean=row.change, low=row.ci_low, high=row.ci_high, n=row.n_sequences)
            rows.append(
                [
                    name(f"{WHAT[direction]}: {label}"),
                    Plain(number(row.before, 3)),
                    Plain(number(row.after, 3)),
                    estimate(change, digits=3, signed=True),
                ]
            )
    return Table(
        "table-loss",
        "The price on ordinary text",
        "Next-token loss on held-out corpus text, nats a token; n counts sequences.",
        ["Intervention", "Before", "After", "Change"],
        rows,
        empty=_finding(run),
    )


def units(run: Run) -> str:
    """The raised value in units of the features' own largest activations."""
    shares = sorted(run.interventions["raise"].value_over_maximum.values())
    value = run.interventions["raise"].value
    if not shares or value is None:
        return ""
    middle = shares[len(shares) // 2]
    return (
        f"The base model's features are raised to {value:g}: between {shares[0]:.1f} and {shares[-1]:.1f} times "
        f"(median {middle:.1f}) their own largest activation on the tasks' prompts."
    )


def _control(found: Control) -> Cell:
    if found.lowest is None or found.highest is None:
        return Plain(f"{NONE} (n = 0)", "none")
    low, high = (number(100 * end, 1, signed=True) for end in (found.lowest, found.highest))
    return percent(found.change, signed=True, note=f"{found.sets} sets: {low} to {high}")


def _finding(run: Run) -> str:
    return next((r.finding for r in run.interventions.values() if r.finding), "Nothing was measured.")
