"""What a conversation yields and receives. It knows no transport, no keys and no ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from foedus.core.envelope import Envelope
from foedus.core.errors import FoedusError, RunError
from foedus.core.objects import ObjectStore
from foedus.records.acts import LeftOut, Used
from foedus.records.asks import AskBody, Reply
from foedus.records.base import open_record
from foedus.records.release import Snapshot
from foedus.state import State, from_bytes, to_bytes

__all__ = [
    "Answer",
    "Answers",
    "Closed",
    "Gather",
    "Send",
    "code_of",
    "open_answer",
    "open_state",
    "put_state",
    "sort_out",
]


@dataclass(frozen=True, slots=True)
class Send:
    """Asks to members, all of one step of a round; several asks for a member travel as one message.

    `offset` tells apart messages of one kind of step within a round.
    """

    round: int
    step: str
    asks: Mapping[str, tuple[AskBody, ...]]
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Gather:
    """What came too late for its round, up to now; asked for `train` (before the updates are combined) and `close`.

    The driver gives every reply to a training ask of this run that came after its step's deadline, verified and in
    the store. It may give again what it gave before.
    """

    round: int
    step: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A verified reply and its digest (of the signed document). Its objects lie in the store."""

    digest: str
    reply: Reply


Answers = Mapping[str, tuple[Answer | LeftOut, ...]]
"""For each member asked, in member order: an answer to each ask, or why there is none."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A round is over: what the driver stores, and then writes to the ledger as `round.close`, with `snapshot.late`."""

    snapshot: Snapshot
    state: str
    used: tuple[Used, ...]
    measured: tuple[Used, ...]
    left_out: tuple[LeftOut, ...]
    validation_loss: str | None


def sort_out(answers: Answers, which: int) -> tuple[dict[str, Answer], list[LeftOut]]:
    """The answers to the ask at position `which`, by member in order, and those left out."""
    done: dict[str, Answer] = {}
    left: list[LeftOut] = []
    for member in sorted(answers):
        match answers[member][which]:
            case Answer() as answer if answer.reply.outcome == "done":
                done[member] = answer
            case Answer() as answer:
                left.append(LeftOut(member=member, code=code_of(answer.reply)))
            case LeftOut() as missing:
                left.append(missing)
    return done, left


def code_of(reply: Reply) -> str:
    """Why a member did not do it, in its own word if that is a code; it goes into the ledger."""
    code = reply.code or ""
    return code if re.fullmatch(r"[a-z][a-z0-9._-]{0,99}", code) else "run.no-reason"


def open_answer(digest: str, store: ObjectStore) -> Answer:
    """A stored reply, verified when it was stored."""
    return Answer(digest, open_record(Reply, Envelope.from_bytes(store.get(digest))))


def put_state(store: ObjectStore, state: State) -> str:
    """Store a state; the digest of its bytes, under which it travels."""
    return store.put(to_bytes(state))


def open_state(store: ObjectStore, digest: str, *, what: str) -> State:
    """A stored state, every value finite; RunError `run.bad-state` names `what` it was meant to be."""
    try:
        return from_bytes(store.load(digest), finite=True)
    except FoedusError as error:
        raise RunError("run.bad-state", what=what, digest=digest, reason=str(error)[:300]) from error
