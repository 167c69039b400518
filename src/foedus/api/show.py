"""How results look: text in a terminal, tables in a notebook, in the language in force when they are shown.

Names and texts come from many parties. In HTML everything is escaped and there are no scripts; in text, what a terminal
would obey is replaced.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape

from rich.cells import cell_len

from foedus.core.messages import language, say

__all__ = ["Page", "Table", "View", "rounded"]


@dataclass(frozen=True, slots=True)
class Table:
    """A heading, the heads of the columns, and rows of text."""

    heading: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Page:
    """What is to be seen of a result: a title, lines, tables. `practice` puts the practice line first."""

    title: str
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
    practice: bool = False


class View(ABC):
    """A result that a terminal and a notebook can show. Each kind gives its page."""

    @abstractmethod
    def page(self) -> Page:
        """What is to be seen, in the language in force."""

    def __str__(self) -> str:
        return "\n".join(_text(self.page()))

    def _repr_html_(self) -> str:
        return "\n".join(_html(self.page()))


def rounded(value: str | None, digits: int = 3) -> str:
    """A decimal rounded for people; a dash for what is withheld."""
    return "–" if value is None else f"{float(Fraction(value)):.{digits}f}"


def _text(page: Page) -> Iterator[str]:
    if page.practice:
        yield say("release.practice")
    yield from map(_plain, (page.title, *page.lines))
    for table in page.tables:
        rows = [[_plain(cell) for cell in row] for row in (table.head, *table.rows)]
        widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
        yield from ("", _plain(table.heading))
        for row in rows:
            cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
            yield ("  " + "  ".join(cells)).rstrip()


def _plain(text: str) -> str:
    """The text with every character that does not print, line ends among them, replaced."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


_BOX = "max-width:60em;overflow-x:auto"
_TABLE = "border-collapse:collapse;margin:.4em 0"
_CAPTION = "text-align:left;font-weight:bold;caption-side:top"
_CELL = "text-align:left;padding:.15em .8em .15em 0;border-bottom:1px solid rgba(128,128,128,.4)"


def _html(page: Page) -> Iterator[str]:
    """No colour is set but a grey that shows on light and dark: text and ground are the notebook's."""
    yield f'<div lang="{language()}" style="{_BOX}">'
    if page.practice:
        yield f"<p><em>{escape(say('release.practice'))}</em></p>"
    yield f"<p><strong>{escape(page.title)}</strong></p>"
    yield from (f"<p>{escape(line)}</p>" for line in page.lines)
    for table in page.tables:
        yield f'<table style="{_TABLE}"><caption style="{_CAPTION}">{escape(table.heading)}</caption>'
        yield f"<thead><tr>{_cells('th', table.head)}</tr></thead><tbody>"
        yield from (f"<tr>{_cells('td', row)}</tr>" for row in table.rows)
        yield "</tbody></table>"
    yield "</div>"


def _cells(tag: str, row: Sequence[str]) -> str:
    scope = ' scope="col"' if tag == "th" else ""
    return "".join(f'<{tag}{scope} style="{_CELL}">{escape(cell)}</{tag}>' for cell in row)
