"""What a plan expects beside what a submission took, and the rates that would have made it expect that."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from rlgen_k8s.cost.estimates import Estimate, estimates
from rlgen_k8s.cost.fitting import Fitted, fitted
from rlgen_k8s.dag.nodes import Node, plan
from rlgen_k8s.dag.verdicts import up_to
from rlgen_k8s.runners.costs import gpu_hours, hours
from rlgen_k8s.runners.planning import console
from rlgen_k8s.runners.view import clock
from rlgen_k8s.study.load import load_study
from rlgen_k8s.study.settings import Study
from rlgen_k8s.tracking.compare import find_submission
from rlgen_k8s.tracking.figures import planned, producers
from rlgen_k8s.tracking.mlflow_store import all_experiments
from rlgen_k8s.tracking.reading import reading

HOUR = 3600
DATA = {
    "acceptance": ("traces", "acceptance_rate"),
    "prompt_tokens": ("grpo", "prompt_length/mean"),
    "response_tokens": ("grpo", "response_length/mean"),
}
"""What the cost model assumes of the data, by stage and metric that say it; verl's are those of its last step."""


@dataclass(frozen=True)
class Pair:
    """A task's seconds and GPU-seconds, expected and as they were."""

    task: str
    expected: float
    took: float
    expected_on_gpus: float
    took_on_gpus: float


def show_against(name: str, assignments: list[str], until: list[str], submission: str) -> None:
    """Print a line for each task of the study, to `until`, whose result the submission names and MLflow knows, and one
    for each rate of the cost model that they tell."""
    study = load_study(name, assignments)
    nodes = up_to(plan(study), until)
    with reading(os.environ) as tracking:
        experiments = all_experiments(tracking)
        run = find_submission(tracking, submission, experiments)
        results = planned(run)
        made = producers(tracking, results.values(), experiments)
    metrics = {task: made[address].data.metrics for task, address in results.items() if address in made}
    pairs = pair(nodes, estimates(study, nodes), metrics)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("task", "expected", "took", "took / expected", "GPU expected", "GPU took"):
        table.add_column(heading, justify="left" if heading == "task" else "right")
    for item in pairs:
        on_gpus = (clock(item.expected_on_gpus), clock(item.took_on_gpus)) if item.expected_on_gpus else ("", "")
        ratio = f"{item.took / item.expected:.2f}"
        table.add_row(item.task, clock(item.expected), clock(item.took), ratio, *on_gpus)
    expected, took = sum(item.expected for item in pairs), sum(item.took for item in pairs)
    console().print(table)
    lines = fitted(study, nodes, {item.task: item.took for item in pairs}) + said(study, nodes, metrics)
    console().print(_rates_table(lines, {node.name: node.stage for node in nodes}))
    console().print(
        f"{run.info.run_name}: {len(pairs)} of {len(nodes)} tasks known to MLflow, {clock(expected)} expected, "
        f"{clock(took)} taken, summed over tasks"
    )


def said(study: Study, nodes: Sequence[Node], metrics: Mapping[str, Mapping[str, float]]) -> list[Fitted]:
    """What metrics say of the data outright, mean over tasks."""
    found = []
    for name, (stage, metric) in DATA.items():
        values = {
            node.name: metrics[node.name][metric]
            for node in nodes
            if node.stage == stage and metric in metrics.get(node.name, {})
        }
        if values:
            mean = sum(values.values()) / len(values)
            found.append(Fitted(f"cost.{name}", getattr(study.cost, name), mean, tuple(values)))
    return found


def _rates_table(lines: Sequence[Fitted], stage_of: Mapping[str, str]) -> Table:
    """What is set beside what the tasks say."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("rate", "set", "fitted", "to"):
        table.add_column(heading, justify="right" if heading in ("set", "fitted") else "left", overflow="fold")
    for line in lines:
        counts = Counter(stage_of[task] for task in line.tasks)
        stages = (stage if count == 1 else f"{stage} × {count}" for stage, count in counts.items())
        value = "none gives it" if line.fitted is None else f"{line.fitted:.3g}"
        table.add_row(line.rate, f"{line.now:.3g}", value, ", ".join(stages))
    return table


def pair(
    nodes: Sequence[Node], estimated: Mapping[str, Estimate], metrics: Mapping[str, Mapping[str, float]]
) -> list[Pair]:
    """Each node with its metrics `duration_seconds` and `gpu_seconds`, where `metrics` has them by task."""
    return [
        Pair(
            node.name,
            HOUR * hours(node, estimated),
            metrics[node.name]["duration_seconds"],
            HOUR * gpu_hours(node, estimated),
            metrics[node.name].get("gpu_seconds", 0.0),
        )
        for node in nodes
        if "duration_seconds" in metrics.get(node.name, {})
    ]
