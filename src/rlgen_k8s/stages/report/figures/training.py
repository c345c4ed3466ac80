"""Curves of the two trainings."""

from collections.abc import Mapping, Sequence

from rlgen_k8s.stages.report.figures.style import COLOURS, TITLES, no_data, panels, styled, to_svg

Curve = Sequence[tuple[float, float]]


@styled
def training_figure(curves: Mapping[str, tuple[str, Curve]]) -> str:
    """One panel a model: what the trainer logged, with its name."""
    figure, axes = panels(1, len(curves), 2.5)
    for axis, (name, (label, points)) in zip(axes, curves.items(), strict=True):
        axis.set_title(f"{TITLES[name]}: {label}", color=COLOURS[name])
        if not points:
            no_data(axis, "nothing was logged")
            continue
        steps, values = zip(*points, strict=True)
        axis.plot(steps, values, color=COLOURS[name], linewidth=1.6, marker="o", markersize=2.4)
        axis.annotate(
            f"{values[-1]:.3g}",
            (steps[-1], values[-1]),
            xytext=(6, 0),
            textcoords="offset points",
            color=COLOURS[name],
            va="center",
            annotation_clip=False,
        )
        axis.set_xlabel("step")
        axis.margins(x=0.08)
    return to_svg(figure, "training", "Training curves of SFT and RL")
