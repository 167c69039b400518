"""The hub's pages over a practised consortium: a browser without a door, and one in which a party signed in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from foedus.core.clock import now
from foedus.index import open_index
from foedus.web.app import Site, build
from foedus.web.door import Door, places
from foedus.workspace import open_workspace
from practised import published

ORIGIN = "http://127.0.0.1:8600"
FIXED = (
    "/", "/accord", "/accord/versions", "/members", "/cards", "/runs", "/credit", "/gates", "/releases", "/serving",
    "/serving/answers", "/monitoring", "/monitoring/alerts", "/audit", "/help", "/help/words", "/help/errors",
)  # fmt: skip


def site_over(folder: Path, clock: Any = now) -> Site:
    """Pages over a coordinator's workspace, the index filled."""
    workspace = open_workspace(folder)
    index = open_index(None, workspace)
    while not index.refresh().is_current:
        pass
    return Site(workspace, index, clock)


@cache
def seen() -> Site:
    """Pages over a consortium that published a release; nothing here is changed."""
    return site_over(published() / "hub")


@cache
def app() -> Any:
    """The application, without a door."""
    return build(seen())


def browser(**headers: str) -> TestClient:
    """A browser that keeps cookies; one for each test, so that no language or theme is left over."""
    return TestClient(app(), base_url=ORIGIN, headers=headers)


def signed_in(site: Site, party: str) -> TestClient:
    """A browser in which a party signed in."""
    door = Door.open(site.workspace, places("127.0.0.1", 8600), site.state, clock=site.clock)
    opened = TestClient(build(site, door), base_url=ORIGIN, follow_redirects=False)
    key = site.state().key(party, "act") or ""
    token = door.sessions.link(party, key)
    assert opened.get(f"/door/enter?token={token}").status_code == 303
    return opened


@dataclass(frozen=True)
class Names:
    """Addresses of the published release, its card and so on."""

    proposal: str
    card: str
    accord: str


@cache
def names() -> Names:
    """What the pages of the practised consortium are about."""
    site = seen()
    release = site.index.releases().items[0]
    return Names(release.proposal[7:], site.index.cards().items[0].card[7:], release.accord[7:])


def pages() -> list[str]:
    """An address of every page with something on it."""
    found = names()
    return [
        *FIXED, f"/accord/{found.accord}", "/members/bank-a", "/members/bank-a/rounds", f"/cards/{found.card}",
        f"/cards/model/{found.proposal}", "/runs/run-1", "/runs/run-1/rounds", "/runs/run-1/rounds/1", "/credit/run-1",
        f"/gates/{found.proposal}", f"/releases/{found.proposal}", "/audit/0", f"/audit/digest/{found.proposal}",
        "/help/errors/run.unknown",
    ]  # fmt: skip


class Page(HTMLParser):
    """What a page holds: elements with their attributes, headings, and the text that people read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._skipped = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._skipped += tag in ("script", "style")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._skipped and data.strip():
            self.words.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of this name."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        """All words."""
        return re.sub(r"\s+", " ", " ".join(self.words))
