"""A consortium in memory: parties act, the scene numbers, signs and records what they do, and folds it."""

from __future__ import annotations

from typing import Any

from foedus.core.digest import sha256
from foedus.core.envelope import Envelope, b64
from foedus.core.keys import PrivateKey
from foedus.ledger.fold import Consortium, resolve
from foedus.ledger.leaf import Leaf, leaf_bytes, parse_leaf
from foedus.records import acts
from foedus.records.accord import Accord
from foedus.records.base import Record
from foedus.records.release import Proposal
from samples import private_keys, sample_accord

MODEL, START, SNAPSHOT = (sha256(name.encode()) for name in ("model", "start", "snapshot"))


def digest(name: str) -> str:
    """The digest of a name: stands for an object that the fold never opens."""
    return sha256(name.encode())


class Scene:
    """Entries in order, the objects beside them, and each actor's head."""

    def __init__(self, accord: Accord | None = None) -> None:
        self.accord = accord or sample_accord()
        self.under = self.accord.digest
        self.objects: dict[str, bytes] = {}
        self.leaves: list[Leaf] = []
        self.heads: dict[str, tuple[int, str | None]] = {}
        self.clock = "2026-06-01T10:00:00Z"
        self.act_keys: dict[str, PrivateKey] = {}
        self.put(self.accord)

    def put(self, record: Record) -> str:
        self.objects[record.digest] = record.to_bytes()
        return record.digest

    def key(self, actor: str) -> PrivateKey:
        return self.act_keys.get(actor) or private_keys(actor)["act"]

    def entry(self, actor: str, act: Record, **overrides: Any) -> acts.Entry:
        number, prev = self.heads.get(actor, (0, None))
        entry = acts.Entry.of(act, accord=self.under, actor=actor, number=number + 1, prev=prev)
        return acts.Entry.model_validate({**entry.model_dump(), **overrides})

    def record(self, entry: acts.Entry, key: PrivateKey | None = None) -> Leaf:
        return self.record_envelope(entry.sign(key or self.key(entry.actor)))

    def record_envelope(self, envelope: Envelope) -> Leaf:
        leaf = parse_leaf(leaf_bytes(envelope, self.clock), len(self.leaves))
        self.leaves.append(leaf)
        self.heads[leaf.entry.actor] = leaf.entry.number, sha256(envelope.payload)
        return leaf

    def act(self, actor: str, act: Record, **overrides: Any) -> str:
        """The actor does this; gives the digest of its entry. Lists too long for an entry become an object."""
        act, lists = acts.put_apart(act)
        if lists is not None:
            self.objects[sha256(lists)] = lists
        return sha256(self.record(self.entry(actor, act, **overrides)).envelope.payload)

    def sign(self, *members: str, accord: Accord | None = None) -> None:
        accord = accord or self.accord
        for name in members:
            message = acts.possession_message(accord.digest, name)
            held = private_keys(name)
            act = acts.SignAccord(
                accord=accord.digest,
                witness_proof=b64(held["witness"].sign(message)),
                release_proof=b64(held["release"].sign(message)),
            )
            self.act(name, act, accord=accord.digest)

    def propose_accord(self, accord: Accord | None = None) -> None:
        accord = accord or self.accord
        self.put(accord)
        self.act("hub", acts.ProposeAccord(accord=accord.digest), accord=accord.digest)

    def in_force(self) -> Scene:
        self.propose_accord()
        self.sign(*(member.name for member in self.accord.members))
        return self

    def with_cards(self, **examples: int) -> Scene:
        for name in self.accord.contributors:
            self.act(name, card(name, examples.get(name.replace("-", "_"), 100)))
        return self

    def opened(self, run: str = "r1") -> Scene:
        self.act("hub", open_run(self.accord.contributors, run=run))
        return self

    def closed(self, run: str = "r1") -> Scene:
        rounds = self.accord.training.rounds
        for number in range(1, rounds + 1):
            self.act("hub", close_round(number, run=run))
        self.act("hub", close_run(rounds, run=run))
        return self

    def examined(self, run: str = "r1") -> Scene:
        self.act("hub", evidence(run))
        self.act("hub", acts.EnterVerdicts(run=run, model=MODEL, verdicts=digest(f"{run} verdicts")))
        return self

    def ready(self) -> Scene:
        """Everything up to the proposal."""
        return self.in_force().with_cards().opened().closed().examined()

    def proposal(self, **overrides: Any) -> Proposal:
        fields: dict[str, Any] = {
            "name": "intents",
            "version": "1.0",
            "accord": self.accord.digest,
            "run": "r1",
            "base": self.accord.base.pin,
            "state": digest("r1 state 4"),
            "model": MODEL,
            "verdicts": digest("r1 verdicts"),
            "evidence": digest("r1 evidence"),
            "credit": digest("r1 credit"),
            "cards": tuple(sorted(digest(f"card {name}") for name in self.accord.contributors)),
            "files": {},
            "custody": "separate",
            "use": "customer-service",
        }
        return Proposal(**{**fields, **overrides})

    def proposed(self, **overrides: Any) -> str:
        subject = self.put(self.proposal(**overrides))
        self.act("hub", acts.Propose(proposal=subject))
        return subject

    def vote(
        self, subject: str, matter: str, choice: str = "approve", by: tuple[str, ...] = ("bank-a", "bank-b")
    ) -> None:
        for name in by:
            self.act(name, acts.Vote(subject=subject, choice=choice, matter=matter))

    def close_vote(self, subject: str, matter: str, outcome: str = "approved") -> None:
        self.act("hub", acts.CloseVote(subject=subject, matter=matter, outcome=outcome))

    def released(self) -> str:
        subject = self.ready().proposed()
        self.vote(subject, "release")
        self.close_vote(subject, "release")
        self.act("hub", acts.Publish(proposal=subject, checksums=digest("checksums")))
        return subject

    def fold(self, *, anchor: str | None = None) -> Consortium:
        return resolve(self.leaves, objects=self.objects.get, anchor=anchor)


def card(name: str, examples: int = 100, **overrides: Any) -> acts.RegisterCard:
    fields: dict[str, Any] = {
        "card": digest(f"card {name}"),
        "name": "questions",
        "licence": "CC-BY-4.0",
        "consent": "contract",
        "examples": examples,
        "parts": {part: digest(f"{name} {part}") for part in ("train", "validation", "test")},
    }
    return acts.RegisterCard(**{**fields, **overrides})


def open_run(roster: tuple[str, ...] = ("bank-a", "bank-b", "bank-c"), *, run: str = "r1") -> acts.OpenRun:
    return acts.OpenRun(run=run, roster=roster, start=START, engine="inprocess", numerics={"threads": "1"})


THIRDS = dict.fromkeys(("bank-a", "bank-b", "bank-c"), "0.333333333")


def close_round(
    number: int, weights: dict[str, str] | None = None, *, run: str = "r1", **overrides: Any
) -> acts.CloseRound:
    used = tuple(
        acts.Used(member=name, reply=digest(f"{run} {number} {name}"), weight=weight)
        for name, weight in (weights or THIRDS).items()
    )
    out = tuple(acts.LeftOut(member=name, code="federate.late") for name in THIRDS if name not in (weights or THIRDS))
    fields: dict[str, Any] = {
        "run": run,
        "round": number,
        "snapshot": SNAPSHOT,
        "state": digest(f"{run} state {number}"),
        "used": used,
        "left_out": out,
    }
    return acts.CloseRound(**{**fields, **overrides})


def close_run(rounds: int, *, run: str = "r1", **overrides: Any) -> acts.CloseRun:
    fields: dict[str, Any] = {
        "run": run,
        "outcome": "done",
        "rounds": rounds,
        "released_round": rounds,
        "state": digest(f"{run} state {rounds}"),
    }
    return acts.CloseRun(**{**fields, **overrides})


def evidence(run: str = "r1", **overrides: Any) -> acts.EnterEvidence:
    fields: dict[str, Any] = {
        "run": run,
        "evidence": digest(f"{run} evidence"),
        "credit": digest(f"{run} credit"),
        "replies": (),
    }
    return acts.EnterEvidence(**{**fields, **overrides})


def rotate(
    party: str, purpose: str, new: PrivateKey, accord: str, *, proof: PrivateKey | None = None
) -> acts.RotateKey:
    old = private_keys(party)[purpose].public
    message = acts.rotation_message(accord, party, purpose, old, new.public)
    return acts.RotateKey(purpose=purpose, old=old, new=new.public, proof=b64((proof or new).sign(message)))


def replace_key(party: str, new: PrivateKey, accord: str) -> acts.ReplaceKey:
    old = private_keys(party)["act"].public
    message = acts.rotation_message(accord, party, "act", old, new.public)
    return acts.ReplaceKey(member=party, purpose="act", new=new.public, proof=b64(new.sign(message)))
