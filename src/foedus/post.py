"""Asks out, replies in: what the coordinator signs, has an engine carry, verifies and keeps.

An ask is signed once for its place and sent again as it is; a reply is verified against the key of the member it is
from, stored as it arrives, and used again after a kill. Late replies are kept until a round takes or drops them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from foedus.core.clock import Clock, parse, spell
from foedus.core.digest import hex_of, sha256
from foedus.core.envelope import Envelope
from foedus.core.errors import FoedusError, RunError
from foedus.core.files import write_atomic
from foedus.core.keys import PrivateKey
from foedus.core.objects import ObjectStore
from foedus.core.parcel import Parcel
from foedus.federate.engine import Engine
from foedus.federate.rounds import Came
from foedus.federate.talk import Answer, Answers, Send, code_of
from foedus.records.accord import Accord
from foedus.records.acts import CloseRound, LeftOut
from foedus.records.asks import (
    Alone,
    Ask,
    AskBody,
    Evaluate,
    Gradient,
    Place,
    Reply,
    Train,
    Validate,
    safe_fields,
)
from foedus.records.base import open_record
from foedus.records.release import LateReply
from foedus.track.event import Event, Report
from foedus.track.kept import EVENTS, append_event

__all__ = ["Desk", "Post"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a coordinator needs to ask: its key, a store, and this run's folder, which holds asks, the index of replies,
    late ones, and events.
    """

    act: PrivateKey
    store: ObjectStore
    folder: Path
    clock: Clock
    report: Report = field(default=lambda _: None)

    def tell(self, kind: str, **fields: Any) -> None:
        """Tell those who watch what happened, and when; it is kept in `events.jsonl` of the folder."""
        event = Event(kind, fields, spell(self.clock()))
        append_event(self.folder / EVENTS, event)
        self.report(event)


_ENGINE_SAYS = {
    "engine.late": "late",
    "engine.busy": "late",
    "engine.member-gone": "gone",
    "engine.unreachable": "gone",
}
_FIRST_NUMBER = {"train": 1, "measure": 2, "alone": 50, "evaluate": 1, "rebuild": 100}


@dataclass(slots=True)
class Post:
    """Signs asks, has them carried, verifies and stores what comes back; what was sent and got before is used again."""

    desk: Desk
    keys: Mapping[tuple[str, str], str]
    accord: Accord
    name: str
    roster: str
    deadline_seconds: int
    engine: Engine
    settled: set[str] = field(default_factory=set)

    def exchange(self, send: Send) -> Answers:
        """The answers to one step's asks, by member in order."""
        got: dict[str, list[Answer | LeftOut | None]] = {}
        asked: dict[str, list[tuple[int, str, Envelope, AskBody]]] = {}
        for member in sorted(send.asks):
            got[member] = []
            for which, body in enumerate(send.asks[member]):
                name, document, answer = self._ask(member, send, which, body)
                got[member].append(answer)
                if answer is None:
                    asked.setdefault(member, []).append((which, name, document, body))
        sent = self.desk.clock()
        self.desk.tell(
            "asked",
            round=send.round, step=send.step, until=spell(sent + timedelta(seconds=self.deadline_seconds)),
            members=list(asked), kept=[member for member in got if member not in asked],
        )  # fmt: skip
        asks = {m: [(d, b) for _, _, d, b in parts] for m, parts in asked.items()}
        messages = _Messages(asks, self.desk.store, lambda m, size: self.desk.tell("working", member=m, bytes=size))
        for member, raw in self.engine.carry(messages, deadline_seconds=self.deadline_seconds):
            came = self._read(member, asked[member], raw)
            for (which, name, _, _), one in zip(asked[member], came, strict=True):
                got[member][which] = one
                if isinstance(one, Answer):
                    self._index(name, one.digest)
            self._tell(send, member, came, raw, (self.desk.clock() - sent).total_seconds())
            del raw  # or it would lie beside the next one while that is received
        return {m: tuple(one or LeftOut(member=m, code="engine.late") for one in ones) for m, ones in got.items()}

    def _tell(self, send: Send, member: str, came: list[Answer | LeftOut], raw: bytes | str, seconds: float) -> None:
        """Tell what became of a message: the first of its asks that was not done decides."""
        kind, code, fields = "answered", "", dict[str, str]()
        for one in came:
            if isinstance(one, LeftOut):
                kind, code = _ENGINE_SAYS.get(one.code, "failed"), one.code
                break
            if one.reply.outcome != "done":
                kind, code, fields = one.reply.outcome, code_of(one.reply), safe_fields(one.reply.fields)
                break
        self.desk.tell(
            kind, round=send.round, step=send.step, member=member, code=code, fields=fields,
            bytes=len(raw) if isinstance(raw, bytes) else 0, seconds=round(seconds, 3),
        )  # fmt: skip

    def _ask(self, member: str, send: Send, which: int, body: AskBody) -> tuple[str, Envelope, Answer | None]:
        """The signed ask for a place: the one signed before, while half of its time is left; else a new attempt."""
        number = _FIRST_NUMBER[send.step] + send.offset + which
        attempt = 0
        while (path := self._ask_path(member, send.round, number, attempt + 1)).exists():
            attempt += 1
            document = Envelope.from_bytes(path.read_bytes())
            ask, name = open_record(Ask, document), sha256(document.to_bytes())
            answer = self._answered(name)
            done = answer is not None and answer.reply.outcome == "done"
            enough = self.desk.clock() + timedelta(seconds=self.deadline_seconds / 2)  # who was away must come back
            fresh = enough < parse(ask.not_after) and document.signed_by(self.desk.act.public)
            open_still = answer is None and fresh
            if ask.body == body and ask.roster == self.roster and (done or open_still):
                return name, document, answer
        ask = Ask(
            accord=self.accord.digest,
            place=Place(run=self.name, round=send.round, attempt=attempt + 1, number=number),
            member=member,
            roster=self.roster,
            not_after=spell(self.desk.clock() + timedelta(seconds=self.deadline_seconds)),
            body=body,
        )
        document = ask.sign(self.desk.act)
        write_atomic(path, document.to_bytes())
        return sha256(document.to_bytes()), document, None

    def _ask_path(self, member: str, round_: int, number: int, attempt: int) -> Path:
        return self.desk.folder / "asks" / member / f"{round_}-{number}-{attempt}.json"

    def _read(
        self, member: str, parts: list[tuple[int, str, Envelope, AskBody]], raw: bytes | str
    ) -> list[Answer | LeftOut]:
        """Verified answers, one an ask; or why not."""
        if isinstance(raw, str):
            return [LeftOut(member=member, code=raw) for _ in parts]
        try:
            parcel = Parcel.from_bytes(raw)
            if len(parcel.documents) != len(parts):
                raise RunError("run.bad-reply", kind="message", reason=f"{len(parcel.documents)} replies")
            return [
                self._verified(member, name, document, parcel)
                for (_, name, _, _), document in zip(parts, parcel.documents, strict=True)
            ]
        except FoedusError as error:
            return [LeftOut(member=member, code=f"reply:{error.code}") for _ in parts]

    def _verified(self, member: str, name: str, document: Envelope, parcel: Parcel) -> Answer:
        document.require(self.keys[member, "act"], who=member)
        reply = open_record(Reply, document)
        if reply.ask != name or reply.member != member:
            raise RunError("run.bad-reply", kind="reply", reason="it answers another ask")
        for wanted in reply.objects.values():
            if wanted not in parcel.objects:
                raise RunError("run.bad-reply", kind="reply", reason=f"object {wanted} is missing")
            self.desk.store.put(parcel.view(wanted))
        return Answer(self.desk.store.put(document.to_bytes()), reply)

    def late(self, round_: int) -> Came:
        """Every reply to a training ask that came after its step's deadline, up to this round.

        What came is kept in the folder before it is handed on, so that a run that is killed has it again.
        """
        for member, raw in self.engine.late():
            try:
                parcel = Parcel.from_bytes(raw)
                for document in parcel.documents:
                    self._keep_late(member, document, parcel)
            except FoedusError as error:
                self.desk.tell("left-out", member=member, code=f"reply:{error.code}", reason=str(error)[:300])
        kept = [LateReply.from_bytes(path.read_bytes()) for path in sorted((self.desk.folder / "late").glob("*.json"))]
        return tuple(one for one in kept if one.round <= round_ and one.reply not in self.settled)

    def settle(self, close: CloseRound) -> None:
        """What became of late replies is told by a closed round: used, dropped, or in the snapshot's hand."""
        self.settled |= {item.reply for item in close.used} | {one.reply for one in close.late}
        self.settled |= {one.reply for one in close.left_out if one.reply}

    def _keep_late(self, member: str, document: Envelope, parcel: Parcel) -> None:
        """Keep a late reply that gives an update; one that measured or refused comes too late for anything."""
        name = open_record(Reply, document).ask
        paths = (self.desk.folder / "asks" / member).glob("*.json")
        answered = next((path for path in paths if sha256(path.read_bytes()) == name), None)
        if answered is None:
            raise RunError("run.bad-reply", kind="reply", reason="it answers no ask of this run")
        ask = open_record(Ask, Envelope.from_bytes(answered.read_bytes()))
        answer = self._verified(member, name, document, parcel)
        if isinstance(ask.body, Train) and answer.reply.outcome == "done":
            late = LateReply(member=member, reply=answer.digest, round=ask.place.round)
            write_atomic(self.desk.folder / "late" / f"{hex_of(answer.digest)}.json", late.to_bytes())
        self._index(name, answer.digest)

    def _index(self, ask: str, reply: str) -> None:
        write_atomic(self.desk.folder / "replies" / hex_of(ask), reply.encode())

    def _answered(self, ask: str) -> Answer | None:
        path = self.desk.folder / "replies" / hex_of(ask)
        if not path.exists():
            return None
        reply = path.read_text()
        return Answer(reply, open_record(Reply, Envelope.from_bytes(self.desk.store.get(reply))))


class _Messages(Mapping[str, bytes]):
    """The message to each member, put together when it is read: the states that asks name are in memory once.

    An engine reads a message when it sends it: `read` is told the member and the size.
    """

    def __init__(
        self, asks: Mapping[str, list[tuple[Envelope, AskBody]]], store: ObjectStore, read: Callable[[str, int], None]
    ) -> None:
        self._asks, self._store, self._read = asks, store, read
        self._objects: dict[str, bytes] = {}

    def __getitem__(self, member: str) -> bytes:
        asks = self._asks[member]
        needed = {name for _, body in asks for name in _named(body)}
        for name in needed - self._objects.keys():
            self._objects[name] = self._store.get(name)
        message = Parcel(tuple(document for document, _ in asks), {n: self._objects[n] for n in needed}).to_bytes()
        self._read(member, len(message))
        return message

    def __iter__(self) -> Iterator[str]:
        return iter(self._asks)

    def __len__(self) -> int:
        return len(self._asks)


def _named(body: AskBody) -> tuple[str, ...]:
    """The states that an ask names: what must travel with it."""
    match body:
        case Train() | Alone():
            return (body.start,)
        case Validate():
            return (body.state,)
        case Gradient():
            return (body.start, body.end)
        case Evaluate():
            return (body.start, body.state)
