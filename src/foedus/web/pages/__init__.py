"""The pages, one file each; importing them enters them into the table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from foedus.web.pages import (
    accord,
    audit,
    cards,
    credit,
    gates,
    live,
    members,
    monitoring,
    overview,
    releases,
    runs,
    serving,
)
from foedus.web.pages import help as _help
from foedus.web.table import PAGES

__all__ = ["SECTIONS", "Link", "navigation"]

SECTIONS = (
    "overview", "accord", "members", "cards", "runs", "credit", "gates", "releases", "serving", "monitoring", "audit",
    "help",
)  # fmt: skip
"""The entries of the navigation, in order; one is shown once a page of it is there."""

_ = (overview, accord, members, cards, runs, live, credit, gates, releases, serving, monitoring, audit, _help)


@dataclass(frozen=True, slots=True)
class Link:
    """An entry of the navigation: its section and where it leads, the first page of that section."""

    section: str
    path: str


@cache
def navigation() -> tuple[Link, ...]:
    """What the navigation shows."""
    first: dict[str, str] = {}
    for one in PAGES:
        if one.method == "GET" and "{" not in one.path:
            first.setdefault(one.section, one.path)
    return tuple(Link(section, first[section]) for section in SECTIONS if section in first)
