"""One look for all figures: colours, type, and SVG that can stand inside a page."""

import io
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

P = ParamSpec("P")

INK = "#1f2430"
SOFT = "#6b7280"
FAINT = "#d9dce3"
PAPER = "#ffffff"
COLOURS = {"base": "#7b8494", "sft": "#d97706", "rl": "#0f766e"}
TITLES = {"base": "Base", "sft": "SFT", "rl": "RL"}
FONTS = "Inter,'Helvetica Neue',Arial,'Liberation Sans','DejaVu Sans',sans-serif"
INCHES = 9.2
"""Width of a full-width figure."""

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rlgen",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eceef2",
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "text.color": INK,
    "axes.titlecolor": INK,
}


def styled(draw: Callable[P, str]) -> Callable[P, str]:
    """Draw in this look, whatever matplotlib is set to elsewhere."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> str:
        with mpl.rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return inside


def panels(rows: int, columns: int, height: float, **kwargs: Any) -> tuple[Figure, list[Axes]]:
    """A full-width figure with `rows × columns` axes, row by row."""
    figure = Figure(figsize=(INCHES, height), layout="constrained", facecolor="none")
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
    for axis in axes.ravel():
        axis.set_facecolor("none")
    return figure, list(axes.ravel())


def to_svg(figure: Figure, name: str, title: str) -> str:
    """The figure as one `<svg>` element: real text, scales with its box, ids unique to `name`, a title for readers."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    text = text.replace("'DejaVu Sans'", FONTS).replace("xlink:href", "href")
    head, rest = text.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    assert view is not None
    label = escape(title)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {view[0]} role="img" aria-label="{label}"'
    return f"{opening}><title>{label}</title>{rest.strip()}"


def escape(text: str) -> str:
    """Text for an XML attribute or element."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def blend(colour: str, share: float) -> tuple[float, float, float]:
    """`colour` mixed with white: 0 is white, 1 the colour."""
    r, g, b = mpl.colors.to_rgb(colour)
    return (1 - share * (1 - r), 1 - share * (1 - g), 1 - share * (1 - b))


def no_data(axis: Axes, words: str) -> None:
    """Say in words why there is nothing to draw."""
    axis.text(0.5, 0.5, words, ha="center", va="center", color=SOFT, transform=axis.transAxes, wrap=True)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.grid(False)


def matrix(
    axis: Axes,
    values: Sequence[Sequence[float]],
    texts: Sequence[Sequence[str]],
    labels: Sequence[str],
    colour: str,
    largest: float,
    aspect: Literal["equal", "auto"] = "equal",
) -> None:
    """A labelled square of numbers, shaded from 0 to `largest`; the diagonal stays pale: it says nothing."""
    n = len(labels)
    for i in range(n):
        for j in range(n):
            share = 0.0 if i == j else min(1.0, values[i][j] / largest) if largest else 0.0
            face = "#f3f4f6" if i == j else blend(colour, 0.06 + 0.94 * share)
            axis.add_patch(mpl.patches.Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, facecolor=face, linewidth=0))
            ink = SOFT if i == j else (PAPER if share > 0.55 else INK)
            axis.text(j, i, texts[i][j], ha="center", va="center", color=ink)
    axis.set(xlim=(-0.55, n - 0.45), ylim=(n - 0.45, -0.55), aspect=aspect)
    axis.set_xticks(range(n), labels)
    axis.set_yticks(range(n), labels)
    axis.spines[:].set_visible(False)
    axis.grid(False)
