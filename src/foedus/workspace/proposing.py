"""Proposing a run that starts from a release, and voting on it: at each party's own desk, carried as parcels.

who proposes   propose_run → an act; the coordinator's stands in its ledger at once, a member's travels
member         vote_on_run → a .vote parcel for the coordinator
coordinator    collect_run_votes, once with all parcels or again as they come; closes the vote once it is decided
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from foedus.core.clock import Clock, now
from foedus.core.digest import sha256
from foedus.core.errors import CallerError, VerifyError
from foedus.core.parcel import Parcel
from foedus.ledger.consortium import Consortium, RunProposal, Tally
from foedus.records.acts import CloseVote, Entry, ProposeRun, Vote
from foedus.records.base import open_record
from foedus.records.watch import ExpectedGain
from foedus.workspace.acting import act, collect_acts, consortium, make_act
from foedus.workspace.folder import Workspace

__all__ = ["Standing", "collect_run_votes", "find_proposal", "propose_run", "standing_of", "vote_on_run"]

Standing = Literal["open", "approved", "rejected", "running", "done"]


def propose_run(
    workspace: Workspace,
    *,
    release: str,
    why: str,
    evidence: Sequence[bytes],
    gain: ExpectedGain,
    passphrase: str | None = None,
    clock: Clock = now,
) -> tuple[str, bytes]:
    """Propose a run from the state of a release; gives the digest of the entry, which votes name, and its parcel.

    `evidence` are reports as bytes; they travel with the act.

    Raises: VerifyError: `fold.not-in-use`, `fold.not-entitled`.
    """
    digests = tuple(sha256(data) for data in evidence)
    proposed = ProposeRun(release=release, why=why, evidence=digests, gain=gain)
    data = act(workspace, proposed, evidence, passphrase=passphrase, clock=clock)
    return sha256(Parcel.from_bytes(data).documents[0].payload), data


def vote_on_run(
    workspace: Workspace,
    proposal: str,
    *,
    choice: Literal["approve", "object"] = "approve",
    reason: str = "",
    passphrase: str | None = None,
    clock: Clock = now,
) -> bytes:
    """A member signs its vote on a proposed run; gives the parcel. VerifyError `fold.unknown-subject`, `fold.…`."""
    workspace.require("member")
    vote = Vote(subject=proposal, choice=choice, matter="run", reason=reason)
    return make_act(workspace, vote, passphrase=passphrase, clock=clock)


def collect_run_votes(
    workspace: Workspace,
    proposal: str,
    parcels: Iterable[bytes] = (),
    *,
    passphrase: str | None = None,
    clock: Clock = now,
) -> Tally:
    """The coordinator enters these votes on a proposed run and, once they decide, closes the vote. Safe to call again.

    Raises: VerifyError: `release.vote-on-other-proposal`; `fold.…` for a vote that may not stand.
    """
    workspace.require("coordinator")
    given = list(parcels)
    for document in (one for data in given for one in Parcel.from_bytes(data).documents):
        entry = open_record(Entry, document)
        if (entry.body.get("matter"), entry.body.get("subject")) != ("run", proposal):
            got = str(entry.body.get("subject", entry.type))
            raise VerifyError("release.vote-on-other-proposal", member=entry.actor, got=got)
    collect_acts(workspace, given, passphrase=passphrase, clock=clock)
    state = consortium(workspace)
    tally, ballot = state.tally(proposal, matter="run"), state.ballots.get(("run", proposal))
    if tally.outcome is not None and (ballot is None or ballot.outcome is None):
        close = CloseVote(subject=proposal, matter="run", outcome=tally.outcome)
        act(workspace, close, passphrase=passphrase, clock=clock)
    return tally


def find_proposal(state: Consortium, name: str) -> str:
    """The digest of the proposed run that a name, its digest or the beginning of it, means; `last` is the newest.

    Raises: CallerError: `run.no-such-proposal` where it means none, or several.
    """
    known = list(state.run_proposals)
    wanted = name if name.startswith("sha256:") else f"sha256:{name}"
    found = known[-1:] if name == "last" else [one for one in known if one.startswith(wanted)]
    if len(found) != 1:
        raise CallerError("run.no-such-proposal", got=name, known=", ".join(one[7:19] for one in known) or "–")
    return found[0]


def standing_of(state: Consortium, proposal: str) -> Standing:
    """How far a proposed run is: voted on, carried out, or over."""
    found: RunProposal = state.run_proposals[proposal]
    run = state.runs.get(found.run or "")
    if run is not None and (run.close is None or run.close.outcome != "failed"):
        return "done" if any(one.run == found.run for one in state.evidence.values()) else "running"
    ballot = state.ballots.get(("run", proposal))
    return (ballot.outcome if ballot else None) or "open"
