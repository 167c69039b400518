"""Entries of the ledger: who did what under which accord.

An `Entry` is signed by its author, who numbers its own entries from 1 and names its previous one, so that nobody can
drop or reorder what a party said. The sequencer only orders: a leaf of the log is the signed envelope and the time it
was recorded. `BODIES` lists every type of act with its body and who may do it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from foedus.core.errors import CallerError
from foedus.records.base import Code, Decimal, Digest, Int, ListOf, Name, Positive, PublicKey, Record, Sparse, Text
from foedus.records.release import LateReply
from foedus.records.tune import Trial
from foedus.records.watch import ExpectedGain

__all__ = [
    "BODIES",
    "CloseRound",
    "CloseRun",
    "CloseVote",
    "EnterEvidence",
    "EnterVerdicts",
    "Entry",
    "Erase",
    "Leave",
    "LeftOut",
    "Lists",
    "OpenRun",
    "Propose",
    "ProposeAccord",
    "ProposeRun",
    "Publish",
    "Refuse",
    "RegisterCard",
    "ReplaceKey",
    "Revoke",
    "RotateKey",
    "SignAccord",
    "Used",
    "Vote",
    "put_apart",
    "put_together",
    "run_name",
]


class ProposeAccord(Record):
    """`accord.propose`, by the coordinator: the accord's canonical JSON is the object of this digest."""

    kind: ClassVar[str] = "accord.propose"
    accord: Digest


class SignAccord(Record):
    """`accord.sign`, by a member: it agrees, and proves that it holds its other keys.

    `witness_proof` and `release_proof` are base64 signatures over `possession_message(accord, member)`.
    """

    kind: ClassVar[str] = "accord.sign"
    accord: Digest
    witness_proof: str
    release_proof: str


class Leave(Record):
    """`member.leave`, by a member: it takes no part in what opens from here on."""

    kind: ClassVar[str] = "member.leave"
    reason: Text


class RotateKey(Record):
    """`key.rotate`, by a party: a new key for a purpose; `proof` is the new key's base64 signature over
    `rotation_message`.
    """

    kind: ClassVar[str] = "key.rotate"
    purpose: Literal["act", "witness", "release", "log"]
    old: PublicKey
    new: PublicKey
    proof: str


class ReplaceKey(Record):
    """`key.replace`, by a party: it asks that a lost act key be replaced; in force once a vote on this entry passes."""

    kind: ClassVar[str] = "key.replace"
    member: Name
    purpose: Literal["act", "witness", "release"]
    new: PublicKey
    proof: str


class RegisterCard(Record):
    """`data.register`, by a contributor or auditor: the digest of its salted data card, and what the fold needs of it.

    `examples` is the number of training examples, rounded to five as in the card: it caps and weighs updates.
    `parts` are the salted Merkle roots of train, validation and test.
    """

    kind: ClassVar[str] = "data.register"
    card: Digest
    name: Name
    licence: Text
    consent: Text
    examples: Int
    parts: dict[Literal["train", "validation", "test"], Digest]


Carried = Literal["inprocess", "flower"]
"""By which engine asks and replies travel; the states are the same on one kind of machine."""


class ProposeRun(Record):
    """`run.propose`, by whom the accord's `monitoring.proposers` lets: a run that starts from the state of a release.

    `release` is the digest of the release's proposal, `evidence` those of the reports that it rests on. It may be
    opened once a vote on this entry, with matter `run`, has passed.
    """

    kind: ClassVar[str] = "run.propose"
    release: Digest
    why: str = Field(min_length=1, max_length=2000)
    evidence: ListOf[Digest] = Field(min_length=1, max_length=100)
    gain: ExpectedGain


class OpenRun(Sparse):
    """`run.open`, by the coordinator: roster, start state, engine and numerics (versions, CPU capability, threads).

    `lists`: where the roster stands when it is too long for an entry (`Lists`). `trial`: the settings that the search
    tries in this run; it is neither examined nor released. `proposal`: the approved `run.propose` that this run carries
    out; its start state is then the one of the release that this names.
    """

    kind: ClassVar[str] = "run.open"
    later: ClassVar[frozenset[str]] = frozenset({"proposal"})
    run: Name
    roster: ListOf[Name]
    lists: Digest | None = None
    start: Digest
    engine: Carried
    numerics: dict[str, Text]
    trial: Trial | None = None
    proposal: Digest | None = None


def run_name(text: str) -> str:
    """A name that a run can bear, as `run.open` takes it; CallerError `run.bad-name` for any other text."""
    try:
        return TypeAdapter(Name).validate_python(text)
    except ValidationError as error:
        raise CallerError("run.bad-name", got=text[:100]) from error


class Used(Record):
    """A reply that entered a round, in member order. `staleness` counts rounds it came late."""

    member: Name
    reply: Digest
    weight: Decimal
    staleness: Int = 0


class LeftOut(Record):
    """A member that was asked and did not enter a round, and why (the code of its failure or refusal).

    With `reply` it is that late reply which does not enter any round, and the member may have entered by another.
    """

    member: Name
    code: Text
    reply: Digest | None = None


class CloseRound(Record):
    """`round.close`, by the coordinator: the only resume point. `measured` are replies that measured the new state.

    `late` are replies in hand that came too late for their round and may enter a later one. `lists`: where all these
    stand when they are too long for an entry (`Lists`).
    """

    kind: ClassVar[str] = "round.close"
    run: Name
    round: Positive
    snapshot: Digest
    state: Digest
    used: ListOf[Used]
    measured: ListOf[Used] = ()
    left_out: ListOf[LeftOut] = ()
    late: ListOf[LateReply] = ()
    lists: Digest | None = None
    validation_loss: Decimal | None = None


class CloseRun(Record):
    """`run.close`, by the coordinator. `released_round` is the round whose state goes on to be examined; 0 is the
    start.
    """

    kind: ClassVar[str] = "run.close"
    run: Name
    outcome: Literal["done", "stopped-early", "pruned", "failed"]
    rounds: Int
    released_round: Int
    state: Digest


class EnterEvidence(Record):
    """`evidence.enter`, by the coordinator: digests of the examination and of the credit report, and the replies
    beneath. `lists`: where those stand when they are too long for an entry (`Lists`).
    """

    kind: ClassVar[str] = "evidence.enter"
    run: Name
    evidence: Digest
    credit: Digest | None
    replies: ListOf[Used]
    lists: Digest | None = None


class EnterVerdicts(Record):
    """`gate.verdicts`, by the coordinator: the object with all verdicts on one model."""

    kind: ClassVar[str] = "gate.verdicts"
    run: Name
    model: Digest
    verdicts: Digest


class Propose(Record):
    """`release.propose`, by the coordinator: the proposal is the object of this digest."""

    kind: ClassVar[str] = "release.propose"
    proposal: Digest


class Vote(Record):
    """`vote.cast`, by a member, on the digest of an accord, a proposal, a verdict to waive or an entry to carry out."""

    kind: ClassVar[str] = "vote.cast"
    subject: Digest
    choice: Literal["approve", "object"]
    matter: Literal["release", "waive", "key", "revoke", "run"]
    reason: str = Field(default="", max_length=2000)


class CloseVote(Record):
    """`vote.close`, by the coordinator: the count, which everyone recomputes. A vote never closes by silence."""

    kind: ClassVar[str] = "vote.close"
    subject: Digest
    matter: Literal["release", "waive", "key", "revoke", "run"]
    outcome: Literal["approved", "rejected"]


class Publish(Record):
    """`release.publish`, by the coordinator: the proposal that was voted, and the digest of CHECKSUMS."""

    kind: ClassVar[str] = "release.publish"
    proposal: Digest
    checksums: Digest


class Revoke(Record):
    """`release.revoke`, by the coordinator after a vote with matter `revoke` on the proposal."""

    kind: ClassVar[str] = "release.revoke"
    proposal: Digest
    reason: Text


class Refuse(Record):
    """`hub.refused`, by the coordinator: what its hub turned away, once a code and source in a round.

    `source` is a member's name or a network address; `count` says how often. `run` and `round` say when; none outside
    a run. Many sources of one code are counted together under the source `others`.
    """

    kind: ClassVar[str] = "hub.refused"
    code: Code
    source: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:%-]*$", max_length=100)
    count: Positive
    run: Name | None = None
    round: Int = 0


class Erase(Record):
    """`object.erase`, by whoever owns the object: it is gone on purpose, not missing."""

    kind: ClassVar[str] = "object.erase"
    object: Digest
    reason: Text


# ── long lists ───────────────────────────────────────────────────────────────

INLINE_BYTES = 32_000
"""The longest act that an entry holds whole: in base64, with its envelope, an entry then stays under 48 kB."""


class Lists(Record):
    """The lists of an act that would be longer than 32,000 bytes with them: the object that its `lists` names."""

    kind: ClassVar[str] = "lists"

    v: Literal[1] = 1
    roster: ListOf[Name] = ()
    used: ListOf[Used] = ()
    measured: ListOf[Used] = ()
    left_out: ListOf[LeftOut] = ()
    late: ListOf[LateReply] = ()
    replies: ListOf[Used] = ()


Act = TypeVar("Act", bound=Record)


def put_apart(act: Act) -> tuple[Act, bytes | None]:
    """An act as its entry holds it and, when it is too long to hold its lists, the object in which they stand."""
    if "lists" not in type(act).model_fields:
        return act, None
    whole = act.model_copy(update={"lists": None})
    if len(whole.to_bytes()) <= INLINE_BYTES:
        return whole, None
    lists = Lists(**{name: getattr(act, name) for name in _lists_of(act)})
    return act.model_copy(update={**dict.fromkeys(_lists_of(act), ()), "lists": lists.digest}), lists.to_bytes()


def put_together(act: Act, find: Callable[[str], Lists]) -> Act:
    """An act with the lists that its entry names; `lists` stays, so that `put_apart` gives the entry's act again.

    Raises:
        CallerError: `records.malformed` unless it is the one form that `put_apart` gives.
    """
    whole = act
    if (name := getattr(act, "lists", None)) is not None:
        lists = find(name)
        whole = act.model_copy(update={each: getattr(lists, each) for each in _lists_of(act)})
    if put_apart(whole)[0] != act:
        raise CallerError("records.malformed", kind=act.kind, where="lists", got="lists in another place than theirs")
    return whole


def _lists_of(act: Record) -> list[str]:
    return [name for name in Lists.model_fields if name in type(act).model_fields]


BODIES: dict[str, type[Record]] = {
    body.kind: body
    for body in (
        ProposeAccord, SignAccord, Leave, RotateKey, ReplaceKey, RegisterCard, ProposeRun, OpenRun, CloseRound,
        CloseRun, EnterEvidence, EnterVerdicts, Propose, Vote, CloseVote, Publish, Revoke, Refuse, Erase,
    )
}  # fmt: skip


class Entry(Record):
    """One signed act. `accord` is the accord that the author acts under; `number` and `prev` chain the author's
    entries.
    """

    kind: ClassVar[str] = "entry"
    v: Literal[1] = 1
    accord: Digest
    actor: Name
    number: Positive
    prev: Digest | None
    type: Text
    body: dict[str, Any]

    def act(self) -> Record:
        """The typed body; CallerError `records.unknown-act` or `records.malformed`."""
        if self.type not in BODIES:
            raise CallerError("records.unknown-act", got=self.type, known=", ".join(sorted(BODIES)))
        return BODIES[self.type].from_json(self.body)

    @staticmethod
    def of(act: Record, *, accord: str, actor: str, number: int, prev: str | None) -> Entry:
        """An entry with this act as its body."""
        return Entry(
            accord=accord, actor=actor, number=number, prev=prev, type=act.kind, body=act.model_dump(mode="json")
        )


def possession_message(accord: str, member: str) -> bytes:
    """What a member's witness and release keys sign to prove that the member holds them."""
    return f"foedus possession v1\n{accord}\n{member}\n".encode()


def rotation_message(accord: str, member: str, purpose: str, old: str, new: str) -> bytes:
    """What a new key signs to prove that the member holds it."""
    return f"foedus rotation v1\n{accord}\n{member}\n{purpose}\n{old}\n{new}\n".encode()
