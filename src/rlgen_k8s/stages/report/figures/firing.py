"""How strongly one feature fires."""

from rlgen_k8s.stages.analyse.results import Portrait
from rlgen_k8s.stages.report.figures.style import INK, SOFT, blend, panels, styled, to_svg


@styled
def firing_figure(portrait: Portrait) -> str:
    """Histogram of the activations above 0, both axes logarithmic, from the first to the last bin in use."""
    used = [i for i, count in enumerate(portrait.histogram) if count] or [0]
    bins = slice(used[0], used[-1] + 1)
    counts, edges = portrait.histogram[bins], portrait.edges[used[0] : used[-1] + 2]
    figure, (axis,) = panels(1, 1, 2.2)
    axis.stairs([max(count, 0.5) for count in counts], edges, fill=True, color=blend(INK, 0.45), baseline=0.5)
    axis.set(xscale="log", yscale="log", xlabel="activation", ylabel="tokens", ylim=(0.5, 2 * max(2, *counts)))
    axis.axvline(portrait.largest, color=SOFT, linewidth=0.8, linestyle=":")
    for values in (axis.xaxis, axis.yaxis):
        values.set_major_formatter(lambda value, _position: f"{value:,g}")
        values.set_minor_formatter(lambda _value, _position: "")
    axis.grid(axis="x", visible=False)
    return to_svg(figure, "firing", f"Histogram of the activations of feature {portrait.feature}")
