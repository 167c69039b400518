"""The release's steps at a party's own desk: `seal` with a workspace's keys, ledger and outbox. Commands and demo
call these.

    coordinator   draft_of_run → collect_ballots → publish_release
    member        approve_draft, waive_gate → a .vote parcel for the coordinator
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from foedus.core.clock import Clock, now
from foedus.core.digest import sha256_file
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError
from foedus.core.files import lock, read_bytes
from foedus.core.keys import PrivateKey, Purpose
from foedus.core.parcel import Parcel
from foedus.ledger import Ledger
from foedus.ledger.consortium import Consortium, Tally
from foedus.records.base import Record
from foedus.records.evidence import CreditReport, Examination, Verdicts
from foedus.records.release import Proposal
from foedus.release import seal
from foedus.release.own_figures import with_own_figures
from foedus.release.propose import Draft
from foedus.release.verify import Verification
from foedus.workspace import (
    Workspace,
    collect_acts,
    consortium,
    keep_ballot,
    make_act,
    pending,
    private_key,
)

__all__ = [
    "Shelf",
    "approve_draft",
    "collect_ballots",
    "draft_folder",
    "draft_of_run",
    "draft_release",
    "find_release",
    "publish_release",
    "receive_ballot",
    "releases",
    "waive_gate",
]


def draft_release(
    workspace: Workspace,
    *,
    version: str,
    run: str,
    model: Path,
    examination: Examination,
    credit: CreditReport | None,
    cards: Mapping[str, bytes],
    name: str | None = None,
    folder: Path | None = None,
    passphrase: str | None = None,
    clock: Clock = now,
) -> Draft:
    """The coordinator makes a draft in `releases/NAME-VERSION.foedus` and enters verdicts and proposal in the ledger.

    A draft of the same run that stands there undecided is that draft: what a killed command did not enter is entered.

    `name` is the accord's by default; the release in force of that name is the previous one. Raises as `seal.draft`.
    """
    workspace.require("coordinator")
    _resend(workspace, passphrase, clock)
    state = consortium(workspace)
    name = name or (state.accord.name if state.accord else workspace.party)
    folder = folder or workspace.folder / "releases" / f"{name}-{version}.foedus"
    writing: dict[str, Any] = {
        "consortium": state,
        "ledger": workspace.ledger,
        "store": workspace.objects,
        "act": _act(workspace, passphrase, clock),
        "submit": _submit(workspace, passphrase, clock),
    }
    if (made := _begun(folder, state, run)) is not None:
        seal.enter(made, **writing)
        return made
    return seal.draft(
        folder,
        key=private_key(workspace, "act", public=state.key(workspace.party, "act"), passphrase=passphrase),
        name=name,
        version=version,
        run=run,
        model=model,
        examination=examination,
        credit=credit,
        cards=cards,
        previous=_previous(state, name),
        **writing,
    )


def _begun(folder: Path, state: Consortium, run: str) -> Draft | None:
    """The undecided draft of a run under the accord in force that stands in a folder; None where there is another."""
    path = folder / "report" / "proposal.json"
    if not path.is_file():
        return None
    seal.tidy(folder)
    proposal = Proposal.from_bytes(read_bytes(path))
    standing = state.proposals.get(proposal.digest)
    if (proposal.run, proposal.accord) != (run, state.accord_digest) or (standing and standing.outcome):
        return None
    return Draft(folder, proposal, Verdicts.from_bytes(read_bytes(folder / "report" / "verdicts.json")))


def draft_of_run(
    workspace: Workspace,
    run: str,
    *,
    version: str,
    model: Path,
    name: str | None = None,
    passphrase: str | None = None,
    clock: Clock = now,
) -> Draft:
    """A draft of a model folder with what the ledger has of its run: evidence, credit and every registered card.

    Raises:
        CallerError: `release.no-such-run` for a run without evidence; `files.missing` for a folder that is not there;
            as `draft_release`.
    """
    workspace.require("coordinator")
    state, store = consortium(workspace), workspace.objects
    entered = next((one for one in state.evidence.values() if one.run == run), None)
    if entered is None:
        raise CallerError("release.no-such-run", run=run)
    if not model.is_dir():
        raise CallerError("files.missing", path=str(model))
    registered = {member: card.card for member, card in state.runs[run].cards.items()}
    auditors = {member: card.act.card for member, card in state.cards.items() if member not in registered}
    return draft_release(
        workspace,
        version=version,
        run=run,
        model=model,
        examination=Examination.from_bytes(store.get(entered.evidence)),
        credit=CreditReport.from_bytes(store.get(entered.credit)) if entered.credit else None,
        cards={member: store.get(digest) for member, digest in {**registered, **auditors}.items()},
        name=name,
        passphrase=passphrase,
        clock=clock,
    )


def approve_draft(
    workspace: Workspace,
    path: Path,
    *,
    choice: Literal["approve", "object"] = "approve",
    reason: str = "",
    at: datetime | None = None,
    passphrase: str | None = None,
    clock: Clock = now,
) -> tuple[bytes, Verification]:
    """A member verifies a draft, compares its own figures in it with the reply that its node keeps, and signs its
    vote; gives the .vote parcel. Raises as `seal.approve`; `release.own-figures-differ`, `release.own-reply-differs`.
    """
    workspace.require("member")
    state = consortium(workspace)
    party = workspace.party
    ballot, seen = seal.approve(
        path,
        member=party,
        anchor=workspace.page.anchor or "",
        at=at or clock(),
        act=_act(workspace, passphrase, clock),
        release_key=_key(workspace, state, "release", passphrase),
        witness_key=_key(workspace, state, "witness", passphrase),
        copy=Ledger(workspace.ledger),
        clock=clock,
        choice=choice,
        reason=reason,
        keep=workspace.objects,
        compare=with_own_figures(workspace),
    )
    data = ballot.to_parcel().to_bytes()
    keep_ballot(workspace, ballot.entry, data)
    return data, seen


def waive_gate(
    workspace: Workspace, path: Path, gate: str, *, reason: str, passphrase: str | None = None, clock: Clock = now
) -> bytes:
    """A member signs a vote to waive a gate of a draft; gives the .vote parcel. Raises as `seal.waive`."""
    workspace.require("member")
    act = _act(workspace, passphrase, clock)
    ballot = seal.waive(path, gate, member=workspace.party, act=act, reason=reason)
    data = ballot.to_parcel().to_bytes()
    keep_ballot(workspace, ballot.entry, data)
    return data


def collect_ballots(
    workspace: Workspace, folder: Path, parcels: Iterable[bytes], *, passphrase: str | None = None, clock: Clock = now
) -> Tally:
    """The coordinator enters the votes in these .vote parcels; gives the count. Raises as `seal.collect_votes`."""
    workspace.require("coordinator")
    ballots = [seal.Ballot.from_parcel(Parcel.from_bytes(data)) for data in parcels]
    seal.tidy(folder)
    return seal.collect_votes(folder, ballots, **_coordinating(workspace, passphrase, clock))


def receive_ballot(workspace: Workspace, parcel: bytes, *, passphrase: str | None = None, clock: Clock = now) -> Tally:
    """The coordinator enters a vote that came by itself, on whichever of its drafts it is about; gives the count.

    Raises: CallerError: `release.no-such-release` where it is about none; as `collect_ballots`.
    """
    workspace.require("coordinator")
    subject = seal.Ballot.from_parcel(Parcel.from_bytes(parcel)).vote.subject
    with lock(workspace.folder / ".ballots.lock", wait=True):  # two votes at once write the same files
        for one in releases(workspace):
            if subject in (one.proposal.digest, *seal.waivable(one.folder, one.proposal)):
                return collect_ballots(workspace, one.folder, [parcel], passphrase=passphrase, clock=clock)
    raise CallerError("release.no-such-release", name=subject)


def publish_release(
    workspace: Workspace, folder: Path, *, passphrase: str | None = None, clock: Clock = now
) -> Proposal:
    """The coordinator closes the vote and publishes: the draft's folder is the bundle. Raises as `seal.publish`."""
    workspace.require("coordinator")
    seal.tidy(folder)
    return seal.publish(folder, store=workspace.objects, **_coordinating(workspace, passphrase, clock))


# ── what lies in a workspace ─────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Shelf:
    """A release's folder in a workspace and where it stands in the ledger."""

    folder: Path
    proposal: Proposal
    standing: Literal["draft", "approved", "rejected", "published", "revoked"]


def releases(workspace: Workspace) -> list[Shelf]:
    """The drafts and releases in a workspace, by name and version."""
    state = consortium(workspace)
    found = []
    for folder in sorted((workspace.folder / "releases").glob("*.foedus")):
        if (folder / "report" / "proposal.json").is_file():
            proposal = Proposal.from_bytes(read_bytes(folder / "report" / "proposal.json"))
            found.append(Shelf(folder, proposal, _standing(state, proposal.digest)))
    return found


def draft_folder(workspace: Workspace, proposal: str) -> Path:
    """The folder of the draft or release with this proposal; CallerError `release.no-such-release`."""
    for folder in sorted((workspace.folder / "releases").glob("*.foedus")):
        path = folder / "report" / "proposal.json"
        if path.is_file() and sha256_file(path) == proposal:
            return folder
    raise CallerError("release.no-such-release", name=proposal)


def find_release(workspace: Workspace, name: str) -> Path:
    """The folder of `NAME-VERSION` in a workspace, or the path itself; CallerError `release.no-such-release`."""
    places = [Path(name), workspace.folder / "releases" / name, workspace.folder / "releases" / f"{name}.foedus"]
    for place in places:
        if place.exists():
            return place
    raise CallerError("release.no-such-release", name=name)


def _standing(state: Consortium, digest: str) -> Literal["draft", "approved", "rejected", "published", "revoked"]:
    proposal = state.proposals.get(digest)
    if proposal is None:
        return "draft"
    if proposal.revoked:
        return "revoked"
    return "published" if proposal.published else proposal.outcome or "draft"


def _previous(state: Consortium, name: str) -> str | None:
    """The newest release in force of that name."""
    standing = [s for s in state.proposals.values() if s.published and not s.revoked and s.proposal.name == name]
    return max(standing, key=lambda s: s.index).digest if standing else None


# ── a workspace as the functions that `seal` asks for ────────────────────────


def _act(workspace: Workspace, passphrase: str | None, clock: Clock) -> Callable[[Record], Envelope]:
    def act(record: Record) -> Envelope:
        return Parcel.from_bytes(make_act(workspace, record, passphrase=passphrase, clock=clock)).documents[0]

    return act


def _submit(workspace: Workspace, passphrase: str | None, clock: Clock) -> Callable[[Envelope], int]:
    def submit(envelope: Envelope) -> int:
        return collect_acts(workspace, [Parcel.of([envelope]).to_bytes()], passphrase=passphrase, clock=clock)[0]

    return submit


def _resend(workspace: Workspace, passphrase: str | None, clock: Clock) -> None:
    """Record the acts that a crash left between the coordinator's outbox and its ledger."""
    collect_acts(workspace, pending(workspace), passphrase=passphrase, clock=clock)


def _coordinating(workspace: Workspace, passphrase: str | None, clock: Clock) -> dict[str, Any]:
    _resend(workspace, passphrase, clock)
    return {
        "ledger": workspace.ledger,
        "state": lambda: consortium(workspace),
        "act": _act(workspace, passphrase, clock),
        "submit": _submit(workspace, passphrase, clock),
    }


def _key(workspace: Workspace, state: Consortium, purpose: Purpose, passphrase: str | None) -> PrivateKey:
    public = state.key(workspace.party, purpose)
    return private_key(workspace, purpose, public=public, passphrase=passphrase)
