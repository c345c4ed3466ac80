"""The DAG of a study as a picture: a task stands just before its first reader, curves join inputs to readers."""

from collections.abc import Mapping, Sequence

from rlgen_k8s.stages.report.figures.style import FONTS, escape

ROW, COLUMN, BOX, MARGIN = 34, 178, (138, 24), 16
INK, LINE, FILL = "#1f2430", "#b9c0cc", "#f3f5f8"
TONES = {"sft": "#fdebd3", "rl": "#d5edea", "grpo": "#d5edea", "base": "#e4e7ec"}


def dag_svg(tasks: Sequence[tuple[str, Sequence[str]]]) -> str:
    """`tasks`: (name, the names it depends on), inputs before their readers.

    Raises ValueError where a dependency does not come before its reader.
    """
    known: set[str] = set()
    for name, needs in tasks:
        missing = [need for need in needs if need not in known]
        if missing:
            raise ValueError(f"task {name}: {', '.join(missing)} must come before it")
        known.add(name)
    from_end = dict.fromkeys(known, 0)
    for name, needs in reversed(tasks):
        for need in needs:
            from_end[need] = max(from_end[need], from_end[name] + 1)
    last = max(from_end.values())
    columns: dict[int, list[str]] = {}
    for name, _needs in tasks:
        columns.setdefault(last - from_end[name], []).append(name)
    places = _places(columns, dict(tasks))
    width = MARGIN * 2 + COLUMN * (len(columns) - 1) + BOX[0]
    height = MARGIN * 2 + ROW * (max(len(names) for names in columns.values()) - 1) + BOX[1]
    lines = [_curve(places[need], places[name]) for name, needs in _direct(tasks) for need in needs]
    boxes = [_box(name, places[name]) for name, _needs in tasks]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="{FONTS}" font-size="12"><title>The study as a DAG of {len(tasks)} tasks</title>'
        f'<rect width="{width}" height="{height}" fill="#ffffff" rx="8"/>'
        f'<g fill="none" stroke="{LINE}" stroke-width="1.1">{"".join(lines)}</g>{"".join(boxes)}</svg>\n'
    )


def _direct(tasks: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[str, list[str]]]:
    """Each task with those of its inputs that are not already inputs of its other inputs: fewer lines, same order."""
    before: dict[str, set[str]] = {}
    for name, needs in tasks:
        before[name] = set(needs).union(*(before[need] for need in needs))
    return [(n, [x for x in needs if not any(x in before[other] for other in needs)]) for n, needs in tasks]


def _places(columns: Mapping[int, Sequence[str]], needs: Mapping[str, Sequence[str]]) -> dict[str, tuple[float, float]]:
    """Left end and middle height of every box; in a column, tasks stand in the order of their inputs' heights."""
    tallest = max(len(names) for names in columns.values())
    places: dict[str, tuple[float, float]] = {}
    for column in sorted(columns):
        pull = {name: _middle([places[need][1] for need in needs[name]]) for name in columns[column]}
        names = sorted(columns[column], key=pull.__getitem__)
        start = MARGIN + BOX[1] / 2 + ROW * (tallest - len(names)) / 2
        places |= {name: (MARGIN + COLUMN * column, start + ROW * i) for i, name in enumerate(names)}
    return places


def _middle(heights: Sequence[float]) -> float:
    return sum(heights) / len(heights) if heights else 0.0


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x0, y0), (x1, y1) = (start[0] + BOX[0], start[1]), end
    middle = (COLUMN - BOX[0]) * 0.7
    return f'<path d="M{x0:g} {y0:g} C{x0 + middle:g} {y0:g} {x1 - middle:g} {y1:g} {x1:g} {y1:g}"/>'


def _box(name: str, place: tuple[float, float]) -> str:
    x, y = place
    tone = next((colour for part, colour in TONES.items() if part in name.split("-")), FILL)
    return (
        f'<rect x="{x:g}" y="{y - BOX[1] / 2:g}" width="{BOX[0]}" height="{BOX[1]}" rx="5" fill="{tone}"/>'
        f'<text x="{x + BOX[0] / 2:g}" y="{y + 4:g}" text-anchor="middle" fill="{INK}">{escape(name)}</text>'
    )
