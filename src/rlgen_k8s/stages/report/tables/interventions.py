"""Tables 2 to 5 with their controls, four cells, difference-in-differences, doses, the price on ordinary text."""

from rlgen_k8s.stages.intervene.results import COMPARISONS, POOLED
from rlgen_k8s.stages.report.cells import NONE, Cell, Plain, Table, estimate, name, number, paper, percent
from rlgen_k8s.stages.report.effects import (
    Control,
    contrast_of,
    control,
    docs_of,
    dose_rows,
    main_row,
    reanswering,
    row_of,
    whole_task,
)
from rlgen_k8s.stages.report.inputs import Run
from rlgen_k8s.stages.report.paper import GENERAL, PAPER, TASK_TITLES, UNSEEN
from rlgen_k8s.stats import Interval

WHAT = {"zero": "Features to 0 in the RL model", "raise": "Features raised in the base model"}
SHORT = {"zero": "To 0", "raise": "Raised"}
CONTROLS = {"random_features": "random features", "random_directions": "random direction"}
CELLS = {
    "only_rl": "Only RL right",
    "only_base": "Only base right",
    "both_right": "Both right",
    "both_wrong": "Both wrong",
}
NUMBERS = {("zero", "seen"): 2, ("raise", "seen"): 3, ("zero", "unseen"): 4, ("raise", "unseen"): 5}


def intervention_table(run: Run, direction: str, seen: bool) -> Table:
    """Table 2, 3, 4 or 5: change of accuracy on critical samples by both protocols, controls beside."""
    ours, of_paper = ("held_out", "critical") if seen else ("unseen", "unseen")
    docs = docs_of(run, ours)
    rows: list[list[Cell]] = []
    for task in GENERAL if seen else UNSEEN:
        if task not in run.chance:
            continue
        chance = run.chance[task]
        again = f"{number(100 * reanswering(direction, chance), 0, signed=True)} ({number(100 * chance, 0)})"
        rows.append(
            [
                name(TASK_TITLES[task]),
                percent(row_of(run, direction, "paper", task, of_paper), signed=True),
                percent(main_row(run, direction, task, ours), signed=True),
                *(
                    _control(control(run, direction, kind, task, docs))
                    for kind in ("random_features", "random_directions")
                ),
                Plain(again, "soft"),
                *(paper(model.change_of(direction, task), signed=True) for model in PAPER.values()),
            ]
        )
    which = NUMBERS[direction, "seen" if seen else "unseen"]
    held_out = "on the held-out half" if seen else "on all critical samples, none of which was selected on"
    return Table(
        f"table-{which}",
        f"Table {which}. {WHAT[direction]}{'' if seen else ', unseen tasks'}",
        "Change of accuracy in points on critical samples. Paper's protocol: features selected on all "
        "critical samples of the five tasks and measured on "
        f"{'the same ones' if seen else 'these'}. Ours: selected on one half, measured {held_out}; so are random "
        "features and directions, the mean over several with the range over the sets. Re-answering: what answering at "
        "random would give on these samples, by the way they are chosen, and in brackets the chance level.",
        [
            "Task",
            "Paper’s protocol",
            "Ours, held-out" if seen else "Ours",
            "Random features",
            "Random directions",
            "Re-answering (chance)",
            *(f"{title}, paper" for title in PAPER),
        ],
        rows if run.interventions[direction].rows else [],
        empty=run.interventions[direction].finding or "Nothing was measured.",
    )


def four_cells_table(run: Run, direction: str) -> Table:
    """The change in each cell and on all samples: the critical cell alone shows one direction only."""
    result = run.interventions[direction]
    kinds = [("main", task, _task(task)) for task in _measured(run, direction)]
    kinds += [(kind, POOLED, f"All, {title}") for kind, title in CONTROLS.items()]
    rows: list[list[Cell]] = [
        [name(title), *(percent(row_of(run, direction, kind, task, cell), signed=True) for cell in (*CELLS, "whole"))]
        for kind, task, title in kinds
    ]
    return Table(
        f"table-cells-{direction}",
        f"{WHAT[direction]}: all four cells",
        "Change of accuracy in points by who was right before, and on all samples, also those that can only change "
        "the other way. A useful feature helps in one cell without harm in the others; noise moves each cell towards "
        "chance. Only RL right holds both halves of the critical samples. Controls: one set of matched random "
        "features, and one random direction of the same size.",
        ["Task", *CELLS.values(), "All samples"],
        rows if result.rows else [],
        empty=_finding(run),
    )


def whole_table(run: Run) -> Table:
    """Accuracy on whole tasks, before and after."""
    rows: list[list[Cell]] = []
    for task in dict.fromkeys(task for direction in run.interventions for task in _measured(run, direction)):
        cells: list[Cell] = [name(_task(task))]
        for direction in run.interventions:
            cells += [percent(accuracy) for accuracy in whole_task(run, direction, task)]
            cells.append(percent(main_row(run, direction, task, "whole"), signed=True))
        rows.append(cells)
    return Table(
        "table-whole",
        "Whole tasks, before and after",
        "Accuracy on all samples in %, and its change in points on the same samples: the left three, features to 0 in "
        "the RL model; the right three, features raised in the base model.",
        ["Task", *(f"{title}: {what}" for title in SHORT.values() for what in ("before", "after", "change"))],
        rows,
        empty=_finding(run),
    )


def contrast_table(run: Run) -> Table:
    """Difference-in-differences: what is left of the change when what else would have changed is taken away."""
    rows: list[list[Cell]] = []
    for direction, result in run.interventions.items():
        for split in ("held_out", "unseen"):
            for task in dict.fromkeys(c.task for c in result.contrasts if c.split == split):
                title = _task(task, "seen" if split == "held_out" else "unseen")
                cells = [_contrast(*contrast_of(run, direction, kind, task, split)) for kind in COMPARISONS]
                rows.append([name(f"{SHORT[direction]}: {title}"), *cells])
    return Table(
        "table-contrasts",
        "Difference-in-differences: what is left of the change",
        "In points, on the held-out half of the critical samples and on the unseen tasks: the change by the "
        "intervention less (1) the mean change by the matched random features and (2) by the random directions, both "
        "on the same samples; (3) less its own change on samples that the model answered as it did the critical ones, "
        "but RL did not change (both right for zero, both wrong for raised), in the same proportions of tasks; (4) the "
        "same, less what the first set of random features does there and here. Zero in the interval: "
        "no effect of its own is shown.",
        ["Intervention: task", "(1) Random features", "(2) Random directions", "(3) Unchanged by RL", "(4) Both"],
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
        "Held-out critical samples of all tasks; 1 is the whole intervention: features at 0, or at the raised value. "
        "Change in points.",
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
            cells = [estimate(value, digits=3) for value in (row.before, row.after)]
            moved = [estimate(row.change, digits=3, signed=True), estimate(row.divergence, digits=4)]
            rows.append([name(f"{WHAT[direction]}: {label}"), *cells, *moved])
    return Table(
        "table-loss",
        "The price on ordinary text",
        "Next-token loss on held-out corpus text and KL(untouched ‖ edited) of the next-token distributions, nats a "
        "token; n counts sequences. The KL also shows what moves without a change of the loss.",
        ["Intervention", "Loss before", "Loss after", "Change", "KL"],
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


def _contrast(value: Interval, reference: int) -> Cell:
    return percent(value, signed=True, note=f"against {reference:,}" if reference and value.n else "")


def _measured(run: Run, direction: str) -> list[str]:
    """The tasks that were scored, and all of them together; none where nothing was."""
    scored = {row.task for row in run.interventions[direction].rows}
    return [task for task in (*TASK_TITLES, POOLED) if task in scored]


def _task(task: str, pooled: str = "") -> str:
    return f"All {pooled} tasks".replace("  ", " ") if task == POOLED else TASK_TITLES[task]


def _finding(run: Run) -> str:
    return next((r.finding for r in run.interventions.values() if r.finding), "Nothing was measured.")
