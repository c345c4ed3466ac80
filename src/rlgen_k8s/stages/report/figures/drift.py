"""How far SFT and RL move from base, checkpoint by checkpoint."""

from rlgen_k8s.stages.analyse.results import Drift
from rlgen_k8s.stages.report.figures.style import COLOURS, SOFT, TITLES, panels, styled, to_svg


@styled
def drift_figure(drift: Drift) -> str:
    """KL from base over the epoch, with intervals; a dotted line joins the nearest pair."""
    figure, (axis,) = panels(1, 1, 2.7)
    for name, values in drift.kl.items():
        epochs = [k / len(values) for k in range(1, len(values) + 1)]
        means = [value.mean or 0.0 for value in values]
        axis.plot(epochs, means, color=COLOURS[name], linewidth=1.5, marker="o", markersize=4)
        for epoch, value in zip(epochs, values, strict=True):
            assert value.low is not None
            assert value.high is not None
            axis.plot([epoch, epoch], [value.low, value.high], color=COLOURS[name], linewidth=1.3, alpha=0.55)
        axis.annotate(
            TITLES[name],
            (epochs[-1], means[-1]),
            xytext=(8, 0),
            textcoords="offset points",
            color=COLOURS[name],
            weight="bold",
            va="center",
        )
    ends = [(k / len(drift.kl[name]), drift.kl[name][k - 1].mean or 0.0) for name, k in drift.nearest.items()]
    axis.plot(
        *zip(*ends, strict=True), color=SOFT, linewidth=1.2, linestyle=":", marker="o", markersize=9, fillstyle="none"
    )
    axis.set(xlabel="epoch", ylabel="KL from base, nats a token", xlim=(0.15, 1.1), ylim=(0, None))
    return to_svg(figure, "drift", "Drift of SFT and RL from base by checkpoint")
