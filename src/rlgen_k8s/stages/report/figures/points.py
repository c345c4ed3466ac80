"""Dot plots: estimates with their intervals, several series a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from rlgen_k8s.stages.report.figures.style import INK, SOFT, no_data, panels, styled, to_svg
from rlgen_k8s.stats import Interval


@dataclass(frozen=True)
class Series:
    """One set of estimates, by row."""

    title: str
    colour: str
    values: Mapping[str, Interval]
    hollow: bool = False


@dataclass(frozen=True)
class Panel:
    """One axis: its title and its series."""

    title: str
    series: Sequence[Series]
    marks: Mapping[str, float]
    """A thin mark a row, such as the chance level."""


@styled
def dot_figure(
    name: str, title: str, rows: Mapping[str, str], panels_wanted: Sequence[Panel], unit: str, zero: bool
) -> str:
    """`rows`: key → label. Values are shares, drawn in %; `zero` draws a line at no change."""
    most = max((len(panel.series) for panel in panels_wanted), default=1)
    height = 1.25 + len(rows) * (0.2 + 0.115 * most)
    figure, axes = panels(1, len(panels_wanted), height, sharey=True)
    for axis, panel in zip(axes, panels_wanted, strict=True):
        axis.set_title(panel.title)
        drawn = sum(_draw(axis, rows, panel, place) for place in range(len(panel.series)))
        if not drawn:
            no_data(axis, "no samples")
            continue
        for i, row in enumerate(rows):
            if row in panel.marks:
                axis.plot([100 * panel.marks[row]] * 2, [i - 0.38, i + 0.38], color=SOFT, linewidth=1.1, linestyle=":")
        if zero:
            axis.axvline(0, color=SOFT, linewidth=0.8)
        axis.set_xlabel(unit)
        axis.grid(axis="y", visible=False)
    axes[0].set_yticks(range(len(rows)), list(rows.values()), color=INK)
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False, fontsize=8)
    return to_svg(figure, name, title)


def _draw(axis: Axes, rows: Mapping[str, str], panel: Panel, place: int) -> int:
    """Draw one series; returns how many estimates it had."""
    series, n = panel.series[place], len(panel.series)
    drawn = 0
    for i, row in enumerate(rows):
        value = series.values.get(row)
        if value is None or value.mean is None or value.low is None or value.high is None:
            continue
        y = i + (place - (n - 1) / 2) * 0.62 / max(n, 2)
        axis.plot([100 * value.low, 100 * value.high], [y, y], color=series.colour, linewidth=1.3, alpha=0.55)
        axis.plot(
            [100 * value.mean],
            [y],
            "o",
            markersize=4.6,
            color=series.colour,
            markerfacecolor="white" if series.hollow else series.colour,
            label=None if drawn else series.title,
        )
        drawn += 1
    return drawn
