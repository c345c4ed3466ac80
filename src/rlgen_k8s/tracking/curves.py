"""Curves of two runs side by side, each in a line of text."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlflow.entities import Run

from rlgen_k8s.tracking.mlflow_store import Tracking

WIDTH = 16
BARS = "▁▂▃▄▅▆▇█"
Points = tuple[tuple[int, float], ...]
"""Step and value, by step."""


@dataclass(frozen=True)
class Curve:
    """A metric over the steps of two runs: its finite values, of at least one of them."""

    name: str
    a: Points
    b: Points


def curves(tracking: Tracking, task: str, a: Run | None, b: Run | None) -> Iterator[Curve]:
    """All metrics of a task that change over steps in two runs, as `task.metric`."""
    for metric in sorted(_over_steps(a) | _over_steps(b)):
        curve = Curve(f"{task}.{metric}", _points(tracking, a, metric), _points(tracking, b, metric))
        if len({value for _, value in (*curve.a, *curve.b)}) > 1:
            yield curve


def drawn(curve: Curve) -> tuple[str, str]:
    """First value, shape and last value of each, over the same steps and on the same scale; – for none."""
    both = [*curve.a, *curve.b]
    steps, values = [step for step, _ in both], [value for _, value in both]
    bounds = min(steps), max(steps), min(values), max(values)
    return _line(curve.a, *bounds), _line(curve.b, *bounds)


def _over_steps(run: Run | None) -> set[str]:
    """A final figure has step 0."""
    return {metric.key for metric in run.data.to_proto().metrics if metric.step} if run else set()


def _points(tracking: Tracking, run: Run | None, metric: str) -> Points:
    if run is None or metric not in run.data.metrics:
        return ()
    found = tracking.client.get_metric_history(run.info.run_id, metric)
    return tuple(sorted((point.step, point.value) for point in found if math.isfinite(point.value)))


def _line(points: Points, first: int, last: int, low: float, high: float) -> str:
    if not points:
        return "–"
    places: list[list[float]] = [[] for _ in range(WIDTH)]
    for step, value in points:
        places[(step - first) * (WIDTH - 1) // max(last - first, 1)].append(value)
    shape = "".join(_bar(values, low, high) for values in places)
    return f"{points[0][1]:.3g} {shape} {points[-1][1]:.3g}"


def _bar(values: Sequence[float], low: float, high: float) -> str:
    if not values:
        return " "
    share = (sum(values) / len(values) - low) / ((high - low) or 1)
    return BARS[min(int(share * len(BARS)), len(BARS) - 1)]
