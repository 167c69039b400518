"""The hall, a member's side: one message from top to bottom.

A node answers only what the accord that its organisation signed allows, one ask once, and writes its journal before
it replies:

(1) the message is whole, and each ask in it is signed by the coordinator and meant for this member;
(2) an ask that was answered before gets the same bytes again, and nothing is done or spent twice; once the accord's
    term for replies is over, it is refused;
(3) the clause: does the accord in force, which this member signed, permit this ask today? Another ask for a place
    that is taken is refused and kept as proof;
(4) the ask is reserved in the journal, flushed to disk, before any work;
(5) the work, `federate.answer`: pure, from this member's data and private state;
(6) reply, private state and journal line are stored, and only then sent.

Covers: a coordinator that asks too much, asks again, or asks in another's name. Does not cover: what the updates
themselves may tell about the data; that is what privacy clauses are for.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from foedus.accord import permit
from foedus.core.clock import Clock, parse, spell
from foedus.core.digest import sha256
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError, FoedusError, RunError
from foedus.core.files import lock
from foedus.core.keys import PrivateKey
from foedus.core.objects import ObjectStore
from foedus.core.parcel import Parcel
from foedus.records.accord import Accord
from foedus.records.asks import Ask, Place, Reply, Train, safe_fields
from foedus.records.base import open_record
from foedus.workspace.journal import Event, Journal

if TYPE_CHECKING:
    from foedus.federate.answer import Answered, Shelf

__all__ = ["Node", "place_name"]

MESSAGE_LIMIT_BYTES = 4 << 30


def place_name(place: Place) -> str:
    """A place as the journal writes it."""
    return f"{place.run}/{place.round}/{place.attempt}/{place.number}"


@dataclass
class Node:
    """A member's side. `shelf` is made when the first ask needs it: its data and the base model stay on this machine.

    `asker` is the coordinator's public act key in force, by the member's own copy of the ledger. `started` tells from
    the same copy the digest of the state that a run starts from, None of a run that it does not hold. `folder` holds
    the journal, replies and private states; they are this member's alone.
    """

    member: str
    accord: Accord
    signed: bool
    asker: str
    act: PrivateKey
    folder: Path
    make_shelf: Callable[[], Shelf]
    clock: Clock
    started: Callable[[str], str | None] = lambda _: None
    _shelf: Shelf | None = field(default=None, repr=False)

    @cached_property
    def journal(self) -> Journal:
        """What this member answered."""
        return Journal(self.folder / "journal.jsonl")

    @cached_property
    def replies(self) -> ObjectStore:
        """The replies as sent, so that the same ask gets the same bytes."""
        return ObjectStore(self.folder / "replies")

    @cached_property
    def private(self) -> ObjectStore:
        """What this member keeps between rounds."""
        return ObjectStore(self.folder / "private")

    @property
    def shelf(self) -> Shelf:
        """The member's parts and the model."""
        if self._shelf is None:
            self._shelf = self.make_shelf()
        return self._shelf

    def handle(self, message: bytes) -> bytes:
        """The reply to a message: a parcel with one signed reply an ask.

        Raises: FoedusError: for a message that is no parcel of asks from the coordinator to this member. Whatever
            happens in answering a proper ask comes back as a reply.
        """
        # (1) Whole, signed, for me.
        if len(message) > MESSAGE_LIMIT_BYTES:
            raise CallerError("node.too-large", got=len(message), expected=MESSAGE_LIMIT_BYTES)
        parcel = Parcel.from_bytes(message)
        asks = [(sha256(document.to_bytes()), self._ask(document)) for document in parcel.documents]
        with lock(self.folder / ".node.lock", wait=True):  # a process that was cut off may still be at work here
            self.journal.refresh()
            replies = [self._reply(name, ask, parcel.objects) for name, ask in asks]
        if len(replies) == 1:  # a large update is not taken apart to be put together again
            return replies[0]
        parcels = [Parcel.from_bytes(reply) for reply in replies]
        documents = tuple(document for one in parcels for document in one.documents)
        return Parcel(documents, {name: data for one in parcels for name, data in one.objects.items()}).to_bytes()

    def _ask(self, document: Envelope) -> Ask:
        document.require(self.asker, who=self.accord.coordinator.name)
        ask = open_record(Ask, document)
        if ask.member != self.member:
            raise CallerError("node.not-for-me", expected=self.member, got=ask.member)
        return ask

    def _reply(self, name: str, ask: Ask, objects: Mapping[str, bytes]) -> bytes:
        # (2) Answered before: the same bytes, for as long as they are kept.
        if (line := self.journal.closed(name)) and line.reply:
            return self.replies.get(line.reply) if line.reply in self.replies else self._kept_no_longer(name)
        place = place_name(ask.place)

        # (3) The clause.
        if clause := self._forbidden(name, ask, place) or self._other_start(ask, objects):
            reply = Reply(ask=name, member=self.member, outcome="refused", code=clause)
            return self._close(name, place, "refused", reply, {}, {}, detail=clause)

        # (4) Reserved before any work. A crash from here on leaves it reserved: the same ask is taken up again.
        if self.journal.at_place(place) is None:
            self.journal.add(at=spell(self.clock()), event="reserved", ask=name, place=place)

        # (5) The work.
        try:
            done = self._work(ask, objects)
        except FoedusError as error:
            fields = safe_fields(error.fields)  # everything else stays in the journal
            reply = Reply(ask=name, member=self.member, outcome="failed", code=error.code, fields=fields)
            return self._close(name, place, "failed", reply, {}, {}, detail=f"{error.code} {error.fields}")
        except Exception:  # noqa: BLE001 - a bug here must reach the coordinator as a code, and the journal in full
            reply = Reply(ask=name, member=self.member, outcome="failed", code="node.bug")
            return self._close(name, place, "failed", reply, {}, {}, detail=traceback.format_exc())

        # (6) Stored, then sent.
        from foedus.state import to_bytes

        kept = {key: self.private.put(to_bytes(state)) for key, state in done.private.items()}
        named = {key: sha256(data) for key, data in done.objects.items()}
        reply = Reply(ask=name, member=self.member, outcome="done", body=done.body, objects=named)
        return self._close(name, place, "answered", reply, {sha256(d): d for d in done.objects.values()}, kept)

    def _kept_no_longer(self, name: str) -> bytes:
        clause = "aggregation.keep_replies_days"
        reply = Reply(ask=name, member=self.member, outcome="refused", code=clause)
        return Parcel((reply.sign(self.act),), {}).to_bytes()

    def _forbidden(self, name: str, ask: Ask, place: str) -> str | None:
        """The clause that forbids an ask, or None."""
        now = self.clock()
        if not self.signed or ask.accord != self.accord.digest:
            return "node.not-signed"
        if now > parse(ask.not_after):
            return "aggregation.deadline_seconds"
        if (taken := self.journal.at_place(place)) and taken.ask != name:
            return "node.place-taken"
        return permit(self.accord, ask, member=self.member, today=date(now.year, now.month, now.day))

    def _other_start(self, ask: Ask, objects: Mapping[str, bytes]) -> str | None:
        """Training begins where everybody was told that the run starts, whether at the base model or at a release."""
        if not isinstance(ask.body, Train) or ask.place.round != 1:
            return None
        expected = self.started(ask.place.run)
        if expected is None or ask.body.start not in objects:
            return None
        from foedus.state import digest, from_bytes

        try:
            return None if digest(from_bytes(objects[ask.body.start])) == expected else "node.other-start"
        except FoedusError:
            return "node.other-start"

    def _work(self, ask: Ask, objects: Mapping[str, bytes]) -> Answered:
        from foedus.federate.answer import answer
        from foedus.state import from_bytes

        kept = self.journal.private(ask.place.run, ask.place.round)
        private = {key: from_bytes(self.private.get(digest)) for key, digest in kept.items()}

        def open_object(digest: str) -> bytes:
            if digest not in objects:
                raise RunError("node.object-missing", digest=digest)
            return objects[digest]

        return answer(ask, self.shelf, private, open_object)

    def _close(
        self, name: str, place: str, event: Event, reply: Reply, objects: Mapping[str, bytes],
        private: Mapping[str, str], *, detail: str = "",
    ) -> bytes:  # fmt: skip
        data = Parcel((reply.sign(self.act),), dict(objects)).to_bytes()
        stored = self.replies.put(data)
        self.journal.add(
            at=spell(self.clock()), event=event, ask=name, place=place, reply=stored, private=private, detail=detail
        )
        return data
