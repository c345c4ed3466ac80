"""Figures 2, 4, 7: which features come back, across checkpoints and across tasks."""

from collections.abc import Mapping, Sequence

from rlgen_k8s.stages.analyse.results import Family
from rlgen_k8s.stages.report.figures.style import COLOURS, TITLES, matrix, no_data, panels, styled, to_svg
from rlgen_k8s.stats import Overlap


@styled
def checkpoint_figure(families: Mapping[str, Family], top: int) -> str:
    """Shared features among the top by NRN, for each two checkpoints of SFT and of RL; in the title, what two starts of
    the last one share, if there are two, and what chance gives."""
    figure, axes = panels(1, len(families), 3.7)
    for axis, (name, family) in zip(axes, families.items(), strict=True):
        n = len(family.overlap)
        texts = [[str(value) for value in row] for row in family.overlap]
        matrix(axis, family.overlap, texts, [f"{k}/{n}" for k in range(1, n + 1)], COLOURS[name], top)
        seeds = "" if (shared := family.shared_by_starts) is None else f"two seeds {shared:.1f}, "
        axis.set_title(
            f"{TITLES[name]}: of the top {top}, {seeds}by chance {family.chance.by_chance:.1f}", color=COLOURS[name]
        )
        axis.set_xlabel("epoch")
        axis.set_ylabel("epoch")
    return to_svg(figure, "overlap", f"Overlap of the top {top} features between checkpoints")


@styled
def task_figure(tasks: Sequence[str], shared: Sequence[Sequence[Overlap]]) -> str:
    """Shared generalization features of each two tasks: number, and share of the smaller set."""
    nothing = not any(row[i].sizes[0] for i, row in enumerate(shared))
    figure, (axis,) = panels(1, 1, 0.8 if nothing else 3.2)
    if nothing:
        no_data(axis, "No task has a generalization feature: there is nothing to overlap.")
        return to_svg(figure, "tasks", "No generalization features")
    shares = [[o.shared / min(o.sizes) if min(o.sizes) else 0.0 for o in row] for row in shared]
    texts = [
        [
            f"{o.shared}" if i == j else (f"{o.shared}\n{100 * shares[i][j]:.0f} %" if min(o.sizes) else "–")
            for j, o in enumerate(row)
        ]
        for i, row in enumerate(shared)
    ]
    matrix(axis, shares, texts, tasks, COLOURS["rl"], 1.0, aspect="auto")
    return to_svg(figure, "tasks", "Overlap of generalization features between tasks")
