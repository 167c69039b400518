"""Bars in groups, as SVG and as PNG: one list of shapes, drawn twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from foedus.core.files import write_atomic

WIDTH, LEFT, RIGHT, ROW, HEAD = 900, 250, 90, 26, 58
COLOURS = ("#1b6ca8", "#c7522a", "#5c8001")
INK, FAINT = "#222222", "#cccccc"
SCALE = 2
"""Pixels of the PNG for one unit of the drawing."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One measure: its title with unit, and for each bar a label, its median, and its lowest and highest value."""

    title: str
    bars: Sequence[tuple[str, float, float, float]]


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True, slots=True)
class Words:
    """Text whose baseline starts at (x, y), or ends or is centred there."""

    x: float
    y: float
    text: str
    size: int = 13
    anchor: str = "start"
    colour: str = INK


Shape = Box | Words


def write_chart(title: str, panels: Sequence[Panel], path: Path) -> None:
    """`path`.svg and `path`.png."""
    shapes, height = drawn(title, panels)
    write_atomic(path.with_name(f"{path.name}.svg"), svg(shapes, height, title).encode())
    write_atomic(path.with_name(f"{path.name}.png"), png(shapes, height))


def drawn(title: str, panels: Sequence[Panel]) -> tuple[list[Shape], int]:
    """The shapes of a chart, and its height."""
    shapes: list[Shape] = [Words(16, 26, title, 16)]
    top = 44
    for colour, panel in zip(COLOURS, panels, strict=False):
        shapes.append(Words(16, top + 18, panel.title, 14))
        step, most = ticks(max(high for _, _, _, high in panel.bars))
        scale = (WIDTH - LEFT - RIGHT) / most
        bottom = top + HEAD - 28 + ROW * len(panel.bars)
        for i in range(round(most / step) + 1):
            x = LEFT + i * step * scale
            shapes.append(Box(x, top + 26, 1, bottom - top - 26, FAINT))
            shapes.append(Words(x, bottom + 15, f"{i * step:g}", 11, "middle"))
        for i, (label, middle, low, high) in enumerate(panel.bars):
            y = top + 30 + ROW * i
            shapes.append(Words(LEFT - 10, y + 14, label, 12, "end"))
            shapes.append(Box(LEFT, y + 2, middle * scale, ROW - 10, colour))
            shapes.append(Box(LEFT + low * scale, y + 2 + (ROW - 10) / 2 - 1, max(1.0, (high - low) * scale), 2, INK))
            shapes.append(Words(LEFT + high * scale + 8, y + 14, f"{middle:,.0f}", 12))
        top = bottom + 34
    return shapes, top


def ticks(most: float) -> tuple[float, float]:
    """The distance of the axis's ticks (1, 2 or 5 times a power of ten, at most eight of them), and where it ends."""
    power = 10.0 ** math.floor(math.log10(most / 8))
    step = next(factor * power for factor in (1, 2, 5, 10) if most / (factor * power) <= 8)
    return step, math.ceil(most / step) * step


def svg(shapes: Sequence[Shape], height: int, title: str) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="Helvetica, Arial, sans-serif"><title>{escape(title)}</title>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for one in shapes:
        if isinstance(one, Box):
            lines.append(
                f'<rect x="{one.x:.1f}" y="{one.y:.1f}" width="{one.width:.1f}" height="{one.height:.1f}" '
                f'fill="{one.colour}"/>'
            )
        else:
            lines.append(
                f'<text x="{one.x:.1f}" y="{one.y:.1f}" font-size="{one.size}" text-anchor="{one.anchor}" '
                f'fill="{one.colour}">{escape(one.text)}</text>'
            )
    return "\n".join([*lines, "</svg>\n"])


def png(shapes: Sequence[Shape], height: int) -> bytes:
    image = Image.new("RGB", (WIDTH * SCALE, height * SCALE), "#ffffff")
    draw = ImageDraw.Draw(image)
    for one in shapes:
        if isinstance(one, Box):
            right, bottom = (one.x + one.width) * SCALE - 1, (one.y + one.height) * SCALE - 1
            draw.rectangle([one.x * SCALE, one.y * SCALE, max(one.x * SCALE, right), bottom], fill=one.colour)
        else:
            font = ImageFont.load_default(size=one.size * SCALE)
            anchor = {"start": "ls", "middle": "ms", "end": "rs"}[one.anchor]
            draw.text((one.x * SCALE, one.y * SCALE), one.text, font=font, fill=one.colour, anchor=anchor)
    out = BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()
