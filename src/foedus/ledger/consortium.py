"""What a ledger says of a consortium: plain values, the same for everyone who folds the same entries.

`resolve` (fold.py) makes a `Consortium`; nothing else does. All its values are frozen; its mappings are not to be
changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from foedus.core.clock import parse
from foedus.records.accord import Accord, Member, needed
from foedus.records.acts import (
    CloseRound,
    CloseRun,
    EnterEvidence,
    EnterVerdicts,
    OpenRun,
    ProposeRun,
    Publish,
    RegisterCard,
    ReplaceKey,
    Revoke,
)
from foedus.records.release import Proposal

__all__ = [
    "Ballot",
    "Card",
    "Consortium",
    "Equivocation",
    "Matter",
    "ProposalState",
    "Replacement",
    "RunProposal",
    "RunState",
    "Tally",
]

Matter = Literal["release", "waive", "key", "revoke", "run"]
Choice = Literal["approve", "object"]


@dataclass(frozen=True, slots=True)
class Tally:
    """A count, names sorted.

    `missing` have not spoken; `vetoed` hold a veto and object; `awaited` hold one and are silent.
    """

    needed: int
    approved: tuple[str, ...]
    objected: tuple[str, ...]
    missing: tuple[str, ...]
    vetoed: tuple[str, ...]
    awaited: tuple[str, ...]

    @property
    def outcome(self) -> Literal["approved", "rejected"] | None:
        """What the votes decide; None while they may still fall either way.

        Approved: the quorum approves, and everyone with a veto does. Rejected: one with a veto objects, or those who
        do not object are fewer than the quorum. Silence decides nothing.
        """
        if self.vetoed or len(self.approved) + len(self.missing) < self.needed:
            return "rejected"
        return "approved" if len(self.approved) >= self.needed and not self.awaited else None


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Two valid entries of one actor under one number: `first` stands, `second` is refused, the actor is frozen."""

    number: int
    first: str
    second: str
    index: int


@dataclass(frozen=True, slots=True)
class Card:
    """A registered data card, and the entry that registered it."""

    act: RegisterCard
    entry: str
    index: int


@dataclass(frozen=True, slots=True)
class RunState:
    """A run. `accord` and `cards` are those in force when it was opened: they alone decide its weights. `closed_at`
    says when its close was recorded.

    Its acts have their lists, wherever those stand (`records.acts.put_together`).
    """

    opened: OpenRun
    accord: str
    index: int
    cards: Mapping[str, RegisterCard]
    closes: tuple[CloseRound, ...] = ()
    close: CloseRun | None = None
    closed_at: str | None = None

    @property
    def round(self) -> int:
        """The last closed round; 0 before the first."""
        return len(self.closes)

    def state_after(self, number: int) -> str:
        """The digest of the state after a closed round; the start state for 0."""
        return self.closes[number - 1].state if number else self.opened.start


@dataclass(frozen=True, slots=True)
class Ballot:
    """The votes on one subject. A member may change its vote until the vote is closed: the last one counts."""

    matter: Matter
    subject: str
    votes: Mapping[str, Choice] = field(default_factory=dict)
    outcome: Literal["approved", "rejected"] | None = None


@dataclass(frozen=True, slots=True)
class ProposalState:
    """A proposed release and what became of it; its votes are the ballot `("release", digest)`."""

    proposal: Proposal
    digest: str
    index: int
    votes: Mapping[str, Choice] = field(default_factory=dict)
    outcome: Literal["approved", "rejected"] | None = None
    published: Publish | None = None
    revoked: Revoke | None = None


@dataclass(frozen=True, slots=True)
class Replacement:
    """A `key.replace` that waits for its vote; it lapses when the key in force is no longer `old`."""

    act: ReplaceKey
    by: str
    old: str


@dataclass(frozen=True, slots=True)
class RunProposal:
    """A `run.propose`, and the run that carries it out; its votes are the ballot `("run", entry)`."""

    act: ProposeRun
    by: str
    index: int
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Consortium:
    """The state of a consortium after `size` entries.

    `anchor` is the digest of the first accord. `accord` is the one in force, None until ratified. `keys` are the public
    keys in force by (party, purpose); `key_log` all that ever were, each with the index from which it counted.
    `chains` are the digests of each actor's entries in order. `cards` and `runs` are by member and by run name;
    `evidence` and `verdicts` by their digests; `replies` tells whose reply entered a round; `erased` who erased an
    object; `refusals` how often the hub turned something away, by run (empty outside one), round, code and source;
    `run_proposals` the runs that were proposed, by the digest of the entry.
    """

    size: int = 0
    recorded_at: str | None = None
    anchor: str | None = None
    accord: Accord | None = None
    accord_digest: str | None = None
    accords: Mapping[str, Accord] = field(default_factory=dict)
    signed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    keys: Mapping[tuple[str, str], str] = field(default_factory=dict)
    key_log: Mapping[tuple[str, str], tuple[tuple[int, str], ...]] = field(default_factory=dict)
    chains: Mapping[str, Sequence[str]] = field(default_factory=dict)
    frozen: Mapping[str, Equivocation] = field(default_factory=dict)
    left: frozenset[str] = frozenset()
    cards: Mapping[str, Card] = field(default_factory=dict)
    runs: Mapping[str, RunState] = field(default_factory=dict)
    replies: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, EnterEvidence] = field(default_factory=dict)
    verdicts: Mapping[str, EnterVerdicts] = field(default_factory=dict)
    ballots: Mapping[tuple[str, str], Ballot] = field(default_factory=dict)
    proposals: Mapping[str, ProposalState] = field(default_factory=dict)
    replacements: Mapping[str, Replacement] = field(default_factory=dict)
    erased: Mapping[str, str] = field(default_factory=dict)
    refusals: Mapping[tuple[str, int, str, str], int] = field(default_factory=dict)
    run_proposals: Mapping[str, RunProposal] = field(default_factory=dict)

    @property
    def objects(self) -> tuple[str, ...]:
        """The objects without which these entries cannot be folded: accords, proposals, lists too long for an entry."""
        lists = [run.opened.lists for run in self.runs.values()]
        lists += [close.lists for run in self.runs.values() for close in run.closes]
        lists += [entered.lists for entered in self.evidence.values()]
        return (*self.accords, *self.proposals, *(name for name in lists if name))

    @property
    def heads(self) -> dict[str, tuple[int, str]]:
        """Each actor's last number and the digest of that entry: what its next entry follows."""
        return {actor: (len(chain), chain[-1]) for actor, chain in self.chains.items()}

    @property
    def members(self) -> tuple[Member, ...]:
        """The members that signed the accord in force and have not left; empty before it is in force."""
        if self.accord is None or self.accord_digest is None:
            return ()
        signed = self.signed[self.accord_digest]
        return tuple(m for m in self.accord.members if m.name in signed and m.name not in self.left)

    @property
    def day(self) -> date | None:
        """The day of the last entry."""
        return parse(self.recorded_at).date() if self.recorded_at else None

    def key(self, party: str, purpose: str) -> str | None:
        """A party's public key in force."""
        return self.keys.get((party, purpose))

    def key_at(self, party: str, purpose: str, index: int) -> str | None:
        """A party's public key in force just before entry `index`: what signed the documents that this entry lists."""
        found = None
        for since, public in self.key_log.get((party, purpose), ()):
            if since < index:
                found = public
        return found

    def voters(self, matter: str, subject: str) -> tuple[str, ...]:
        """Who votes: the members of the accord in force that have not left; on a key, all but its owner."""
        return voters(self.accord, self.left, self.replacements.get(subject) if matter == "key" else None)

    def matter_of(self, subject: str) -> Matter:
        """What a vote on this digest would now be about: a proposal's release or revocation, a key, a run, else a
        waiver.
        """
        if proposal := self.proposals.get(subject):
            return "revoke" if proposal.published else "release"
        if subject in self.run_proposals:
            return "run"
        return "key" if subject in self.replacements else "waive"

    def tally(self, subject: str, *, matter: Matter | None = None) -> Tally:
        """The count on a subject: signatures under an accord, or votes on a proposal, waiver, key, revocation or
        run.

        The quorum is `release.quorum` for a release, `ratification` for the first accord, `amendment.quorum` of the
        accord in force for all else.
        """
        if subject in self.accords:
            return self._signatures(subject)
        matter = matter or self.matter_of(subject)
        ballot = self.ballots.get((matter, subject), Ballot(matter, subject))
        voters = self.voters(matter, subject)
        if self.accord is None:
            return _count(1, (), {}, ())
        terms = self.accord.release if matter == "release" else self.accord.amendment
        return _count(needed(terms.quorum, len(voters)), voters, ballot.votes, terms.veto)

    def _signatures(self, digest: str) -> Tally:
        proposed = self.accords[digest]
        signed: dict[str, Choice] = dict.fromkeys(self.signed[digest], "approve")
        if proposed.prev is None:
            voters = tuple(m.name for m in proposed.members)
            return _count(needed(proposed.ratification, len(voters)), voters, signed, ())
        old = self.accords[proposed.prev]
        voters = tuple(m.name for m in old.members if m.name not in self.left)
        return _count(needed(old.amendment.quorum, len(voters)), voters, signed, old.amendment.veto)

    def unsigned(self, digest: str) -> tuple[str, ...]:
        """The members of an accord that have not signed it."""
        return tuple(m.name for m in self.accords[digest].members if m.name not in self.signed[digest])


def voters(accord: Accord | None, left: frozenset[str], about: Replacement | None) -> tuple[str, ...]:
    """Who votes under an accord: its members that have not left, but for the one whose key it is `about`."""
    owner = about.act.member if about else None
    return tuple([m.name for m in accord.members if m.name not in left and m.name != owner]) if accord else ()


def _count(need: int, voters: tuple[str, ...], votes: Mapping[str, Choice], veto: tuple[str, ...]) -> Tally:
    holders = [name for name in veto if name in voters]
    return Tally(
        needed=need,
        approved=tuple(sorted(v for v in voters if votes.get(v) == "approve")),
        objected=tuple(sorted(v for v in voters if votes.get(v) == "object")),
        missing=tuple(sorted(v for v in voters if v not in votes)),
        vetoed=tuple(v for v in holders if votes.get(v) == "object"),
        awaited=tuple(v for v in holders if v not in votes),
    )
