"""The figures of the page, from the run."""

from collections.abc import Mapping

from rlgen_k8s.stages.intervene.conditions import MODEL
from rlgen_k8s.stages.intervene.results import POOLED
from rlgen_k8s.stages.report.effects import control, docs_of, dose_rows, main_row, reanswering
from rlgen_k8s.stages.report.figures.distributions import mas_figure, nrn_figure
from rlgen_k8s.stages.report.figures.doses import DoseCurve, dose_figure
from rlgen_k8s.stages.report.figures.drift import drift_figure
from rlgen_k8s.stages.report.figures.overlaps import checkpoint_figure, task_figure
from rlgen_k8s.stages.report.figures.points import Panel, Series, dot_figure
from rlgen_k8s.stages.report.figures.ranks import rank_figure
from rlgen_k8s.stages.report.figures.style import COLOURS, SOFT, TITLES
from rlgen_k8s.stages.report.figures.training import Curve, training_figure
from rlgen_k8s.stages.report.inputs import MODELS, Run
from rlgen_k8s.stages.report.paper import GENERAL, TASK_TITLES, UNSEEN
from rlgen_k8s.stats import Interval, bootstrap_mean

PANELS = {"zero": "RL: features to 0", "raise": "Base: features raised"}
CURVES = {"sft": ("training loss", "loss"), "rl": ("mean reward", "reward")}


def all_figures(run: Run, seed: int) -> dict[str, str]:
    """SVG by name."""
    analysis, found = run.analysis, run.analysis.generalization
    of_mas = {"mas": analysis.mas} | ({"mas-drift": analysis.course.mas} if analysis.course else {})
    return {
        "accuracy": _accuracy(run, seed),
        "training": training_figure({name: (label, _curve(run, name, key)) for name, (label, key) in CURVES.items()}),
        "nrn": nrn_figure(analysis.families, analysis.edges, noise=analysis.noise),
        "drift": drift_figure(analysis.drift),
        "nrn-drift": nrn_figure(
            analysis.families, analysis.edges, "nrn-drift", analysis.drift.nearest, noise=analysis.noise
        ),
        "overlap": checkpoint_figure(analysis.families, analysis.top),
        **{f"ranks-{name}": rank_figure(name, family, analysis.top) for name, family in analysis.families.items()},
        **{name: mas_figure(mas, analysis.edges, name, analysis.joint_noise) for name, mas in of_mas.items()},
        "tasks": task_figure([TASK_TITLES.get(task, task) for task in found.tasks], found.shared),
        "interventions": _interventions(run),
        "dose": _dose(run),
    }


def _curve(run: Run, name: str, column: str) -> Curve:
    frame = run.training[name]
    if column not in frame:
        return []
    frame = frame[["step", column]].dropna()
    return [(float(step), float(value)) for step, value in frame.to_numpy()]


def _accuracy(run: Run, seed: int) -> str:
    rows = {task: title for task, title in TASK_TITLES.items() if task in run.chance}
    series = [
        Series(
            TITLES[model],
            COLOURS[model],
            {task: bootstrap_mean(run.outcomes(model, task).to_numpy(), seed) for task in rows},
        )
        for model in MODELS
    ]
    panel = Panel("", series, {task: run.chance[task] for task in rows if run.chance[task]})
    return dot_figure("accuracy", "Accuracy of base, SFT and RL by task", rows, [panel], "% right", zero=False)


def _interventions(run: Run) -> str:
    rows = {task: TASK_TITLES[task] for task in (*GENERAL, *UNSEEN) if task in run.chance} | {POOLED: "All selected on"}
    wanted = [
        Panel(
            PANELS[d],
            _series(run, d, rows),
            {task: reanswering(d, run.chance[task]) for task in rows if task != POOLED},
        )
        for d in run.interventions
    ]
    title = "Change by interventions and controls on held-out critical samples"
    return dot_figure("interventions", title, rows, wanted, "change in points", zero=True)


def _dose(run: Run) -> str:
    docs = docs_of(run, "held_out")
    curves = []
    for direction in run.interventions:
        doses = [
            (float(label.removeprefix("dose ")), change) for label, change in dose_rows(run, direction, "held_out")
        ]
        controls = [
            (title, control(run, direction, kind, None, docs).change)
            for kind, title in (("random_features", "random features"), ("random_directions", "random directions"))
        ]
        curves.append(DoseCurve(PANELS[direction], COLOURS[MODEL[direction]], doses, controls))
    return dose_figure(curves)


def _series(run: Run, direction: str, rows: Mapping[str, str]) -> list[Series]:
    docs = docs_of(run, "held_out") + docs_of(run, "unseen")
    split = {task: "unseen" if task in UNSEEN else "held_out" for task in rows}
    seen = docs_of(run, "held_out")

    def controls(kind: str) -> dict[str, Interval]:
        return {
            task: control(
                run, direction, kind, None if task == POOLED else task, seen if task == POOLED else docs
            ).change
            for task in rows
        }

    colour = COLOURS[MODEL[direction]]
    main = {task: main_row(run, direction, task, split[task]) for task in rows}
    return [
        Series("generalization features", colour, main),
        Series("random features", SOFT, controls("random_features"), hollow=True),
        Series("random directions", "#b0b5bf", controls("random_directions"), hollow=True),
    ]
