"""A member's node page without a port: its desk over a drafted consortium, a browser that opened the link."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from starlette.testclient import TestClient

from drafted import Drafted, drafted
from foedus import workspace as ws
from foedus.core.keys import load_private, save_private
from foedus.resident.join import sync
from foedus.web.door.places import places
from foedus.web.node.app import build
from foedus.web.node.desk import Desk
from foedus.web.node.keeper import Keeper

ORIGIN = "http://127.0.0.1:8700"
PASSPHRASE = "a passphrase of several words"  # noqa: S105 - of keys made for a test


@dataclass
class Node:
    """One member's page, and the consortium around it."""

    met: Drafted
    party: str
    desk: Desk
    keeper: Keeper
    app: Any

    def browser(self, *, opened=True):
        """A browser; `opened`: it has followed the link."""
        made = TestClient(self.app, base_url=ORIGIN, follow_redirects=False)
        if opened:
            assert made.get(self.keeper.link).status_code == 303
        return made

    def post(self, browser, path, *, origin=ORIGIN, **fields):
        """A form as a browser sends it, with the mark of the page that shows it."""
        fields.setdefault("csrf", self.field(browser, "csrf", "/"))
        return browser.post(path, data=fields, headers={"origin": origin, "sec-fetch-site": "same-origin"})

    def field(self, browser, name, path):
        """The value of a hidden field of a page; empty where the page has none."""
        return browser.get(path).text.partition(f'name="{name}" value="')[2].partition('"')[0]

    def looked_at(self, browser):
        """Fetch and verify the draft, and give its page."""
        page = f"/votes/{self.met.digest}"
        assert self.post(browser, f"{page}/look").status_code == 303
        until = time.monotonic() + 30
        while "refresh" in (shown := browser.get(page)).headers:
            assert time.monotonic() < until, shown.text
            time.sleep(0.02)
        return shown

    def vote(self, browser, choice, *, passphrase=PASSPHRASE, **fields):
        """Fill the form of the page and send it."""
        page = f"/votes/{self.met.digest}"
        fields = {"mark": self.field(browser, "mark", page), "read": "yes", "reason": "seen", **fields}
        return self.post(browser, page, choice=choice, passphrase=passphrase, **fields)

    def voted(self):
        """The votes that the hub's ledger has on the draft."""
        return self.met.state().proposals[self.met.digest].votes


def locked(workspace):
    """Protect a workspace's keys."""
    for path in (workspace.folder / "keys").glob("*.pem"):
        save_private(path, load_private(path), passphrase=PASSPHRASE)


def node(tmp_path, *, good=True, link=None) -> Node:
    """The page of bank-a, whose keys are protected; `link` makes another line to the hub."""
    met = drafted(tmp_path, good=good)
    home = ws.open_workspace(met.members["bank-a"].folder)
    locked(home)
    line = link(met) if link else met.link()

    def take():
        return sync(ws.open_workspace(home.folder), line, passphrase=PASSPHRASE)

    desk = Desk(home, line, PASSPHRASE, met.door.clock, take)
    keeper = Keeper("bank-a", places("127.0.0.1", 8700, name="foedus-node"))
    return Node(met, "bank-a", desk, keeper, build(desk, keeper))
