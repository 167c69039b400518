"""Charts as inline SVG, drawn from decimals: bars, dots with intervals, a line. Each stands beside its data table.

Colours are the page's (`--mark`, `currentColor`), so that a chart is readable on screen, in the dark and in print; what
a colour says, a text says too.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["bars", "dots", "line"]

WIDTH, ROW, LEFT, RIGHT = 640, 22, 190, 70


def bars(title: str, rows: Sequence[tuple[str, str, str]]) -> str:
    """A bar a row, from zero: (label, value, what is written beside it)."""
    values = [float(value) for _, value, _ in rows]
    low, high = min(0.0, *values), max(0.0, *values)
    parts = []
    for at, ((label, _, text), value) in enumerate(zip(rows, values, strict=True)):
        y = 6 + at * ROW
        left, right = sorted((_x(0.0, low, high), _x(value, low, high)))
        parts += [
            _label(label, y),
            f'<rect class="mark" x="{left:.1f}" y="{y}" width="{right - left:.1f}" height="14"/>',
        ]
        parts.append(f'<text x="{right + 5:.1f}" y="{y + 11}">{escape(text)}</text>')
    zero = _x(0.0, low, high)
    parts.append(f'<line class="axis" x1="{zero:.1f}" y1="2" x2="{zero:.1f}" y2="{4 + len(rows) * ROW}"/>')
    return _svg(title, len(rows) * ROW + 10, parts)


def dots(title: str, rows: Sequence[tuple[str, str, str, str]]) -> str:
    """A dot with its interval a row: (label, low, estimate, high); the axis holds them all."""
    found = [(label, float(low), float(estimate), float(high)) for label, low, estimate, high in rows]
    ends = min(one[1] for one in found), max(one[3] for one in found)
    pad = (ends[1] - ends[0] or 1.0) * 0.05
    low, high = ends[0] - pad, ends[1] + pad
    parts = []
    for at, (label, start, estimate, end) in enumerate(found):
        y = 12 + at * ROW
        x1, x2 = _x(start, low, high), _x(end, low, high)
        parts += [_label(label, y - 6), f'<line class="whisker" x1="{x1:.1f}" y1="{y}" x2="{x2:.1f}" y2="{y}"/>']
        parts.append(f'<circle class="mark" cx="{_x(estimate, low, high):.1f}" cy="{y}" r="4"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{y + 4}">{estimate:.3f}</text>')
    bottom = len(rows) * ROW + 4
    parts.append(f'<line class="axis" x1="{LEFT}" y1="{bottom}" x2="{WIDTH - RIGHT}" y2="{bottom}"/>')
    parts += [f'<text class="tick" x="{_x(end, low, high):.1f}" y="{bottom + 14}">{end:.3f}</text>' for end in ends]
    return _svg(title, bottom + 20, parts)


def line(title: str, points: Sequence[tuple[int, str]]) -> str:
    """A line through (round, value), each point marked; the least and the greatest value at the axis."""
    height, top, bottom = 180, 12, 150
    xs, ys = [one for one, _ in points], [float(value) for _, value in points]
    low, high = min(ys), max(ys)
    span, reach = (max(xs) - min(xs)) or 1, (high - low) or 1.0
    at = [
        (60 + (x - min(xs)) / span * 560, bottom - (y - low) / reach * (bottom - top))
        for x, y in zip(xs, ys, strict=True)
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    parts = [f'<polyline class="path" points="{path}"/>']
    parts += [f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in at]
    parts.append(f'<line class="axis" x1="60" y1="{bottom + 6}" x2="620" y2="{bottom + 6}"/>')
    parts += [f'<text class="end" x="54" y="{y + 4}">{value:.4f}</text>' for y, value in ((top, high), (bottom, low))]
    every = max(1, len(points) // 12)
    parts += [
        f'<text class="tick" x="{x:.1f}" y="{bottom + 22}">{number}</text>'
        for (x, _), number in list(zip(at, xs, strict=True))[::every]
    ]
    return _svg(title, height, parts)


def _x(value: float, low: float, high: float) -> float:
    return LEFT + (value - low) / ((high - low) or 1.0) * (WIDTH - LEFT - RIGHT)


def _label(text: str, y: float) -> str:
    short = text if len(text) <= 28 else text[:27] + "…"
    return f'<text class="end" x="{LEFT - 8}" y="{y + 11}">{escape(short)}</text>'


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
