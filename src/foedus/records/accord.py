"""The accord: the signed agreement of a consortium and the only configuration of a run.

Every clause here is enforced somewhere; the docstring of each says where. A clause that Foedus cannot enforce has no
field, so that naming it is an error. The signed form is canonical JSON with every default written out; its digest is
the accord's id, and the digest of the first accord is the consortium's anchor.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from foedus.core.keys import simulated_key
from foedus.records import terms
from foedus.records.base import (
    BasisPoints,
    Day,
    Digest,
    Int,
    ListOf,
    Name,
    Positive,
    PublicKey,
    Record,
    SetOf,
    Sparse,
    Text,
    refused,
)
from foedus.records.serving import Serving
from foedus.records.tune import Tune
from foedus.records.watch import Monitoring

__all__ = [
    "Accord",
    "Aggregation",
    "Base",
    "Coordinator",
    "DataTerms",
    "Evaluation",
    "Grant",
    "Member",
    "MemberKeys",
    "Participation",
    "Purpose",
    "Quorum",
    "ReleaseTerms",
    "Role",
    "Simulated",
    "Training",
    "needed",
    "simulated_name",
]


def _quorum(text: str) -> str:
    if text == "all":
        return text
    found = re.fullmatch(r"([1-9][0-9]*)/([1-9][0-9]*)", text)
    if not found or Fraction(text) >= 1 or str(Fraction(text)) != text:
        raise ValueError(f"expected 'all' or a share below 1 in lowest terms such as 2/3, got {text!r}")
    return text


def _rules(value: object, info: ValidationInfo) -> object:
    return 1 if value == "1" and info.context and info.context.get("yaml") else value


MOST_SIMULATED = 100_000

Quorum = Annotated[str, AfterValidator(_quorum)]
Role = Literal["contributor", "auditor", "consumer"]
"""A contributor trains and votes; an auditor brings a test set, reads, recomputes and votes; a consumer uses releases,
reads and votes, and brings no data."""


def needed(quorum: str, voters: int) -> int:
    """How many of `voters` a quorum asks for: all, or the share rounded up."""
    if quorum == "all":
        return voters
    share = Fraction(quorum) * voters
    return -(-share.numerator // share.denominator)


class Purpose(Record):
    """What the model is for. Enforced: each member's grant must cover `uses` (plan, node); `release predict` refuses
    others.
    """

    summary: Text
    uses: SetOf[Name] = Field(min_length=1)
    prohibited: SetOf[Name] = ()


class CoordinatorKeys(Record):
    """The coordinator's keys: `log` signs checkpoints, `act` signs asks and entries."""

    act: PublicKey
    log: PublicKey


class Coordinator(Record):
    """Who drives the conversation. Believed by nobody: what it does is signed and recomputed."""

    name: Name
    keys: CoordinatorKeys


class MemberKeys(Record):
    """A member's keys, one a purpose: `act` signs acts and replies, `witness` cosigns checkpoints, `release` signs
    models.
    """

    act: PublicKey
    witness: PublicKey
    release: PublicKey


class Member(Record):
    """An organisation in the consortium. Enforced: only these keys sign, only contributors train, all vote."""

    name: Name
    roles: SetOf[Role] = Field(default=("contributor",), min_length=1)
    tags: SetOf[Name] = ()
    keys: MemberKeys


class Simulated(Record):
    """Members that one machine plays to try an engine or a rule at scale: `count` of them, `sim-00001` and up.

    Their keys follow from the accord's seed, so that what they sign proves nothing; each holds `examples` training
    examples, drawn from one file. Such an accord is for `run simulate` alone: it cannot be signed, and nothing of it
    can be released.
    """

    count: Annotated[Positive, Field(le=MOST_SIMULATED)]
    examples: Annotated[Positive, Field(le=1_000_000)] = 16


class Amendment(Record):
    """Who can change the accord: a share of the members and, with `veto`, each of these. Enforced when folding."""

    quorum: Quorum = "2/3"
    veto: SetOf[Name] = ()


class Validity(Record):
    """The days on which runs may open and asks be answered. Enforced by coordinator and node."""

    first: Day
    last: Day


class Base(Record):
    """The base model: where to load it, and `pin`, the digest that what is loaded must have. Enforced by coordinator
    and node.

    `source`: `package:NAME`, `folder:PATH` or `hub:OWNER/NAME@REVISION`.
    """

    source: Text
    pin: Digest
    licence: Text


class Grant(Record):
    """For which uses, and until which day, a member lets its data be trained on. Enforced by its node."""

    member: Name
    uses: SetOf[Name] = Field(min_length=1)
    until: Day


class DataTerms(Record):
    """What a data set must bring. Enforced when a card is registered (by the fold) and by the node.

    `licences` and `consents`: the texts allowed in a card; empty allows any. Counts below `smallest_cell` are withheld.
    """

    grants: ListOf[Grant] = ()
    licences: SetOf[Text] = ()
    consents: SetOf[Text] = ()
    min_examples: Annotated[Int, Field(le=1_000_000_000)] = 0
    smallest_cell: Annotated[Positive, Field(le=1_000_000)] = 5


class Training(Record):
    """How members train."""

    method: terms.Method = Field(default_factory=terms.Lora)
    craft: terms.Craft = Field(default_factory=terms.Craft)
    rounds: Annotated[Positive, Field(le=10_000)] = 4
    early_stopping: terms.EarlyStopping | None = None
    seed: Text


class Participation(Record):
    """Whom a round asks to train: contributors with one of `members` and one of `tags` (empty: any), and of these
    `sample` or `share_bp` (at least one member), drawn anew each round from the public seed. Enforced by coordinator
    and replay.
    """

    members: SetOf[Name] = ()
    tags: SetOf[Name] = ()
    sample: Annotated[Positive, Field(le=100_000)] | None = None
    share_bp: BasisPoints | None = None


class Aggregation(Record):
    """How updates become one state. `keep_replies_days`: how long after a run's close its replies are kept for
    `--replay`. Enforced by coordinator and node (`workspace.keeping`), which delete them then.
    """

    combine: terms.Combine = Field(default_factory=terms.Mean)
    outer: terms.Outer
    visibility: Literal["clear"] = "clear"
    participation: Participation = Field(default_factory=Participation)
    late: terms.Late = Field(default_factory=terms.Drop)
    min_members: Annotated[Positive, Field(le=100_000)] = 2
    deadline_seconds: Annotated[Positive, Field(le=31_536_000)] = 3600
    keep_replies_days: Annotated[Int, Field(le=36_500)] = 30


class Evaluation(Record):
    """How the outcome is measured: replicates of the paired bootstrap, and the level of each interval."""

    replicates: Annotated[Positive, Field(le=100_000)] = 1000
    confidence_bp: Annotated[Int, Field(ge=5000, le=9999)] = 9500


class ReleaseTerms(Record):
    """What may be released and who must approve. Enforced by `release build` and `verify`.

    `figures: published` puts each member's figures into the release; `withheld` puts only those over all members.
    """

    form: Literal["adapter", "folded"] = "folded"
    rank: Annotated[Positive, Field(le=4_096)] | None = None
    quorum: Quorum = "2/3"
    veto: SetOf[Name] = ()
    fresh_days: Annotated[Positive, Field(le=36_500)] = 365
    figures: Literal["published", "withheld"] = "published"
    licence: Text


class LedgerTerms(Record):
    """`faults`: how many lying members the witnesses' quorum must outvote; q = floor((n + faults) / 2) + 1."""

    faults: Annotated[Int, Field(le=100_000)] = 0

    def witnesses_needed(self, members: int) -> int:
        """Cosignatures without which a split view is not excluded."""
        return (members + self.faults) // 2 + 1


class Accord(Sparse):
    """The agreement. `prev` is the digest of the accord that this one amends; none for the first."""

    kind: ClassVar[str] = "accord"
    later: ClassVar[frozenset[str]] = frozenset({"monitoring", "serving"})

    accord: Literal["foedus/v1"] = "foedus/v1"
    name: Name
    version: Annotated[Positive, Field(le=1_000_000)] = 1
    prev: Digest | None = None
    rules: Annotated[Literal[1], BeforeValidator(_rules)] = 1
    custody: Literal["separate", "one-process"] = "separate"
    purpose: Purpose
    valid: Validity
    coordinator: Coordinator
    members: ListOf[Member]
    simulated: Simulated | None = None
    ratification: Quorum = "all"
    amendment: Amendment = Field(default_factory=Amendment)
    ledger: LedgerTerms = Field(default_factory=LedgerTerms)
    base: Base
    task: terms.Task
    data: DataTerms = Field(default_factory=DataTerms)
    training: Training
    aggregation: Aggregation
    credit: terms.Value = Field(default_factory=terms.AumannShapley)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    tune: Tune | None = None
    gates: ListOf[terms.Gate] = Field(min_length=1)
    release: ReleaseTerms
    serving: Serving | None = None
    monitoring: Monitoring | None = None

    @model_validator(mode="after")
    def _names_are_distinct_and_sorted(self) -> Accord:
        for what, names in (
            ("members", [member.name for member in self.members]),
            ("gates", [gate.name for gate in self.gates]),
            ("grants", [grant.member for grant in self.data.grants]),
        ):
            if names != sorted(set(names)):
                said = "expected {what} sorted by name, none twice, got {got}"
                field = "data" if what == "grants" else what
                raise refused("named-twice", said, field=field, what=what, got=", ".join(names))
        if (self.simulated is None) == (not self.members):
            raise refused("no-member", "expected at least one member, named or simulated")
        if self.simulated and self.custody != "one-process":
            raise refused("simulated-custody", "expected `custody: one-process` where members are simulated")
        if self.coordinator.name in [member.name for member in self.members]:
            said = "expected a coordinator that is no member, got {got}"
            raise refused("coordinator-is-member", said, field="coordinator", got=self.coordinator.name)
        keys = [*self.coordinator.keys.model_dump().values()]
        keys += [key for member in self.members for key in member.keys.model_dump().values()]
        if len(keys) != len(set(keys)):
            raise refused("key-twice", "expected one key for one purpose of one party, got a key that stands twice")
        if (self.version == 1) != (self.prev is None):
            raise refused("prev", "expected `prev` from version 2 on, and only there")
        return self

    @property
    def origin(self) -> str:
        """The name of the consortium's ledger in its checkpoints."""
        return f"foedus/{self.name}"

    def member(self, name: str) -> Member | None:
        """The member of that name."""
        if self.simulated:
            found = re.fullmatch("sim-([0-9]{5,6})", name)
            number = int(found[1]) if found else 0
            here = 1 <= number <= self.simulated.count and name == simulated_name(number)
            return _simulated_member(self.training.seed, name) if here else None
        return next((member for member in self.members if member.name == name), None)

    @property
    def contributors(self) -> tuple[str, ...]:
        """The names of the members that train, in order."""
        if self.simulated:
            return tuple(simulated_name(number) for number in range(1, self.simulated.count + 1))
        return tuple(member.name for member in self.members if "contributor" in member.roles)


def simulated_name(number: int) -> str:
    """The name of the simulated member of that number, from 1."""
    return f"sim-{number:05}"


def _simulated_member(seed: str, name: str) -> Member:
    act, witness, release = (simulated_key(seed, name, purpose).public for purpose in ("act", "witness", "release"))
    return Member(name=name, keys=MemberKeys(act=act, witness=witness, release=release))
