"""Tables: columns, rows, paging, sorting, search; and the same rows as JSON and CSV.

A page gives its columns and either all its rows (`listed`: sorted, searched and cut into pages here) or one page of
them from the index (`paged`). `answer` renders the template, or the twin that the path asks for.

Addresses: `?page=2&size=100&sort=-at&q=bank`; a `-` sorts from the highest down. They can be kept and passed on.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from foedus.core.errors import CallerError
from foedus.core.messages import say
from foedus.web.frame import page

__all__ = ["MOST", "Column", "Table", "answer", "asked_page", "listed", "paged", "sorted_by"]

Kind = Literal["text", "count", "figure", "instant", "digest", "status", "size", "names", "note", "engine"]
SIZE, MOST = 50, 500

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the key of its value in a row, how it is written, and where a cell leads.

    Its head is the message `web.column.<key>`, or `head`. With `words`, a value is written by the message of its name
    below that key; a `status` is so as a chip. A `note` is one on an act, of the kind that stands in its row. `sorts`
    is the name under which it can be sorted; empty: it cannot.
    """

    key: str
    kind: Kind = "text"
    head: str = ""
    link: Callable[[Row], str | None] | None = None
    words: str = ""
    sorts: str = ""

    @property
    def title(self) -> str:
        """The head of the column, in the language in force."""
        return say(self.head or f"web.column.{self.key}")


@dataclass(frozen=True, slots=True)
class Table:
    """One page of a list. `name` tells tables of one page apart; `searched` shows the search box."""

    name: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    total: int
    page: int = 1
    size: int = SIZE
    sort: str = ""
    q: str = ""
    searched: bool = False

    @property
    def pages(self) -> int:
        """How many pages the list has; an empty list has one."""
        return max(1, -(-self.total // self.size))

    @property
    def first(self) -> int:
        """The number of the first row shown; 0 in an empty table."""
        return min((self.page - 1) * self.size + 1, self.total)

    @property
    def last(self) -> int:
        """The number of the last row shown."""
        return min((self.page - 1) * self.size + len(self.rows), self.total)


def asked_page(request: Request) -> tuple[int, int]:
    """`?page=` and `?size=`; CallerError `web.bad-number`."""
    return _number(request, "page", 1, 10**9), _number(request, "size", SIZE, MOST)


def sorted_by(request: Request, known: Iterable[str], default: str) -> tuple[str, bool]:
    """By which of the known names to sort, and whether from the highest down; CallerError `web.bad-sort`."""
    wish = request.query_params.get("sort", default)
    name = wish.removeprefix("-")
    if name not in (names := sorted({*known, default.removeprefix("-")})):
        raise CallerError("web.bad-sort", got=wish[:100], known=", ".join(names))
    return name, wish.startswith("-")


def listed(request: Request, name: str, columns: Sequence[Column], rows: Iterable[Row], *, sort: str = "") -> Table:
    """A table of rows that are all at hand. Searched in every text; `sort` is the order without a wish."""
    q = request.query_params.get("q", "").strip()
    found = [row for row in rows if q.lower() in " ".join(map(str, row.values())).lower()]
    keys = {column.sorts: column.key for column in columns if column.sorts}
    wish = request.query_params.get("sort", sort)
    if keys and wish:
        by, down = sorted_by(request, keys, sort or next(iter(keys)))
        found.sort(key=lambda row: _order(row[keys[by]]), reverse=down)
    number, size = asked_page(request)
    cut = found[(number - 1) * size : number * size]
    return Table(name, columns, cut, len(found), number, size, wish, q, searched=True)


def paged(
    request: Request, name: str, columns: Sequence[Column], rows: Iterable[Row], total: int, *, sort: str = ""
) -> Table:
    """A table of one page of rows that the index cut and sorted."""
    number, size = asked_page(request)
    return Table(name, columns, list(rows), total, number, size, request.query_params.get("sort", sort))


def answer(request: Request, template: str, table: Table, /, **values: Any) -> Response:
    """The list as a page, or as JSON or CSV where the path ends so."""
    path = request.url.path
    if path.endswith(".json"):
        return JSONResponse(
            {
                "foedus": 1, "kind": table.name, "page": table.page, "pages": table.pages, "size": table.size,
                "total": table.total, "rows": [_data(table, row) for row in table.rows],
            }
        )  # fmt: skip
    if path.endswith(".csv"):
        return Response(_csv(table), media_type="text/csv; charset=utf-8")
    return page(request, template, table=table, **values)


def _data(table: Table, row: Row) -> dict[str, Any]:
    return {column.key: row[column.key] for column in table.columns}


def _csv(table: Table) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([column.key for column in table.columns])
    for row in table.rows:
        writer.writerow([_cell(row[column.key]) for column in table.columns])
    return out.getvalue()


def _cell(value: Any) -> str:
    """A cell of a CSV file; what a spreadsheet would take for a formula gets an apostrophe."""
    if value is None:
        return ""
    text = "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not _is_number(text) else text


_NUMBER = re.compile(r"[+-]?[0-9]{1,300}(?:\.[0-9]{1,300})?(?:[eE][+-]?[0-9]{1,3})?")
"""A number as records and Python write it. Texts of others are compared with this before anything computes with them:
`1e9999999` is short, and its value is not.
"""


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _order(value: Any) -> tuple[int, Any]:
    """What to sort by: what is absent stands first, numbers by their value, all else as text."""
    if value is None:
        return 0, 0
    if isinstance(value, int | float) or (isinstance(value, str) and _is_number(value)):
        return 1, Fraction(value)
    return 2, str(value)


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)) or not 1 <= int(text) <= most:
        raise CallerError("web.bad-number", name=name, most=most, got=text[:100])
    return int(text)
