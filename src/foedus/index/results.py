"""What the index answers: plain values, frozen, as the ledger's entries tell them.

Instants are as the records write them (`2026-11-22T00:50:37Z`), digests `sha256:…`, figures and weights decimals as
text. `at` is an entry's place in the ledger, from 0. What the ledger does not say (yet) is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

__all__ = [
    "Act",
    "Agreed",
    "Asked",
    "CardRow",
    "CreditRow",
    "CreditSum",
    "Credited",
    "FigureRow",
    "Head",
    "KeyRow",
    "Matter",
    "MemberRow",
    "Mention",
    "Overview",
    "Page",
    "Point",
    "Progress",
    "RefusalRow",
    "ReleaseRow",
    "Round",
    "RunRow",
    "VerdictRow",
    "Vote",
    "VoteRow",
]

T = TypeVar("T")
Matter = Literal["release", "waive", "key", "revoke", "run"]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list: its items, how many the whole list has, which page this is (from 1) and how long pages
    are.
    """

    items: tuple[T, ...]
    total: int
    number: int
    size: int

    @property
    def pages(self) -> int:
        """How many pages the list has; an empty list has one."""
        return max(1, -(-self.total // self.size))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the index has come: `done` of the ledger's `size` entries."""

    done: int
    size: int

    @property
    def is_current(self) -> bool:
        """Whether it has all of them."""
        return self.done == self.size


@dataclass(frozen=True, slots=True)
class Head:
    """The ledger's signed head: its name, size and root (hex), and the members that cosigned this head."""

    origin: str
    size: int
    root: str
    witnesses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """The consortium on one page.

    `runs` counts them by outcome (`open` while one goes on); `open_run` is the latest of those. `release` is what is
    published, not revoked, and was published last. `undecided` counts open votes. `last` is the last entry.
    """

    entries: int
    accord: Agreed | None
    members: int
    cards: int
    runs: dict[str, int]
    open_run: RunRow | None
    last_run: RunRow | None
    rounds: int
    releases: int
    release: ReleaseRow | None
    undecided: int
    last: Act | None


@dataclass(frozen=True, slots=True)
class Act:
    """An entry of the ledger.

    `subject` is the digest that the act is about: an accord, card, state, piece of evidence, set of verdicts, proposal,
    object, or the entry of a `key.replace`; None where it is about none. `note` is what one line more can say of it:
    the purpose of a key, the choice of a vote, the outcome of a run or vote, the code of a refusal. `void` marks an
    entry that proves equivocation and changed nothing.
    """

    at: int
    kind: str
    actor: str
    number: int
    subject: str | None
    run: str | None
    round: int | None
    note: str
    recorded_at: str
    entry: str
    accord: str
    void: bool


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run.

    `outcome` is `open` until it is closed, then `done`, `stopped-early`, `pruned` or `failed`. `rounds` are those
    closed, `planned` those agreed. `trial` is its number in a search. `loss` is the validation loss after the last
    closed round. `metric`, `federated`, `alone` and `difference` are the first metric over all members, `passed`,
    `failed` and `inconclusive` count its verdicts: None, and 0, before it is examined.
    """

    run: str
    at: int
    opened_at: str
    closed_at: str | None
    outcome: str
    accord: str
    engine: str
    trial: int | None
    members: int
    rounds: int
    planned: int
    released_round: int | None
    start: str
    state: str | None
    loss: str | None
    evidence: str | None
    credit: str | None
    verdicts: str | None
    model: str | None
    metric: str | None
    federated: str | None
    alone: str | None
    difference: str | None
    passed: int
    failed: int
    inconclusive: int


@dataclass(frozen=True, slots=True)
class Round:
    """A closed round: what it came to, and how many members entered and were left out."""

    run: str
    round: int
    at: int
    recorded_at: str
    state: str
    snapshot: str
    loss: str | None
    used: int
    left_out: int
    late: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a member in a round.

    `part`: `used` (its reply entered, with `weight`, so many rounds late), `measured` (its reply measured the new
    state), `left-out` (`code` says why), `late` (its reply of round `late` waits).
    """

    run: str
    round: int
    member: str
    part: Literal["used", "measured", "left-out", "late"]
    reply: str | None
    weight: str | None
    late: int
    code: str


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a curve: a closed round and the validation loss after it."""

    round: int
    loss: str | None
    used: int


@dataclass(frozen=True, slots=True)
class Agreed:
    """An accord: proposed, signed, and in force from one instant to another."""

    digest: str
    version: int
    name: str
    prev: str | None
    at: int
    proposed_at: str
    in_force_at: str | None
    until: str | None
    signed: int
    members: int


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member of the accord in force, with what it did so far.

    `state`: `member`, `unsigned` (it has yet to sign), `left` or `frozen`. `used` and `left_out` count rounds; `credit`
    is its value over all credit reports, in validation loss. `card` is the digest of the card in force.
    """

    name: str
    roles: tuple[str, ...]
    tags: tuple[str, ...]
    state: Literal["member", "unsigned", "left", "frozen"]
    signed_at: str | None
    card: str | None
    examples: int | None
    acts: int
    last_at: str | None
    used: int
    left_out: int
    credit: str | None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A public key that is or was in force: from entry `at` on, until entry `until` (None: it still is)."""

    party: str
    purpose: str
    public: str
    at: int
    until: int | None


@dataclass(frozen=True, slots=True)
class CardRow:
    """A registered data card. `in_force` until the member registers another or is no longer in the accord."""

    card: str
    member: str
    name: str
    licence: str
    consent: str
    examples: int
    parts: tuple[str, ...]
    at: int
    recorded_at: str
    in_force: bool


@dataclass(frozen=True, slots=True)
class FigureRow:
    """A measured figure: arm, member (None: over all), metric, count, estimate and interval."""

    run: str
    arm: str
    member: str | None
    metric: str
    n: int
    estimate: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class CreditRow:
    """What a member's updates were worth in a run, in validation loss; `by_round` sums to `value`."""

    run: str
    member: str
    value: str
    by_round: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CreditSum:
    """A credit report: the fall in validation loss, and how far the members' credits are from adding up to it."""

    run: str
    method: str
    digest: str
    start_loss: str
    released_loss: str
    total: str
    residual: str
    tolerance: str
    note: str


@dataclass(frozen=True, slots=True)
class Credited:
    """A run's credit report in a list, and how many members it credits."""

    report: CreditSum
    members: int


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """A gate's word on a run's model; `verdicts` is the digest that a vote to waive them names."""

    run: str
    verdicts: str
    gate: str
    outcome: Literal["pass", "fail", "inconclusive"]
    member: str | None
    metric: str | None
    n: int
    estimate: str | None
    low: str | None
    high: str | None
    threshold: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """A proposal and, once it is published, the release.

    `status`: `voting`, `approved` (to be published), `rejected`, `published` or `revoked`; `current` marks the release
    that was published last and is not revoked.
    """

    proposal: str
    name: str
    version: str
    run: str
    accord: str
    model: str
    state: str
    base: str
    evidence: str
    verdicts: str
    credit: str | None
    previous: str | None
    at: int
    proposed_at: str
    decided_at: str | None
    published_at: str | None
    revoked_at: str | None
    reason: str
    checksums: str | None
    status: Literal["voting", "approved", "rejected", "published", "revoked"]
    current: bool


@dataclass(frozen=True, slots=True)
class VoteRow:
    """What is or was voted on. `outcome` is None while the vote is open; the quorum is `Consortium.tally`'s to say."""

    matter: Matter
    subject: str
    at: int
    opened_at: str
    approve: int
    object: int
    outcome: Literal["approved", "rejected"] | None
    closed_at: str | None


@dataclass(frozen=True, slots=True)
class Vote:
    """A vote that a member cast; `counts` unless it cast another on the same matter later."""

    matter: Matter
    subject: str
    member: str
    choice: Literal["approve", "object"]
    reason: str
    at: int
    cast_at: str
    counts: bool


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """What the hub turned away: a code and a source, so often, in a round or (run None) outside one."""

    run: str | None
    round: int
    code: str
    source: str
    count: int
    at: int
    recorded_at: str


@dataclass(frozen=True, slots=True)
class Mention:
    """Where a digest stands: as what (`entry`, `accord`, `card`, `reply`, `state`, `snapshot`, `proposal`, …) and in
    which entry.
    """

    what: str
    at: int
    kind: str
    actor: str
    recorded_at: str
    run: str | None
