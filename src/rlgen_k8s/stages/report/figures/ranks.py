"""Figures 8 to 13: how the top features change places from one checkpoint to the next."""

from matplotlib.axes import Axes

from rlgen_k8s.stages.analyse.results import Family, Transition
from rlgen_k8s.stages.report.figures.style import COLOURS, FAINT, SOFT, TITLES, blend, panels, styled, to_svg

STAND_OFF = 0.035
"""Gap between a checkpoint's column and the lines that leave it."""


@styled
def rank_figure(name: str, family: Family, top: int) -> str:
    """One column a checkpoint, rank 1 on top. A line is one feature in the top at both ends; the more places it
    moves, the darker. A short stub is a *blank*: a feature whose other end is outside the top.
    """
    figure, (axis,) = panels(1, 1, 5.4)
    for transition in family.transitions:
        _draw(axis, transition, COLOURS[name], top)
    columns = len(family.transitions) + 1
    for k in range(1, columns + 1):
        axis.text(k, 0.3, f"{k}/{columns} epoch", ha="center", va="bottom", color=SOFT)
    axis.set(xlim=(0.85, columns + 0.15), ylim=(1.09 * top + 0.5, -0.03 * top), xticks=[])
    axis.set_yticks([1, *range(10, top + 1, 10)])
    axis.set_ylabel("rank by NRN")
    axis.spines["bottom"].set_visible(False)
    axis.grid(axis="x", visible=False)
    return to_svg(figure, f"ranks-{name}", f"Rank shifts of the top {top} features of {TITLES[name]}")


def _draw(axis: Axes, transition: Transition, colour: str, top: int) -> None:
    left, right = transition.checkpoints
    for shift in sorted(transition.shifts, key=lambda s: abs((s.before or 0) - (s.after or 0))):
        if shift.before is not None and shift.after is not None:
            moved = min(1.0, abs(shift.before - shift.after) / (top / 2))
            axis.plot(
                [left + STAND_OFF, right - STAND_OFF],
                [shift.before, shift.after],
                color=blend(colour, 0.25 + 0.75 * moved),
                linewidth=1.1,
                solid_capstyle="round",
            )
        elif shift.before is not None:
            axis.plot([left + STAND_OFF, left + 0.10], [shift.before] * 2, color=FAINT, linewidth=1.1)
        elif shift.after is not None:
            axis.plot([right - 0.10, right - STAND_OFF], [shift.after] * 2, color=FAINT, linewidth=1.1)
    for x, column in ((left, "before"), (right, "after")):
        ranks = [rank for s in transition.shifts if (rank := getattr(s, column)) is not None]
        axis.plot([x] * len(ranks), ranks, ".", color=colour, markersize=3.2)
    kept = sum(s.before is not None and s.after is not None for s in transition.shifts)
    middle = "" if transition.median_shift is None else f", moving {transition.median_shift:.0f} places"
    axis.text(
        (left + right) / 2,
        1.055 * top + 0.5,
        f"{kept} stay{middle}\n{transition.blanks} blank",
        ha="center",
        va="center",
        color=SOFT,
        linespacing=1.5,
    )
