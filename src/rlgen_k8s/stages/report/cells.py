"""What stands in a table: numbers that carry their interval and n, and everything else."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlgen_k8s.stats import Interval

NONE = "–"
MINUS = "−"


@dataclass(frozen=True)
class Number:
    """An estimate of this run: text, 95 % interval, n."""

    text: str
    interval: str
    n: int
    note: str = ""


@dataclass(frozen=True)
class Plain:
    """A name, a count, a p-value, or a figure of the paper (`kind` is then "paper")."""

    text: str
    kind: str = ""
    link: str = ""
    """Where the text leads to."""


Cell = Number | Plain


@dataclass(frozen=True)
class Table:
    """A table of the page."""

    id: str
    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    empty: str = "Nothing was measured."


def name(text: str) -> Plain:
    """The first cell of a row."""
    return Plain(text, "name")


def paper(value: float | None, signed: bool = False) -> Plain:
    """A figure of the paper, which gives neither n nor interval."""
    return Plain(NONE if value is None else number(value, 1, signed), "paper")


def percent(interval: Interval, signed: bool = False, note: str = "") -> Cell:
    """A share as a percentage, or a difference of shares in points."""
    return estimate(interval, 100, 1, signed, note)


def estimate(interval: Interval, factor: float = 1, digits: int = 3, signed: bool = False, note: str = "") -> Cell:
    """Any estimate; a dash where there was nothing to estimate it from."""
    if interval.mean is None or interval.low is None or interval.high is None:
        return Plain(f"{NONE} (n = 0)", "none")
    low, high = (number(factor * end, digits, signed) for end in (interval.low, interval.high))
    return Number(number(factor * interval.mean, digits, signed), f"[{low}, {high}]", interval.n, note)


def number(value: float, digits: int, signed: bool = False) -> str:
    """With a real minus sign, and never a negative zero."""
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def p_value(p: float) -> str:
    """p to two digits; tiny ones by their power of ten."""
    if p >= 0.001:
        return f"{p:.2g}" if p < 0.1 else f"{p:.2f}"
    if p < 1e-99:
        return "< 1e−99"
    mantissa, power = f"{p:.0e}".split("e")
    return f"{mantissa}e{MINUS}{abs(int(power))}"


def words(interval: Interval, signed: bool = False) -> str:
    """For a sentence: `+12.3 points [10.1, 14.2]` without the unit."""
    cell = percent(interval, signed)
    return f"{cell.text} {cell.interval}" if isinstance(cell, Number) else cell.text
