"""Pages of rows: the ways in which a list is cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, case, exists, func, select

from foedus.core.digest import DIGEST
from foedus.core.errors import CallerError
from foedus.index import tables as t
from foedus.index.results import Page, ReleaseRow, VoteRow

__all__ = [
    "MOST",
    "by_offset",
    "by_place",
    "columns",
    "cut",
    "is_digest",
    "is_undecided",
    "proposal_columns",
    "proposal_status",
    "release_row",
    "vote_columns",
]

T = TypeVar("T")
MOST = 500
"""The longest page."""


def columns(kind: type[Any], table: Table) -> list[ColumnElement[Any]]:
    """The columns that a result's fields name, in their order."""
    return [table.c[each.name] for each in fields(kind)]


def cut(page: int, size: int) -> None:
    """CallerError `index.bad-page` for a page or size out of range."""
    if page < 1 or not 1 <= size <= MOST:
        raise CallerError("index.bad-page", page=page, size=size, most=MOST)


def is_digest(text: str | None) -> bool:
    """Whether a filter can be a digest; none is, too."""
    return text is None or DIGEST.fullmatch(text) is not None


def by_offset(
    connection: Connection, table: Table, wanted: Sequence[ColumnElement[Any]], make: Callable[..., T], *,
    where: Sequence[ColumnElement[bool]] = (), order: Sequence[ColumnElement[Any]], page: int, size: int,
) -> Page[T]:  # fmt: skip
    """A page of a list that is not long: its rows are counted, and those before it passed over."""
    total = connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one()
    rows = select(*wanted).where(*where).order_by(*order).limit(size).offset((page - 1) * size)
    return Page(tuple(make(*row) for row in connection.execute(rows)), total, page, size)


def by_place(
    connection: Connection, wanted: Sequence[ColumnElement[Any]], make: Callable[..., T], *,
    place: ColumnElement[int], total: int, where: Sequence[ColumnElement[bool]] = (), page: int, size: int,
    oldest_first: bool = False,
) -> Page[T]:  # fmt: skip
    """A page of a list in which every row has its place from 0 to `total`: found at once, however long the list."""
    first = (page - 1) * size
    low, high = (first, first + size) if oldest_first else (total - first - size, total - first)
    rows = select(*wanted).where(*where, place >= max(low, 0), place < high)
    rows = rows.order_by(place if oldest_first else place.desc())
    return Page(tuple(make(*row) for row in connection.execute(rows)) if high > 0 else (), total, page, size)


def proposal_status() -> ColumnElement[str]:
    """What became of a proposal."""
    here = t.proposals.c
    return case(
        (here.revoked_at.is_not(None), "revoked"),
        (here.published_at.is_not(None), "published"),
        (here.outcome.is_not(None), here.outcome),
        else_="voting",
    )


def proposal_columns() -> list[ColumnElement[Any]]:
    """The columns of a `ReleaseRow`; `current` is the proposal of the release that is current."""
    here = t.proposals.c
    live = (here.published_at.is_not(None), here.revoked_at.is_(None))
    current = select(here.proposal).where(*live).order_by(here.published_at.desc(), here.at.desc()).limit(1)
    extra = {"status": proposal_status(), "current": current.scalar_subquery()}
    return [extra[each.name] if each.name in extra else here[each.name] for each in fields(ReleaseRow)]


def release_row(*values: Any) -> ReleaseRow:
    """A row of `proposal_columns`."""
    *most, current = values
    return ReleaseRow(*[*most, current == most[0]])


def vote_columns() -> list[ColumnElement[Any]]:
    """The columns of a `VoteRow`, with the votes that count, counted."""
    here, cast = t.ballots.c, t.votes.c

    def counted(choice: str) -> ColumnElement[int]:
        these = (cast.matter == here.matter, cast.subject == here.subject, cast.counts, cast.choice == choice)
        return select(func.count()).select_from(t.votes).where(*these).correlate(t.ballots).scalar_subquery()

    extra = {"approve": counted("approve"), "object": counted("object")}
    return [extra[each.name] if each.name in extra else here[each.name] for each in fields(VoteRow)]


def is_undecided(in_force: str | None) -> ColumnElement[bool]:
    """Open votes, but for those on releases under an accord that is no longer in force: these cannot end."""
    here, about = t.ballots.c, t.proposals.c
    other = exists(select(about.at).where(about.proposal == here.subject, about.accord != in_force))
    return here.outcome.is_(None) & ((here.matter != "release") | ~other)
