"""What entries add to the tables. Pure but for `find`, which gives objects; one function a type of act.

Entries are believed here: whoever appended them to this ledger folded them first, and `fold.py` of this room folds them
again. Only an entry that proves equivocation is told apart, by its number: it stands in `entries`, marked void, and
changes nothing else.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeVar

from sqlalchemy import Table, Update, exists, select, update

from foedus.core.digest import sha256
from foedus.core.errors import CallerError, VerifyError
from foedus.index import tables as t
from foedus.index.about import about, headline, parts
from foedus.ledger.leaf import Leaf
from foedus.records import acts
from foedus.records.accord import Accord
from foedus.records.acts import Lists, put_together
from foedus.records.base import Record, decimal
from foedus.records.evidence import CreditReport, Examination, Verdicts
from foedus.records.release import Proposal

__all__ = ["Batch", "Find", "Party"]

Find = Callable[[str], bytes | None]
R = TypeVar("R", bound=Record)


@dataclass(slots=True)
class Party:
    """What is known of someone who acted or was asked, so far."""

    number: int = 0
    last_at: str = ""
    used: int = 0
    left_out: int = 0
    asked: int = 0
    credit: str | None = None


@dataclass(slots=True)
class Batch:
    """Rows that a batch of entries adds, and changes to rows in the order in which they are to be made.

    `counts` (entries by kind and actor), `parties` and `refused` (refusals so far) are those of the index before, and
    go on from there.
    """

    find: Find
    counts: defaultdict[tuple[str, str], int]
    parties: defaultdict[str, Party]
    refused: int
    added: defaultdict[Table, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    changes: list[Update] = field(default_factory=list)
    runs: defaultdict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    _kinds: defaultdict[str, int] = field(init=False)
    _actors: defaultdict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Sums of the counts, kept as entries come."""
        self._kinds, self._actors = defaultdict(int), defaultdict(int)
        for (kind, actor), number in self.counts.items():
            self._kinds[kind] += number
            self._actors[actor] += number

    def take(self, leaf: Leaf) -> None:
        """Take in the next entry.

        Raises:
            CallerError: `records.unknown-act`; `objects.missing` for an accord, a proposal or long lists.
            VerifyError: `ledger.bad-entry`.
        """
        entry = leaf.entry
        act = _act(leaf)
        party = self.parties[entry.actor]
        void = entry.number <= party.number
        party.number, party.last_at = max(party.number, entry.number), leaf.recorded_at
        subject, run, number, note = about(act)
        self.added[t.entries].append(
            {
                "at": leaf.index, "kind": entry.type, "actor": entry.actor, "number": entry.number, "subject": subject,
                "run": run, "round": number, "note": _shown(note)[:200], "recorded_at": leaf.recorded_at,
                "entry": sha256(leaf.envelope.payload), "accord": entry.accord, "void": void,
                "of_kind": self._kinds[entry.type], "of_actor": self._actors[entry.actor],
                "of_both": self.counts[entry.type, entry.actor],
            }
        )  # fmt: skip
        self._kinds[entry.type] += 1
        self._actors[entry.actor] += 1
        self.counts[entry.type, entry.actor] += 1
        if not void and (add := _ADD.get(type(act))):
            listed = getattr(act, "lists", None) is not None
            add(self, leaf, put_together(act, lambda digest: self._record(Lists, digest)) if listed else act)

    def _record(self, kind: type[R], digest: str) -> R:
        """A record without which the entry says nothing; CallerError `objects.missing`."""
        if (data := self.find(digest)) is None:
            raise CallerError("objects.missing", digest=digest)
        return kind.from_bytes(data)

    def _at_hand(self, kind: type[R], digest: str | None) -> R | None:
        """A record that is not everywhere, as what was measured; None where it is not here."""
        data = self.find(digest) if digest else None
        return kind.from_bytes(data) if data is not None else None

    # ── runs ─────────────────────────────────────────────────────────────────

    def _open_run(self, leaf: Leaf, act: acts.OpenRun) -> None:
        accord = self._record(Accord, leaf.entry.accord)
        planned = (accord.tune.rounds if act.trial and accord.tune else None) or accord.training.rounds
        self.added[t.runs].append(
            {
                "run": act.run, "at": leaf.index, "opened_at": leaf.recorded_at, "outcome": "open",
                "accord": leaf.entry.accord, "engine": act.engine, "trial": act.trial.number if act.trial else None,
                "members": len(act.roster), "rounds": 0, "planned": planned, "start": act.start,
                "passed": 0, "failed": 0, "inconclusive": 0,
            }
        )  # fmt: skip

    def _close_round(self, leaf: Leaf, act: acts.CloseRound) -> None:
        loss = act.validation_loss
        self.runs[act.run] |= {"rounds": act.round, "loss": loss, "loss_order": t.rank(loss)}
        self.added[t.rounds].append(
            {
                "run": act.run, "round": act.round, "at": leaf.index, "recorded_at": leaf.recorded_at,
                "state": act.state, "snapshot": act.snapshot, "loss": loss, "used": len(act.used),
                "left_out": len(act.left_out), "late": len(act.late),
            }
        )  # fmt: skip
        for item in act.used:
            self.parties[item.member].used += 1
        for name in {one.member for one in act.left_out}:
            self.parties[name].left_out += 1
        self._asked(leaf, act.run, act.round, parts(act))

    def _asked(self, leaf: Leaf, run: str, number: int, became: Iterable[dict[str, Any]]) -> None:
        for place, part in enumerate(became):
            party = self.parties[part["member"]]
            here = {"run": run, "round": number, "place": place, "at": leaf.index, "of_member": party.asked}
            self.added[t.asked].append({"reply": None, "weight": None, "late": 0, "code": "", **part, **here})
            party.asked += 1

    def _close_run(self, leaf: Leaf, act: acts.CloseRun) -> None:
        self.runs[act.run] |= {
            "closed_at": leaf.recorded_at, "outcome": act.outcome, "released_round": act.released_round,
            "state": act.state,
        }  # fmt: skip

    def _evidence(self, _leaf: Leaf, act: acts.EnterEvidence) -> None:
        self.runs[act.run] |= {"evidence": act.evidence, "credit": act.credit}
        if examined := self._at_hand(Examination, act.evidence):
            self.runs[act.run] |= headline(examined)
            self.added[t.figures] += [
                {"evidence": act.evidence, "place": place, **figure.model_dump()}
                for place, figure in enumerate(examined.figures)
            ]
        if report := self._at_hand(CreditReport, act.credit):
            whole = report.model_dump(include={column.name for column in t.credit_sums.c})
            self.added[t.credit_sums].append({**whole, "digest": act.credit})
            for one in report.credits:
                row = {"digest": act.credit, "member": one.member, "value": one.value}
                self.added[t.credit].append({**row, "by_round": json.dumps(one.by_round)})
                party = self.parties[one.member]
                party.credit = decimal(Fraction(party.credit or "0") + Fraction(one.value))

    def _verdicts(self, leaf: Leaf, act: acts.EnterVerdicts) -> None:
        self.runs[act.run] |= {"verdicts": act.verdicts, "model": act.model}
        if (said := self._at_hand(Verdicts, act.verdicts)) is None:
            return
        outcomes = [one.outcome for one in said.verdicts]
        self.runs[act.run] |= {
            "passed": outcomes.count("pass"), "failed": outcomes.count("fail"),
            "inconclusive": outcomes.count("inconclusive"),
        }  # fmt: skip
        here = {"at": leaf.index, "run": act.run, "verdicts": act.verdicts}
        self.added[t.verdicts] += [
            {**here, "place": place, **one.model_dump()} for place, one in enumerate(said.verdicts)
        ]

    # ── data ─────────────────────────────────────────────────────────────────

    def _card(self, leaf: Leaf, act: acts.RegisterCard) -> None:
        actor = leaf.entry.actor
        self.added[t.cards].append(
            {
                **act.model_dump(exclude={"parts"}), "at": leaf.index, "member": actor, "parts": " ".join(act.parts),
                "recorded_at": leaf.recorded_at, "latest": True,
            }
        )  # fmt: skip
        cards = t.cards.c
        self.changes.append(update(t.cards).where(cards.member == actor, cards.at < leaf.index).values(latest=False))

    # ── votes and releases ───────────────────────────────────────────────────

    def _propose(self, leaf: Leaf, act: acts.Propose) -> None:
        proposal = self._record(Proposal, act.proposal)
        said = proposal.model_dump(include={column.name for column in t.proposals.c})
        here = {"at": leaf.index, "proposed_at": leaf.recorded_at, "reason": ""}
        self.added[t.proposals].append({"proposal": act.proposal, **said, **here})
        self._open_vote(leaf, "release", act.proposal)

    def _replace_key(self, leaf: Leaf, _act: acts.ReplaceKey) -> None:
        self._open_vote(leaf, "key", sha256(leaf.envelope.payload))

    def _propose_run(self, leaf: Leaf, _act: acts.ProposeRun) -> None:
        self._open_vote(leaf, "run", sha256(leaf.envelope.payload))

    def _open_vote(self, leaf: Leaf, matter: str, subject: str) -> None:
        here = {"at": leaf.index, "opened_at": leaf.recorded_at, "accord": leaf.entry.accord}
        self.added[t.ballots].append({"matter": matter, "subject": subject, **here})

    def _vote(self, leaf: Leaf, act: acts.Vote) -> None:
        """A member's last vote counts; a vote on a revocation that was rejected begins it anew."""
        self._open_vote(leaf, act.matter, act.subject)  # where it is open already, this changes nothing
        self.added[t.votes].append(
            {
                "at": leaf.index, "matter": act.matter, "subject": act.subject, "member": leaf.entry.actor,
                "choice": act.choice, "reason": _shown(act.reason), "cast_at": leaf.recorded_at, "counts": True,
            }
        )  # fmt: skip
        votes, ballots = t.votes.c, t.ballots.c
        earlier = (votes.matter == act.matter, votes.subject == act.subject, votes.at < leaf.index)
        rejected = (ballots.matter == act.matter, ballots.subject == act.subject, ballots.outcome == "rejected")
        self.changes.append(update(t.votes).where(*earlier, votes.member == leaf.entry.actor).values(counts=False))
        if act.matter == "revoke":
            over = exists(select(ballots.at).where(*rejected))
            self.changes.append(update(t.votes).where(*earlier, over).values(counts=False))
            again = {"outcome": None, "closed_at": None, "at": leaf.index, "opened_at": leaf.recorded_at}
            self.changes.append(update(t.ballots).where(*rejected).values(**again))

    def _close_vote(self, leaf: Leaf, act: acts.CloseVote) -> None:
        ballots = t.ballots.c
        ended = update(t.ballots).where(ballots.matter == act.matter, ballots.subject == act.subject)
        self.changes.append(ended.values(outcome=act.outcome, closed_at=leaf.recorded_at))
        if act.matter == "release":
            self._of_proposal(act.subject, outcome=act.outcome, decided_at=leaf.recorded_at)

    def _publish(self, leaf: Leaf, act: acts.Publish) -> None:
        self._of_proposal(act.proposal, published_at=leaf.recorded_at, checksums=act.checksums)

    def _revoke(self, leaf: Leaf, act: acts.Revoke) -> None:
        self._of_proposal(act.proposal, revoked_at=leaf.recorded_at, reason=_shown(act.reason))

    def _of_proposal(self, digest: str, **values: object) -> None:
        self.changes.append(update(t.proposals).where(t.proposals.c.proposal == digest).values(**values))

    # ── the hub ──────────────────────────────────────────────────────────────

    def _refusal(self, leaf: Leaf, act: acts.Refuse) -> None:
        here = {"place": self.refused, "at": leaf.index, "recorded_at": leaf.recorded_at}
        self.added[t.refusals].append({**act.model_dump(), **here})
        self.refused += 1


def _act(leaf: Leaf) -> Record:
    """The typed body; its spelling is the fold's to check, which takes most of the time of `Entry.act`."""
    kind = acts.BODIES.get(leaf.entry.type)
    try:
        return kind.model_validate(leaf.entry.body) if kind else leaf.entry.act()
    except ValueError as error:
        raise VerifyError("ledger.bad-entry", index=leaf.index, got=str(error)[:200]) from error


_ADD: Mapping[type[Record], Callable[[Batch, Leaf, Any], None]] = {
    acts.ProposeRun: Batch._propose_run,
    acts.OpenRun: Batch._open_run,
    acts.CloseRound: Batch._close_round,
    acts.CloseRun: Batch._close_run,
    acts.EnterEvidence: Batch._evidence,
    acts.EnterVerdicts: Batch._verdicts,
    acts.RegisterCard: Batch._card,
    acts.Propose: Batch._propose,
    acts.ReplaceKey: Batch._replace_key,
    acts.Vote: Batch._vote,
    acts.CloseVote: Batch._close_vote,
    acts.Publish: Batch._publish,
    acts.Revoke: Batch._revoke,
    acts.Refuse: Batch._refusal,
}


def _shown(text: str) -> str:
    """A text of somebody as a table keeps it: PostgreSQL takes no NUL, and one in a reason must not stop the index."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
