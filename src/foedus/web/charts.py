"""Charts as SVG, drawn here: bars with intervals, and lines. Each has a title, a description, and its numbers.

A chart is complete without colour: bars carry their figures, lines differ in dash and mark, and the template shows the
numbers as a table below. Colours come from the sheet by class (`s1` … `s5`), so that themes and paper work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from foedus.web.words import DASH, figure

__all__ = ["MOST_POINTS", "Bar", "Chart", "Series", "bars", "lines", "thinned"]

MOST_POINTS = 500
_WIDTH, _ROW, _TEXT = 960, 26, 12


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its words and its numbers. `name` is unique on a page."""

    name: str
    title: str
    description: str
    svg: Markup
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its label, value, interval if there is one, what is written beside it, and its colour (1 to 5)."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    text: str = ""
    colour: int = 1


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its name and its points, by rising x."""

    name: str
    points: Sequence[tuple[float, float]]


def bars(name: str, *, title: str, description: str, head: Sequence[str], rows: Sequence[Bar]) -> Chart:
    """Horizontal bars from zero, with intervals as whiskers. `head` names label, value and interval."""
    values = [one for row in rows for one in (row.value, row.low, row.high) if one is not None]
    low, high = min([0.0, *values]), max([0.0, *values])
    span = (high - low) or 1.0
    left, right = 150, 150
    area = _WIDTH - left - right

    def x(value: float) -> float:
        return left + (value - low) / span * area

    height = _ROW * max(1, len(rows)) + 8
    parts = [_line(x(0), 2, x(0), height - 2, "axis")]
    for place, row in enumerate(rows):
        middle = 4 + _ROW * place + _ROW / 2
        parts.append(_text(left - 8, middle, row.label, "label end"))
        if row.value is not None:
            begin, end = sorted((x(0), x(row.value)))
            parts.append(
                f'<rect class="s{row.colour}" x="{begin:.1f}" y="{middle - 8:.1f}" '
                f'width="{max(1.0, end - begin):.1f}" height="16" rx="2"/>'
            )
        if row.low is not None and row.high is not None:
            parts.append(_line(x(row.low), middle, x(row.high), middle, "whisker"))
            parts += [_line(x(at), middle - 4, x(at), middle + 4, "whisker") for at in (row.low, row.high)]
        rightmost = max([x(0), *(x(one) for one in (row.value, row.high) if one is not None)])
        parts.append(_text(rightmost + 8, middle, row.text or figure(row.value), "value"))
    table = [(row.label, row.text or figure(row.value), _interval(row.low, row.high)) for row in rows]
    return Chart(name, title, description, _svg(name, title, description, height, parts), head, table)


def lines(
    name: str, *, title: str, description: str, x_name: str, y_name: str, series: Sequence[Series], digits: int = 4
) -> Chart:
    """Lines over a whole-numbered x such as rounds. Their numbers stand in one table, a column a line."""
    points = [point for one in series for point in one.points]
    xs, ys = [x for x, _ in points] or [0.0], [y for _, y in points] or [0.0]
    left, right, top, bottom, height = 56, 130 if len(series) > 1 else 24, 14, 40, 250
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    ticks = _ticks(min(ys), max(ys))
    y_low, y_high = ticks[0], ticks[-1]

    def x(value: float) -> float:
        return left + (value - x_low) / (x_high - x_low) * (_WIDTH - left - right)

    def y(value: float) -> float:
        return height - bottom - (value - y_low) / (y_high - y_low) * (height - top - bottom)

    parts = []
    for tick in ticks:
        parts += [
            _line(left, y(tick), _WIDTH - right, y(tick), "grid"),
            _text(left - 8, y(tick), f"{tick:g}", "tick end"),
        ]
    for tick in _whole_ticks(x_low, x_high):
        parts.append(_text(x(tick), height - bottom + 16, f"{tick:g}", "tick middle"))
    parts.append(_text(left + (_WIDTH - left - right) / 2, height - 8, x_name, "tick middle"))
    for place, one in enumerate(series):
        colour = place % 5 + 1
        shown = thinned(one.points)
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in shown)
        parts.append(f'<polyline class="line l{colour}" points="{path}"/>')
        if len(shown) <= 40:
            parts += [f'<circle class="s{colour}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="3"/>' for a, b in shown]
        if len(series) > 1 and shown:
            parts.append(_text(_WIDTH - right + 8, y(shown[-1][1]), one.name, f"value t{colour}"))
    rows = []
    for at in sorted({a for one in series for a, _ in thinned(one.points)}):
        found = [dict(one.points).get(at) for one in series]
        rows.append((f"{at:g}", *(DASH if value is None else figure(value, digits) for value in found)))
    head = (x_name, *(one.name for one in series)) if len(series) > 1 else (x_name, y_name)
    return Chart(name, title, description, _svg(name, title, description, height, parts), head, rows)


def thinned(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> Sequence[tuple[float, float]]:
    """At most `most` of these points: the first, the last, and the lowest and highest of each stretch between."""
    if len(points) <= most:
        return points
    inner, stretches = points[1:-1], (most - 2) // 2
    kept = [points[0]]
    for number in range(stretches):
        part = inner[len(inner) * number // stretches : len(inner) * (number + 1) // stretches]
        ends = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
        kept += sorted(ends)
    return [*kept, points[-1]]


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about five of them."""
    span = (high - low) or abs(high) or 1.0
    rough = span / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def _whole_ticks(low: float, high: float) -> list[int]:
    step = max(1, math.ceil((high - low) / 8))
    return list(range(math.ceil(low), math.floor(high) + 1, step))


def _interval(low: float | None, high: float | None) -> str:
    return DASH if low is None or high is None else f"{figure(low)} – {figure(high)}"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y + _TEXT / 3:.1f}">{escape(text)}</text>'


def _svg(name: str, title: str, description: str, height: float, parts: Sequence[str]) -> Markup:
    said = (
        f'<title id="{escape(name)}-title">{escape(title)}</title>'
        f'<desc id="{escape(name)}-desc">{escape(description)}</desc>'
    )
    return Markup(  # noqa: S704 - every text in it was escaped above
        f'<svg class="drawing" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" height="{height:.0f}" role="img" '
        f'aria-labelledby="{escape(name)}-title" aria-describedby="{escape(name)}-desc">{said}{"".join(parts)}</svg>'
    )
