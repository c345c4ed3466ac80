"""Two submissions side by side: settings that differ, figures, and curves of tasks that are not the same result."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.entities import Run
from rich.console import Group, RenderableType
from rich.table import Table

from rlgen_k8s.errors import UserError
from rlgen_k8s.tracking.curves import Curve, curves, drawn
from rlgen_k8s.tracking.figures import figures, planned, producers
from rlgen_k8s.tracking.mlflow_store import Tracking, all_experiments
from rlgen_k8s.tracking.reading import reading
from rlgen_k8s.tracking.submission import WORKFLOW, study_of
from rlgen_k8s.tracking.text import plain


@dataclass(frozen=True)
class Setting:
    """A setting that differs; None where a submission does not have it."""

    name: str
    a: str | None
    b: str | None


@dataclass(frozen=True)
class Figure:
    """The newest value of a metric, `task.metric`; None where a submission has no finished result with it."""

    name: str
    a: float | None
    b: float | None


@dataclass(frozen=True)
class Comparison:
    """What differs between submissions `a` and `b`, all their figures, and the curves that differ."""

    a: str
    b: str
    settings: tuple[Setting, ...]
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...]


def compare(a: str, b: str, environ: Mapping[str, str]) -> Comparison:
    """Compare two submissions, each given by its id, the beginning of it, its MLflow run id, or the name of its
    workflow or study (the newest of that name).

    A result that a submission found already there counts with the figures of the run that published it. Raises
    UserError for a submission that is unknown or ambiguous.
    """
    with reading(environ) as tracking:
        experiments = all_experiments(tracking)
        run_a, run_b = (find_submission(tracking, name, experiments) for name in (a, b))
        params_a, params_b = run_a.data.params, run_b.data.params
        plan_a, plan_b = planned(run_a), planned(run_b)
        runs = producers(tracking, {*plan_a.values(), *plan_b.values()}, experiments)
        figures_a, figures_b = figures(run_a, runs), figures(run_b, runs)
        others = [task for task in plan_a if task in plan_b and plan_a[task] != plan_b[task]]
        found = [
            curve for task in others for curve in curves(tracking, task, runs.get(plan_a[task]), runs.get(plan_b[task]))
        ]
    return Comparison(
        run_a.info.run_name,
        run_b.info.run_name,
        tuple(
            Setting(name, params_a.get(name), params_b.get(name))
            for name in sorted(params_a.keys() | params_b.keys())
            if params_a.get(name) != params_b.get(name)
        ),
        tuple(
            Figure(name, figures_a.get(name), figures_b.get(name))
            for name in sorted(figures_a.keys() | figures_b.keys())
        ),
        tuple(found),
    )


def find_submission(tracking: Tracking, name: str, experiments: list[str]) -> Run:
    """The submission with this id or MLflow run id, the newest with this workflow or study, or the one whose id begins
    so."""
    if not re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9_]*", name):
        raise UserError(f"submission {name!r}: not a name; expected one like tiny-20260131-154500")
    runs = tracking.client.search_runs(
        experiments, "tags.`rlgen.submission` LIKE '%'", order_by=["attributes.start_time DESC"]
    )
    exact = [run for run in runs if name in (run.data.tags["rlgen.submission"], run.info.run_id)]
    named = [run for run in runs if name in (run.data.tags.get(WORKFLOW), study_of(run.data.tags["rlgen.submission"]))]
    found = exact or named[:1] or [run for run in runs if run.data.tags["rlgen.submission"].startswith(name)]
    if len(found) == 1:
        return found[0]
    newest = ", ".join(run.data.tags["rlgen.submission"] for run in (found or runs)[:5])
    if found:
        raise UserError(f"submission {name}: {len(found)} begin so; give one of {newest}")
    raise UserError(f"submission {name}: not in this MLflow; " + (f"the newest are {newest}" if newest else "none is"))


def render_comparison(comparison: Comparison) -> str:
    """The comparison as text: a table each of settings, figures and curves."""
    settings = _table("Settings that differ", "setting", comparison)
    for row in comparison.settings:
        settings.add_row(row.name, row.a or "–", row.b or "–")
    metrics = _table("Figures", "task.metric", comparison)
    metrics.add_column("difference", justify="right")
    for figure in comparison.figures:
        difference = "–" if figure.a is None or figure.b is None else f"{figure.b - figure.a:+.4g}"
        metrics.add_row(figure.name, _number(figure.a), _number(figure.b), difference)
    lines = _table("Curves, from the first step to the last, on one scale a row", "task.metric", comparison)
    for curve in comparison.curves:
        lines.add_row(curve.name, *drawn(curve))
    parts: list[RenderableType] = [settings if comparison.settings else "The settings are the same.", "", metrics]
    if comparison.curves:
        parts += ["", lines]
    return plain(Group(*parts))


def _table(title: str, first: str, comparison: Comparison) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for submission in (comparison.a, comparison.b):
        table.add_column(submission, justify="right", overflow="fold")
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.5g}"
