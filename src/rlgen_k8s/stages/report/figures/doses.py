"""Dose and response: the change by parts of the intervention."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from rlgen_k8s.stages.report.figures.style import SOFT, no_data, panels, styled, to_svg
from rlgen_k8s.stats import Interval


@dataclass(frozen=True)
class DoseCurve:
    """One intervention: changes by dose, smallest first, and what controls do at dose 1."""

    title: str
    colour: str
    doses: Sequence[tuple[float, Interval]]
    controls: Sequence[tuple[str, Interval]]


@styled
def dose_figure(curves: Sequence[DoseCurve]) -> str:
    """One panel an intervention; changes are shares, drawn in points. Dose 0 is the untouched model: no change."""
    figure, axes = panels(1, len(curves), 2.7, sharey=True)
    for axis, curve in zip(axes, curves, strict=True):
        axis.set_title(curve.title, color=curve.colour)
        measured = [(dose, value) for dose, value in curve.doses if value.mean is not None]
        if not measured:
            no_data(axis, "nothing was measured")
            continue
        axis.axhline(0, color=SOFT, linewidth=0.8)
        means = [100 * (value.mean or 0.0) for _dose, value in measured]
        axis.plot([0, *(dose for dose, _value in measured)], [0, *means], color=curve.colour, linewidth=1.2)
        for dose, value in measured:
            _point(axis, dose, value, curve.colour)
        for place, (label, value) in enumerate(curve.controls, start=1):
            if value.mean is not None:
                _point(axis, 1 + 0.07 * place, value, SOFT, hollow=True)
                axis.annotate(
                    label,
                    (1 + 0.07 * place, 100 * value.mean),
                    xytext=(6, 0 if place > 1 else 7),
                    textcoords="offset points",
                    color=SOFT,
                    fontsize=7.5,
                    va="center",
                )
        axis.set(xlim=(-0.04, 1.5), xticks=[0, *(dose for dose, _value in measured)])
        axis.set_xlabel("share of the intervention")
    axes[0].set_ylabel("change in points")
    return to_svg(figure, "dose", "Change by dose of the intervention")


def _point(axis: Axes, x: float, value: Interval, colour: str, hollow: bool = False) -> None:
    assert value.mean is not None
    assert value.low is not None
    assert value.high is not None
    axis.plot([x, x], [100 * value.low, 100 * value.high], color=colour, linewidth=1.3, alpha=0.55)
    axis.plot([x], [100 * value.mean], "o", markersize=5, color=colour, markerfacecolor="white" if hollow else colour)
