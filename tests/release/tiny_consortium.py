"""Three banks, a coordinator and everything that leads to a release: real signatures, a hand-made model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from foedus.core.digest import sha256
from foedus.core.envelope import Envelope, b64
from foedus.core.objects import ObjectStore
from foedus.ledger import Ledger
from foedus.ledger.fold import resolve, shares
from foedus.records import acts, terms
from foedus.records.accord import Accord, ReleaseTerms
from foedus.records.base import Record
from foedus.records.evidence import Credit, CreditReport, DataCard, Examination, PartSummary, Salted
from foedus.release import seal
from foedus.release.propose import Draft
from gates.hand_made import model
from measured import measured, replied
from samples import private_keys, sample_accord

MEMBERS = ("bank-a", "bank-b", "bank-c")
START = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)
LATER = START + timedelta(days=1)
STATES = ["sha256:" + digit * 64 for digit in "0123"]


def tiny_accord(**overrides) -> Accord:
    fields = {
        "training": sample_accord().training.model_copy(update={"rounds": 2}),
        "gates": (
            terms.Artefact(max_bytes=1_000_000),
            terms.NoHarm(metric="accuracy"),
            terms.Utility(metric="accuracy", minimum="0.8"),
        ),
        "release": ReleaseTerms(licence="Apache-2.0"),
    }
    return sample_accord(**{**fields, **overrides})


@dataclass
class Consortium:
    """The coordinator's folder and the members' keys. `keys` gives them; `figures` are the settings of `measured`."""

    root: Path
    accord: Accord = field(default_factory=tiny_accord)
    figures: dict[str, Any] = field(default_factory=dict)
    keys: Callable[[str], dict] = private_keys
    examined: Examination | None = None
    method: str = "aumann-shapley"
    seconds: int = 0
    chains: dict[str, tuple[int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = ObjectStore(self.root / "objects")
        self.ledger = Ledger.create(self.root / "ledger", origin=self.accord.origin, key=self.keys("hub")["log"])

    def clock(self) -> datetime:
        self.seconds += 1
        return START + timedelta(seconds=self.seconds)

    def act(self, actor: str) -> Callable[[Record], Envelope]:
        def sign(body: Record) -> Envelope:
            number, prev = self.chains.get(actor, (0, None))
            entry = acts.Entry.of(body, accord=self.accord.digest, actor=actor, number=number + 1, prev=prev)
            envelope = entry.sign(self.keys(actor)["act"])
            self.chains[actor] = (number + 1, sha256(envelope.payload))
            return envelope

        return sign

    def submit(self, envelope: Envelope) -> int:
        return self.ledger.append(envelope, key=self.keys("hub")["log"], clock=self.clock)

    def do(self, actor: str, body: Record) -> int:
        return self.submit(self.act(actor)(body))

    def state(self):
        find = lambda digest: self.store.get(digest) if digest in self.store else None  # noqa: E731
        return resolve(self.ledger.leaves(), objects=find, anchor=None)

    # ── the life of a release ────────────────────────────────────────────────

    def found(self) -> None:
        self.do("hub", acts.ProposeAccord(accord=self.store.put(self.accord.to_bytes())))
        for member in MEMBERS:
            message = acts.possession_message(self.accord.digest, member)
            proofs = [b64(self.keys(member)[purpose].sign(message)) for purpose in ("witness", "release")]
            self.do(
                member,
                acts.SignAccord(accord=self.accord.digest, witness_proof=proofs[0], release_proof=proofs[1]),
            )

    def cards(self) -> dict[str, bytes]:
        cards = {}
        for number, member in enumerate(MEMBERS):
            parts = {name: "sha256:" + f"{number}{len(name):x}" * 32 for name in ("train", "validation", "test")}
            summary = PartSummary(examples=100, labels={"card": 50, "loan": 50}, tokens_median=9, tokens_p95=20)
            card = DataCard(
                member=member, name="questions", source="https://example.org/questions", licence="CC-BY-4.0",
                consent="contract", languages=("en",), smallest_cell=5, mapping="sha256:" + "e" * 64,
                parts=dict.fromkeys(parts, summary), commitments=parts, duplicates=0, across_parts=0,
            )  # fmt: skip
            cards[member] = Salted(salt=f"{number}" * 32, document=card.model_dump(mode="json")).to_bytes()
        return cards

    def run(self) -> tuple[Examination, CreditReport]:
        for member, data in self.cards().items():
            card = DataCard.from_json(Salted.from_bytes(data).document)
            self.do(
                member,
                acts.RegisterCard(
                    card=self.store.put(data), name=card.name, licence=card.licence, consent=card.consent,
                    examples=100, parts=card.commitments,
                ),
            )  # fmt: skip
        self.do(
            "hub", acts.OpenRun(run="r1", roster=MEMBERS, start=STATES[0], engine="inprocess", numerics={"torch": "2"})
        )
        weights = shares(self.accord.aggregation.combine, dict.fromkeys(MEMBERS, 100))
        for number in (1, 2):
            used = tuple(
                acts.Used(member=m, reply=sha256(f"{m} {number}".encode()), weight=weights[m]) for m in MEMBERS
            )
            self.do(
                "hub",
                acts.CloseRound(
                    run="r1", round=number, snapshot=sha256(b"s%d" % number), state=STATES[number], used=used
                ),
            )
        self.do("hub", acts.CloseRun(run="r1", outcome="done", rounds=2, released_round=2, state=STATES[2]))
        examination = self.examined or measured(self.accord, MEMBERS, state=STATES[2], **self.figures)
        credit = CreditReport(
            run="r1", method=self.method, start_loss="1.5", released_loss="0.5", total="1", residual="0.1",
            tolerance="0.2",
            credits=tuple(Credit(member=m, value="0.3", by_round=("0.1", "0.2")) for m in MEMBERS),
        )  # fmt: skip
        self.do(
            "hub",
            acts.EnterEvidence(
                run="r1", evidence=examination.digest, credit=credit.digest, replies=replied(MEMBERS)
            ),
        )  # fmt: skip
        return examination, credit

    def draft(self, *, version: str = "1.0.0", previous: str | None = None) -> Draft:
        if not self.chains:
            self.found()
            self.evidence = self.run()
        examination, credit = self.evidence
        return seal.draft(
            self.folder(version),
            consortium=self.state(), ledger=self.root / "ledger", store=self.store, act=self.act("hub"),
            submit=self.submit, key=self.keys("hub")["act"], name="intents", version=version, run="r1",
            model=model(self.root / f"trained-{version}"), examination=examination, credit=credit, cards=self.cards(),
            previous=previous,
        )  # fmt: skip

    def folder(self, version: str = "1.0.0") -> Path:
        return self.root / "releases" / f"intents-{version}.foedus"

    def ballot(self, member: str, *, choice="approve", version: str = "1.0.0") -> seal.Ballot:
        copy = self.root / f"copy-{member}"
        if not copy.exists():
            leaves = [leaf.data for leaf in self.ledger.leaves()]
            log_key = self.accord.coordinator.keys.log
            Ledger.receive(copy, leaves, self.ledger.checkpoint(), origin=self.accord.origin, log_key=log_key)
        ballot, _ = seal.approve(
            self.folder(version), member=member, anchor=self.accord.digest, at=LATER, act=self.act(member),
            release_key=self.keys(member)["release"], witness_key=self.keys(member)["witness"], clock=self.clock,
            copy=Ledger(copy), choice=choice, reason="seen",
        )  # fmt: skip
        return ballot

    def collect(self, *ballots: seal.Ballot, version: str = "1.0.0"):
        return seal.collect_votes(
            self.folder(version), ballots, ledger=self.root / "ledger", state=self.state, act=self.act("hub"),
            submit=self.submit,
        )  # fmt: skip

    def publish(self, version: str = "1.0.0") -> Path:
        seal.publish(
            self.folder(version), ledger=self.root / "ledger", store=self.store, state=self.state,
            act=self.act("hub"), submit=self.submit,
        )  # fmt: skip
        return self.folder(version)

    def release(self) -> Path:
        self.draft()
        self.collect(*(self.ballot(member) for member in MEMBERS))
        return self.publish()
