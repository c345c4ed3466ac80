"""Figures 1, 3, 5, 6: how NRN and MAS spread over features."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from rlgen_k8s.stages.analyse.results import Distribution, Family
from rlgen_k8s.stages.report.figures.style import COLOURS, INK, SOFT, TITLES, blend, panels, styled, to_svg

AGAIN = "Base again"
HEADROOM = 6
"""Factor of empty space above the highest bar, on a log axis, for words."""


@styled
def nrn_figure(
    families: Mapping[str, Family],
    edges: Sequence[float],
    name: str = "nrn",
    at: Mapping[str, int] | None = None,
    noise: Distribution | None = None,
) -> str:
    """NRN of SFT and RL side by side, at the checkpoints `at` (from 1) or at the last, and beside them that of base
    against itself, if `noise` is that."""
    shown = {}
    for model, family in families.items():
        k = at[model] if at else len(family.nrn)
        title = f"{TITLES[model]} {k}/{len(family.nrn)}" if at else TITLES[model]
        shown[title] = (TITLES[model], family.nrn[k - 1], COLOURS[model])
    if noise is not None:
        shown[AGAIN] = ("copy", noise, COLOURS["base"])
    figure, axes = panels(1, len(shown), 3.1, sharex=True, sharey=True)
    for axis, (title, (model, distribution, colour)) in zip(axes, shown.items(), strict=True):
        _bars(axis, distribution, edges, colour)
        axis.set_title(title, color=colour, pad=20)
        axis.axvline(0.5, color=SOFT, linewidth=0.8, linestyle=(0, (2, 3)))
        for x, words, align in (
            (0.0, "base only", "left"),
            (0.5, "shared", "center"),
            (1.0, f"{model} only", "right"),
        ):
            axis.text(x, 1.015, words, transform=axis.get_xaxis_transform(), ha=align, color=SOFT, fontsize=7.5)
        _tail(axis, distribution, "<0.3", 0.15)
        _tail(axis, distribution, ">0.7", 0.85)
        axis.set_xlabel("NRN")
    axes[0].set_ylabel("features (log scale)")
    return to_svg(figure, name, "Histograms of NRN for SFT and RL")


@styled
def mas_figure(mas: Mapping[str, Distribution], edges: Sequence[float], name: str, noise: Distribution | None) -> str:
    """MAS of base, SFT and RL in one crosscoder, side by side, and beside them that of one of three copies of base, if
    `noise` is that."""
    shown = {TITLES[model]: (distribution, COLOURS[model]) for model, distribution in mas.items()}
    if noise is not None:
        shown[AGAIN] = (noise, COLOURS["base"])
    figure, axes = panels(1, len(shown), 2.8, sharex=True, sharey=True)
    for axis, (title, (distribution, colour)) in zip(axes, shown.items(), strict=True):
        _bars(axis, distribution, edges, colour)
        axis.axvline(1 / len(mas), color=SOFT, linewidth=0.8, linestyle=(0, (2, 3)))
        axis.text(
            1 / len(mas) + 0.02,
            1.0,
            "shared equally",
            transform=axis.get_xaxis_transform(),
            color=SOFT,
            fontsize=7.5,
            va="top",
        )
        _tail(axis, distribution, ">0.5", 0.78, y=0.86 if noise is None else 0.8)  # four are too narrow for one line
        axis.set_title(title, color=colour)
        axis.set_xlabel("MAS")
    axes[0].set_ylabel("features (log scale)")
    return to_svg(figure, name, "Distributions of MAS for base, SFT and RL")


def _bars(axis: Axes, distribution: Distribution, edges: Sequence[float], colour: str) -> None:
    """Counts on a log axis; an empty bin shows nothing."""
    axis.stairs([max(c, 0.5) for c in distribution.counts], edges, fill=True, color=blend(colour, 0.75), baseline=0.5)
    axis.set_yscale("log")
    top = HEADROOM * max(2, *distribution.counts)
    axis.set(ylim=(0.5, max(top, axis.get_ylim()[1])), xlim=(0, 1))
    axis.yaxis.set_major_formatter(lambda value, _position: f"{value:,.0f}")
    axis.grid(axis="x", visible=False)


def _tail(axis: Axes, distribution: Distribution, limit: str, x: float, y: float = 0.86) -> None:
    """Say what share of features lies beyond a limit."""
    share = distribution.beyond[limit]
    if share.mean is None or share.low is None or share.high is None:
        return
    axis.text(
        x,
        y,
        f"{limit[0]} {limit[1:]}\n{100 * share.mean:.1f} %\n[{100 * share.low:.1f}, {100 * share.high:.1f}]",
        transform=axis.get_xaxis_transform(),
        ha="center",
        va="center",
        fontsize=7.5,
        color=INK,
        linespacing=1.4,
    )
