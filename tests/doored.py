"""The hub's pages behind their door, without a port: a browser is a `TestClient`, a party's machine a function call."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from starlette.testclient import TestClient

from foedus import workspace as ws
from foedus.web.app import Site, build
from foedus.web.door import Door, places
from foedus.web.door.login import sign_in
from met import entered

ORIGIN = "http://127.0.0.1:8600"


@dataclass
class Pages:
    """A consortium of two banks that signed, the coordinator's pages, and one clock for all."""

    hub: Any
    members: dict[str, Any]
    meeting: Any
    door: Door
    app: Any

    @property
    def clock(self):
        return self.meeting.clock

    def browser(self, origin=ORIGIN):
        """A browser without cookies that follows no redirect."""
        return TestClient(self.app, base_url=origin, follow_redirects=False)

    def ask(self, method, path, body):
        """What `foedus login` sends; without a browser's headers."""
        answer = self.browser().request(method, path, content=body)
        return answer.status_code, answer.content

    def link(self, party):
        """The link that `foedus login` prints on a party's machine."""
        workspace = self.hub if party == self.hub.party else self.members[party]
        return sign_in(workspace, ORIGIN, ask=self.ask, clock=self.clock)

    def signed_in(self, party):
        """A browser in which a party has signed in."""
        browser = self.browser()
        assert browser.get(self.link(party)).status_code == 303
        return browser

    def csrf(self, browser, path="/door"):
        """The CSRF token in a page's form."""
        return browser.get(path).text.partition('name="csrf" value="')[2][:64]

    def post(self, browser, path, *, origin=ORIGIN, **fields):
        """A form sent as a browser does."""
        return browser.post(path, data=fields, headers={"origin": origin, "sec-fetch-site": "same-origin"})


def opened_pages(tmp_path, **at) -> Pages:
    """Pages that listen on 127.0.0.1:8600, or as `at` says."""
    hub, members, meeting = entered(tmp_path)
    state = lambda: ws.consortium(hub)  # noqa: E731
    door = Door.open(hub, places(**{"host": "127.0.0.1", "port": 8600, **at}), state, clock=meeting.clock)
    site = Site(hub, SimpleNamespace(consortium=state), meeting.clock)
    return Pages(hub, members, meeting, door, build(site, door))
