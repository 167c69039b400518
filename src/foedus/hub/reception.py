"""/foedus/v1/…: what members send to the hub and get from it, over the one port that Flower's messages use too.

    GET  greeting     the hub's clock, version and protocol
    POST joined       a member's answer to its invitation
    POST ledger       an inquiry signed by a member → the entries that it lacks, or nothing when it knows all
    POST acts         entries that members signed; they are folded before they are recorded, twice changes nothing
    POST node-key     by which transport key a member's node connects, signed by its act key
    POST candidate    what a voter fetches of a draft, signed by the voter: the list of its files, or a part of one
    POST ballot       a vote on a draft, with the voter's signatures over the model and the ledger's head

Every body is a parcel of signed documents. Nothing is believed for having come through this door: each document is
verified as if it had come on paper. What is malformed, not signed, too large or too often is refused and named.
"""

from __future__ import annotations

import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from foedus.core import canonical
from foedus.core.clock import Clock, parse, spell
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError, FoedusError, IdentityError, RunError
from foedus.core.parcel import Parcel
from foedus.core.version import version
from foedus.hub.candidates import Candidates
from foedus.hub.nodes import keep_node_key
from foedus.records.base import open_record
from foedus.records.door import Fetch
from foedus.records.membership import CLOCK_BOUND_SECONDS, PROTOCOL, Greeting, Inquiry, NodeKey
from foedus.release.desk import receive_ballot
from foedus.workspace import (
    Workspace,
    collect_acts,
    collect_joined,
    consortium,
    export_ledger,
    joined_keys,
    open_workspace,
)
from foedus.workspace.joining import only_document

__all__ = ["BODY_LIMIT_BYTES", "PREFIX", "Answered", "Reception", "Turnstile", "told"]

PREFIX = "/foedus/v1/"
BODY_LIMIT_BYTES = 8 << 20

_STATUS = {2: 400, 3: 403, 6: 403}


@dataclass(frozen=True, slots=True)
class Answered:
    """An HTTP status and a body."""

    status: int
    body: bytes


@dataclass(slots=True)
class Turnstile:
    """Lets each source through so many times in a row, and so many a second after that. Memory is bounded."""

    burst: int = 200
    a_second: float = 20.0
    sources: int = 1024
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admits(self, source: str, now: float) -> bool:
        """Whether this request may come in; `now` in seconds of any steady clock."""
        with self._lock:
            left, before = self._left.pop(source, (float(self.burst), now))
            left = min(float(self.burst), left + (now - before) * self.a_second)
            self._left[source] = (left - 1 if left >= 1 else left, now)
            while len(self._left) > self.sources:
                self._left.popitem(last=False)
            return left >= 1


@dataclass(slots=True)
class Reception:
    """The door. `register` makes a node known to Flower; `refused` hears of what is turned away: code, source, detail.

    `steady` gives seconds that never go back.
    """

    folder: Path
    passphrase: str | None = field(repr=False)
    register: Callable[[NodeKey], None]
    refused: Callable[[str, str, str], None]
    clock: Clock
    steady: Callable[[], float]
    turnstile: Turnstile = field(default_factory=Turnstile)
    candidates: Candidates = field(default_factory=Candidates)

    def answer(self, method: str, path: str, body: bytes, source: str) -> Answered:
        """The answer to a request from a source (its address). Never raises: a fault is an answer too."""
        try:
            if not self.turnstile.admits(source, self.steady()):
                return self._turned_away(RunError("hub.too-often"), source, path, status=429)
            if len(body) > BODY_LIMIT_BYTES:
                too_large = CallerError("hub.too-large", expected=BODY_LIMIT_BYTES, got=len(body))
                return self._turned_away(too_large, source, path, status=413)
            return Answered(200, self._handle(method, path.removeprefix(PREFIX), body))
        except FoedusError as error:
            return self._turned_away(error, source, path, status=_STATUS.get(error.exit_code, 409))
        except Exception:  # noqa: BLE001 - a fault here must not end the hub, and must be seen
            self.refused("hub.fault", source, traceback.format_exc())
            return Answered(500, told(RunError("hub.fault")))

    def _handle(self, method: str, what: str, body: bytes) -> bytes:
        workspace = open_workspace(self.folder)
        match method, what:
            case "GET", "greeting":
                return self._greeting(workspace)
            case "POST", "joined":
                collect_joined(workspace, body)
                return b""
            case "POST", "ledger":
                return self._ledger(workspace, body)
            case "POST", "acts":
                collect_acts(workspace, [body], passphrase=self.passphrase, clock=self.clock)
                return b""
            case "POST", "node-key":
                self.register(keep_node_key(workspace, consortium(workspace), only_document(body)))
                return b""
            case "POST", "candidate":
                return self._candidate(workspace, body)
            case "POST", "ballot":
                receive_ballot(workspace, body, passphrase=self.passphrase, clock=self.clock)
                return b""
        raise CallerError("hub.no-such-path", got=f"{method} {what}"[:100])

    def _greeting(self, workspace: Workspace) -> bytes:
        page = workspace.page
        greeting = Greeting(
            coordinator=page.party, consortium=page.consortium, protocol=PROTOCOL, foedus=version(),
            at=spell(self.clock()),
        )  # fmt: skip
        return Parcel((Envelope(Greeting.payload_type(), greeting.to_bytes(), ()),)).to_bytes()

    def _ledger(self, workspace: Workspace, body: bytes) -> bytes:
        document = only_document(body)
        inquiry = open_record(Inquiry, document)
        state = consortium(workspace)
        act = state.key(inquiry.member, "act")
        if act is None and (joined := joined_keys(workspace.folder).get(inquiry.member)):
            act = joined.act
        if act is None:
            raise IdentityError("hub.no-member", member=inquiry.member)
        document.require(act, who=inquiry.member)
        self._require_now(inquiry.at)
        return b"" if state.size == 0 or inquiry.have >= state.size else export_ledger(workspace, inquiry.have)

    def _candidate(self, workspace: Workspace, body: bytes) -> bytes:
        document = only_document(body)
        fetch = open_record(Fetch, document)
        state = consortium(workspace)
        act = state.key(fetch.member, "act")
        if act is None or fetch.member not in state.voters("release", fetch.proposal):
            raise IdentityError("hub.no-member", member=fetch.member)
        document.require(act, who=fetch.member)
        self._require_now(fetch.at)
        if fetch.file is not None:
            return self.candidates.part(workspace, fetch.proposal, fetch.file, fetch.offset)
        listed = self.candidates.listed(workspace, fetch.proposal)
        return Parcel((Envelope(type(listed).payload_type(), listed.to_bytes(), ()),)).to_bytes()

    def _require_now(self, at: str) -> None:
        """A request that was signed long ago, or by a clock that is off, is not answered."""
        now = self.clock()
        if abs((parse(at) - now).total_seconds()) > CLOCK_BOUND_SECONDS:
            raise RunError("hub.clock-off", expected=spell(now), got=at, bound=CLOCK_BOUND_SECONDS)

    def _turned_away(self, error: FoedusError, source: str, path: str, *, status: int) -> Answered:
        self.refused(error.code, source, f"{path[:100]}: {error.fields}"[:500])
        return Answered(status, told(error))


def told(error: FoedusError) -> bytes:
    """An error as the other side reads it: its code, its fields as text, and the exit code of its family."""
    fields = {name: str(value)[:500] for name, value in error.fields.items()}
    return canonical.encode({"code": error.code, "fields": fields, "exit": error.exit_code})
