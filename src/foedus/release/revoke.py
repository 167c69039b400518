"""Taking a release back: members vote with the matter `revoke`, the coordinator closes the vote and enters the act.

    member        vote_to_revoke → a .vote parcel for the coordinator
    coordinator   revoke_release, once with all parcels or again as they come

A revoked release stays what it is; every reader whose copy of the ledger is new enough is told, and `predict` refuses.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from foedus.core.clock import Clock, now
from foedus.core.errors import VerifyError
from foedus.core.files import read_bytes
from foedus.core.parcel import Parcel
from foedus.ledger.consortium import Tally
from foedus.ledger.note import Checkpoint, Note
from foedus.records.acts import CloseVote, Revoke, Vote
from foedus.records.release import Proposal
from foedus.release.bundle import opened
from foedus.release.seal import Ballot, copy_ledger
from foedus.workspace import Workspace, act, collect_acts, consortium, make_act

__all__ = ["newer_copy", "newer_ledger", "revoke_release", "vote_to_revoke"]


def vote_to_revoke(
    workspace: Workspace,
    path: Path,
    *,
    reason: str,
    choice: Literal["approve", "object"] = "approve",
    passphrase: str | None = None,
    clock: Clock = now,
) -> bytes:
    """A member signs its vote to revoke the release at `path` (folder or zip), or its objection; gives the parcel.

    Raises:
        VerifyError: `fold.unknown-subject` while its copy of the ledger does not hold the release as published.
    """
    workspace.require("member")
    vote = Vote(subject=_released(path).digest, choice=choice, matter="revoke", reason=reason)
    return make_act(workspace, vote, passphrase=passphrase, clock=clock)


def revoke_release(
    workspace: Workspace,
    folder: Path,
    votes: Iterable[bytes],
    *,
    reason: str,
    passphrase: str | None = None,
    clock: Clock = now,
) -> Tally:
    """The coordinator enters these votes; once they decide, closes the vote, and when approved, revokes the release.

    The bundle's copy of the ledger then says so. Safe to call again after a crash.

    Raises:
        CallerError: `release.no-ballot`.
        VerifyError: `release.vote-on-other-proposal`, or as the fold for a vote that may not stand.
    """
    workspace.require("coordinator")
    subject = _released(folder).digest
    parcels = list(votes)
    for ballot in (Ballot.from_parcel(Parcel.from_bytes(data)) for data in parcels):
        if (ballot.vote.matter, ballot.vote.subject) != ("revoke", subject):
            raise VerifyError("release.vote-on-other-proposal", member=ballot.member, got=ballot.vote.subject)
    collect_acts(workspace, parcels, passphrase=passphrase, clock=clock)
    state = consortium(workspace)
    tally, ballot_now = state.tally(subject, matter="revoke"), state.ballots.get(("revoke", subject))
    outcome = ballot_now.outcome if ballot_now else None
    if outcome is None and tally.outcome is not None:
        outcome = tally.outcome
        close = CloseVote(subject=subject, matter="revoke", outcome=outcome)
        act(workspace, close, passphrase=passphrase, clock=clock)
    if outcome == "approved" and state.proposals[subject].revoked is None:
        act(workspace, Revoke(proposal=subject, reason=reason), passphrase=passphrase, clock=clock)
    copy_ledger(workspace.ledger, folder)
    return tally


def newer_ledger(workspace: Workspace, path: Path) -> Path | None:
    """This party's ledger where it is newer than the one in the bundle: a revocation stands there first."""
    return newer_copy(workspace.ledger, path)


def newer_copy(ledger: Path, path: Path) -> Path | None:
    """A copy of the ledger where it is of the bundle's consortium and newer than the bundle's own; else None."""
    own = ledger / "checkpoint"
    if not own.exists():
        return None
    with opened(path) as folder:
        theirs = folder / "ledger" / "checkpoint"
        if not theirs.is_file():
            return None
        mine, other = (Checkpoint.parse(Note.from_bytes(read_bytes(one)).text) for one in (own, theirs))
    return ledger if mine.origin == other.origin and mine.size > other.size else None


def _released(path: Path) -> Proposal:
    with opened(path) as folder:
        return Proposal.from_bytes(read_bytes(folder / "report" / "proposal.json"))
