"""What a member's page shows, read from the member's own workspace each time: its journal, its card, its accord."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from foedus.core.clock import Clock
from foedus.core.errors import FoedusError
from foedus.core.objects import ObjectStore
from foedus.ledger.consortium import Consortium, ProposalState
from foedus.records.evidence import DataCard
from foedus.records.membership import HubAddress
from foedus.release.propose import open_card
from foedus.resident.candidate import open_proposals
from foedus.resident.join import Standing, standing
from foedus.resident.link import Link
from foedus.resident.pause import paused_since
from foedus.track.event import Event
from foedus.workspace import Workspace, consortium, open_workspace
from foedus.workspace.journal import Line, read_journal

__all__ = ["Answered", "Desk", "Tally"]

_HEARD = 50
_TROUBLES = 5


@dataclass(frozen=True, slots=True)
class Answered:
    """An ask and what became of it. `size_bytes` of the reply, when one was sent; `why` names the clause or the code.

    `event`: `reserved` while it is worked on, `answered`, `refused`, `failed`.
    """

    number: int
    at: str
    run: str
    round: int
    event: str
    why: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many asks were answered, refused, failed; and how many are being worked on."""

    answered: int
    refused: int
    failed: int
    reserved: int


@dataclass(slots=True)
class Desk:
    """A member's workspace while its node runs in this process.

    `sync` sends what waits and takes the ledger; `passphrase` is what unlocked this process: it asks the hub, and never
    signs a vote.
    """

    home: Workspace
    link: Link
    passphrase: str | None = field(repr=False)
    clock: Clock
    sync: Callable[[], Consortium]
    _heard: deque[tuple[datetime, Event]] = field(default_factory=lambda: deque(maxlen=_HEARD))

    @property
    def workspace(self) -> Workspace:
        """The workspace as its page is now: it learns its anchor when an accord is signed."""
        return open_workspace(self.home.folder)

    def state(self) -> Consortium:
        """What this member's own copy of the ledger says."""
        return consortium(self.workspace)

    def hear(self, event: Event) -> None:
        """Take note of what the node tells."""
        self._heard.append((self.clock(), event))

    @property
    def hub(self) -> HubAddress:
        """The hub that this node answers."""
        return self.link.hub

    def standing(self) -> Standing:
        """How far this member has come."""
        return standing(self.workspace)

    def paused_since(self) -> str | None:
        """Since when the node is held."""
        return paused_since(self.home)

    def troubles(self) -> list[tuple[datetime, FoedusError]]:
        """The last errors of this process, the newest first."""
        found = [(at, event.fields["error"]) for at, event in reversed(self._heard) if event.kind == "trouble"]
        return found[:_TROUBLES]

    def journal(self) -> list[Answered]:
        """Every ask that came, the newest first; VerifyError `journal.changed` when the file was altered."""
        lines = read_journal(self.home.folder / "node" / "journal.jsonl")
        closed = {line.ask for line in lines if line.event != "reserved"}
        shown = [line for line in lines if line.event != "reserved" or line.ask not in closed]
        replies = ObjectStore(self.home.folder / "node" / "replies")
        return [_answered(line, replies) for line in reversed(shown)]

    def tally(self, journal: list[Answered]) -> Tally:
        """The journal in four numbers."""
        events = [one.event for one in journal]
        return Tally(*(events.count(event) for event in ("answered", "refused", "failed", "reserved")))

    def card(self) -> DataCard | None:
        """This member's data card as it is registered; None before, or where its object is elsewhere."""
        state, workspace = self.state(), self.workspace
        registered = state.cards.get(workspace.party)
        data = workspace.find(registered.act.card) if registered else None
        return open_card(data) if data else None

    def proposals(self) -> list[ProposalState]:
        """What can be voted on, the newest first."""
        return open_proposals(self.state())

    def waiting(self) -> list[ProposalState]:
        """What this member has not voted on."""
        return [one for one in self.proposals() if self.workspace.party not in one.votes]


def _answered(line: Line, replies: ObjectStore) -> Answered:
    run, number, *_ = line.place.rsplit("/", 3)
    stored = replies.path(line.reply) if line.reply else None
    size = stored.stat().st_size if stored and stored.exists() else None
    why = line.detail.strip().splitlines()[-1][:300] if line.detail.strip() else ""
    return Answered(line.n, line.at, run, int(number), line.event, why, size)
