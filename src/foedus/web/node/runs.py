"""A proposed run on a member's desk: read from this member's own ledger and objects, shown, and signed only as shown.

Every entry of the ledger was verified when it was folded here; the reports that a proposal rests on are taken by the
digests that its signed entry names. Of what a hub says of them nothing is shown.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal

from foedus.core.canonical import encode
from foedus.core.digest import sha256, short
from foedus.core.errors import CallerError, FoedusError, IdentityError
from foedus.core.messages import say
from foedus.ledger.consortium import Consortium, ProposalState, RunProposal, Tally
from foedus.records.watch import WatchReport
from foedus.web.node.desk import Desk
from foedus.workspace import outbox
from foedus.workspace.proposing import Standing, standing_of, vote_on_run

__all__ = ["Report", "RunVotes", "Shown"]

Choice = Literal["approve", "object"]


@dataclass(frozen=True, slots=True)
class Report:
    """A report that a proposal rests on: `data` None where it is not at hand, or cannot be read. `about` whether it is
    of the release from which the run is to start.
    """

    digest: str
    data: WatchReport | None
    about: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A proposed run as a voter sees it. `in_use`: its release is published and was not revoked."""

    entry: str
    proposed: RunProposal
    release: ProposalState
    reports: tuple[Report, ...]
    standing: Standing
    tally: Tally
    mine: str | None
    may_vote: bool
    size: int

    @property
    def in_use(self) -> bool:
        """Whether a run may still start from its release."""
        return self.release.published is not None and self.release.revoked is None

    @property
    def failures(self) -> list[str]:
        """What speaks against an approval, in words: it is shown first."""
        found = [] if self.in_use else [say("node_page.run.not-in-use")]
        for one in self.reports:
            if one.data is None:
                found.append(say("node_page.run.no-report", digest=short(one.digest)))
            elif not one.about:
                found.append(say("node_page.run.other-release", digest=short(one.digest)))
        return found

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What can be signed: nothing once the vote is over, no approval of what cannot be carried out."""
        if not self.may_vote or self.standing != "open":
            return ()
        return ("approve", "object") if self.in_use else ("object",)

    def signs(self, choice: Choice) -> list[str]:
        """A line for each thing that the key will sign."""
        return [
            say(
                "node_page.run.signs", choice=say(f"release.choice.{choice}"), entry=short(self.entry),
                release=f"{self.release.proposal.name} {self.release.proposal.version}",
            )
        ]  # fmt: skip


@dataclass(slots=True)
class RunVotes:
    """The votes on proposed runs at this desk."""

    desk: Desk
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def all(self) -> list[Shown]:
        """Every proposed run, the newest first."""
        state = self.desk.state()
        return [self._shown(state, entry) for entry in reversed(list(state.run_proposals))]

    def waiting(self) -> list[Shown]:
        """Those on which this member can vote and has not."""
        return [one for one in self.all() if one.choices and one.mine is None]

    def shown(self, entry: str) -> Shown:
        """One of them; CallerError `run.no-such-proposal`."""
        state = self.desk.state()
        if entry not in state.run_proposals:
            known = ", ".join(one[7:19] for one in state.run_proposals)
            raise CallerError("run.no-such-proposal", got=entry[:80], known=known or "–")
        return self._shown(state, entry)

    def _shown(self, state: Consortium, entry: str) -> Shown:
        proposed, party = state.run_proposals[entry], self.desk.home.party
        ballot = state.ballots.get(("run", entry))
        return Shown(
            entry, proposed, state.proposals[proposed.act.release],
            tuple(self._report(digest, proposed.act.release) for digest in proposed.act.evidence),
            standing_of(state, entry), state.tally(entry, matter="run"), ballot.votes.get(party) if ballot else None,
            party in state.voters("run", entry), state.size,
        )  # fmt: skip

    def _report(self, digest: str, release: str) -> Report:
        data = self.desk.workspace.find(digest)
        try:
            report = WatchReport.from_bytes(data) if data is not None and sha256(data) == digest else None
        except FoedusError:
            report = None
        return Report(digest, report, report is not None and report.release == release)

    def mark(self, shown: Shown) -> str:
        """What a form carries of what its page showed."""
        at_hand = [one.digest for one in shown.reports if one.data is not None]
        mine = len(outbox(self.desk.home))
        return sha256(encode([shown.entry, shown.size, at_hand, shown.mine, mine]))

    def cast(self, entry: str, choice: Choice, *, reason: str, passphrase: str | None, mark: str) -> bool:
        """Sign a vote on a proposed run as it was shown, and send it; whether it stands in the ledger already.

        Raises:
            IdentityError: `node_page.changed` when the page showed something else, or offered no such vote; as
                `load_private` for a passphrase that is missing or wrong.
            VerifyError: as the fold.
        """
        with self._lock:
            shown = self.shown(entry)
            if choice not in shown.choices or mark != self.mark(shown):
                raise IdentityError("node_page.changed")
            vote_on_run(
                self.desk.workspace, entry, choice=choice, reason=reason, passphrase=passphrase or None,
                clock=self.desk.clock,
            )  # fmt: skip
        try:
            self.desk.sync()
        except IdentityError as error:
            if error.code != "link.unreachable":
                raise
            return False
        return self.shown(entry).mine == choice
