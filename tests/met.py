"""Members and a hub that meet at the hub's door, without a wire: requests are function calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from foedus import workspace as ws
from foedus.hub.reception import Reception, Turnstile
from foedus.records.membership import HubAddress
from foedus.resident.join import join, sync
from foedus.resident.link import Link

AT = datetime(2026, 6, 1, 10, tzinfo=UTC)
PIN = "sha256:" + "5a" * 32
ADDRESS = HubAddress(address="hub.example:8443", certificate="-----BEGIN CERTIFICATE-----\n")


@dataclass
class Door:
    """A hub's reception, what it refused and registered, and a clock that both sides read."""

    folder: object
    refused: list = field(default_factory=list)
    registered: list = field(default_factory=list)
    ahead: timedelta = timedelta(0)
    at: datetime = AT
    turnstile: Turnstile = field(default_factory=Turnstile)
    seconds: float = 0.0

    def clock(self):
        return self.at

    def member_clock(self):
        return self.at - self.ahead

    def reception(self):
        return Reception(
            folder=self.folder,
            passphrase=None,
            register=self.registered.append,
            refused=lambda *what: self.refused.append(what),
            clock=self.clock,
            steady=lambda: self.seconds,
            turnstile=self.turnstile,
        )

    def link(self, source="10.0.0.5"):
        def send(method, path, body):
            said = self.reception().answer(method, path, body, source)
            return said.status, said.body

        return Link(ADDRESS, self.member_clock, send)


def opened(tmp_path, names=("bank-a", "bank-b")):
    """A coordinator's workspace with a draft, and its door."""
    hub = ws.create_coordinator(tmp_path / "hub", "hub", members=names)
    hub.draft.write_text(hub.draft.read_text().replace("sha256:" + "0" * 64, PIN))
    return hub, Door(hub.folder)


def entered(tmp_path, names=("bank-a", "bank-b")):
    """Members that joined through the door, and an accord that all signed."""
    hub, door = opened(tmp_path, names)
    members = {}
    for name in names:
        invitation = ws.invite(hub, name, hub=ADDRESS)
        members[name] = join(tmp_path / name, invitation, door.link())
    ws.propose_accord(hub, clock=door.clock)
    for name in names:
        sync(members[name], door.link())
        accord = ws.accord_to_sign(members[name])
        ws.sign_accord(members[name], accord, clock=door.clock)
        members[name] = ws.open_workspace(members[name].folder)
        sync(members[name], door.link())
    for name in names:
        sync(members[name], door.link())
    return ws.open_workspace(hub.folder), members, door
