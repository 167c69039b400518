"""The one table of pages: every route that people open, with its title, its section and who may open it.

    @page("/runs/{name}", title="web.title.run", section="runs")
    def run(request: Request, name: str) -> Response: ...

A page with `twins` is a list: the same function also answers below `.json` and `.csv`. Who is not named in `roles` is
turned away before the function is called (`door.guard`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from foedus.web.door import EVERYONE, PARTIES, Role, Rule

__all__ = ["EVERYONE", "PAGES", "PARTIES", "STATIC", "Page", "page", "routes", "rules"]

Method = Literal["GET", "POST"]
Handler = TypeVar("Handler", bound=Callable[..., Any])
STATIC = "/static"


@dataclass(frozen=True, slots=True)
class Page:
    """A route. `title` is a key of the catalogue, `section` the entry of the navigation that is marked on it."""

    path: str
    title: str
    section: str
    roles: frozenset[Role]
    handler: Callable[..., Any]
    method: Method = "GET"
    twins: bool = False


PAGES: list[Page] = []


def page(
    path: str, *, title: str, section: str, roles: frozenset[Role] = PARTIES, method: Method = "GET",
    twins: bool = False,
) -> Callable[[Handler], Handler]:  # fmt: skip
    """Enter a function as a page. It takes the request and what the path names, and gives a response."""

    def enter(handler: Handler) -> Handler:
        PAGES.append(Page(path, title, section, roles, handler, method, twins))
        return handler

    return enter


def routes() -> Iterator[tuple[str, Page]]:
    """Every path with its page, twins before the pages whose paths would take them in."""
    for one in PAGES:
        if one.twins:
            yield f"{one.path}.json", one
            yield f"{one.path}.csv", one
    for one in PAGES:
        yield one.path, one


def rules() -> dict[tuple[str, str], Rule]:
    """For whom each route is: what the guard asks."""
    return {("GET", STATIC): Rule(EVERYONE), **{(one.method, path): Rule(one.roles) for path, one in routes()}}
