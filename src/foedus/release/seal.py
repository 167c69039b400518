"""From files to a release: draft, approve, collect the votes, publish. What coordinator and members call, in this
order.

A party is given by functions, so that this room needs neither its keys nor its ledger's lock: `act` numbers and signs
an act in the party's chain, `submit` brings a signed act into the ledger. `state` folds the ledger as it is now.

    coordinator   draft(…)           files, verdicts and proposal; both entered in the ledger
    member        approve(…)         verifies, then signs vote, model and ledger head: one parcel
    coordinator   collect_votes(…)   checks each parcel and enters the vote
    coordinator   publish(…)         closes the vote, writes CHECKSUMS, enters the release
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from foedus.core.clock import Clock
from foedus.core.digest import hex_of
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError, VerifyError
from foedus.core.files import read_bytes, sweep, write_atomic
from foedus.core.keys import PrivateKey
from foedus.core.objects import ObjectStore
from foedus.core.parcel import Parcel
from foedus.gates import waiver_subject
from foedus.ledger import Ledger
from foedus.ledger.consortium import Consortium, Tally
from foedus.ledger.note import Line, Note, cosign, cosigned_at, witness_name
from foedus.records.acts import CloseVote, EnterVerdicts, Entry, Propose, Publish, Vote
from foedus.records.base import Record, open_record
from foedus.records.evidence import CreditReport, Examination, Verdicts
from foedus.records.release import Proposal
from foedus.release import oms
from foedus.release.bundle import opened, signature_name, write_checksums
from foedus.release.propose import Draft, make_files
from foedus.release.verify import Verification, verify_bundle

__all__ = [
    "Ballot",
    "approve",
    "collect_votes",
    "copy_ledger",
    "draft",
    "enter",
    "publish",
    "tidy",
    "waivable",
    "waive",
]

Act = Callable[[Record], Envelope]
Submit = Callable[[Envelope], int]
State = Callable[[], Consortium]
Compare = Callable[[Path, Verification], Verification]

_FRESH, _OLD = ".ledger.new", ".ledger.old"
"""The copy of the ledger that comes, and the one that goes."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote as it travels. `signature` over the model and `cosignature` of the ledger's head come with an approval."""

    member: str
    vote: Vote
    entry: Envelope
    signature: bytes | None
    cosignature: str | None

    def to_parcel(self) -> Parcel:
        """The ballot as a parcel."""
        objects = [self.signature, self.cosignature.encode() if self.cosignature else None]
        return Parcel.of([self.entry], [data for data in objects if data is not None])

    @staticmethod
    def from_parcel(parcel: Parcel) -> Ballot:
        """Read a parcel; CallerError `release.no-ballot` when it is none."""
        if len(parcel.documents) != 1 or len(parcel.objects) > 2:
            raise CallerError("release.no-ballot")
        entry = open_record(Entry, parcel.documents[0])
        vote = entry.act()
        if not isinstance(vote, Vote):
            raise CallerError("release.no-ballot")
        cosignatures = [data for data in parcel.objects.values() if data.startswith("— ".encode())]
        signatures = [data for data in parcel.objects.values() if data not in cosignatures]
        if len(cosignatures) > 1 or len(signatures) > 1:
            raise CallerError("release.no-ballot")
        return Ballot(
            entry.actor,
            vote,
            parcel.documents[0],
            signatures[0] if signatures else None,
            cosignatures[0].decode("utf-8", "replace") if cosignatures else None,
        )


# ── coordinator: draft ───────────────────────────────────────────────────────


def draft(
    folder: Path,
    *,
    consortium: Consortium,
    ledger: Path,
    store: ObjectStore,
    act: Act,
    submit: Submit,
    key: PrivateKey,
    name: str,
    version: str,
    run: str,
    model: Path,
    examination: Examination,
    credit: CreditReport | None,
    cards: Mapping[str, bytes],
    previous: str | None = None,
) -> Draft:
    """Make the files of a release final, and enter verdicts and proposal in the ledger.

    Evidence must have been entered before (`evidence.enter`). `key` is the coordinator's act key, for the attestation.

    Raises:
        CallerError: `release.no-such-run`, or as `propose.make_files`. VerifyError: as the fold, when an act may not
        stand; then the folder is left for looking at, and nothing is proposed.
    """
    state = consortium.runs.get(run)
    if consortium.accord is None or consortium.anchor is None or state is None or state.close is None:
        raise CallerError("release.no-such-run", run=run)
    made = make_files(
        folder,
        accord=consortium.accord,
        anchor=consortium.anchor,
        name=name,
        version=version,
        run=run,
        state=state.close.state,
        model=model,
        examination=examination,
        credit=credit,
        cards=cards,
        objects=named_objects(consortium, store),
        previous=previous,
        key=key,
    )
    enter(made, consortium=consortium, ledger=ledger, store=store, act=act, submit=submit)
    return made


def enter(made: Draft, *, consortium: Consortium, ledger: Path, store: ObjectStore, act: Act, submit: Submit) -> None:
    """Enter a draft's verdicts and proposal in the ledger, as far as they do not stand there yet, and copy the ledger
    into its folder. VerifyError as the fold.
    """
    store.put(made.verdicts.to_bytes())
    store.put(made.proposal.to_bytes())
    if made.verdicts.digest not in consortium.verdicts:
        submit(act(EnterVerdicts(run=made.proposal.run, model=made.proposal.model, verdicts=made.verdicts.digest)))
    if made.proposal.digest not in consortium.proposals:
        submit(act(Propose(proposal=made.proposal.digest)))
    copy_ledger(ledger, made.folder)


def named_objects(consortium: Consortium, store: ObjectStore) -> dict[str, bytes]:
    """Every object that the ledger names and a reader of the bundle needs to fold it."""
    return {digest: store.get(digest) for digest in consortium.objects}


def tidy(folder: Path) -> None:
    """Remove from a bundle's folder what a killed writer left half done; nobody may be writing there meanwhile."""
    sweep(folder)
    for name in (_FRESH, _OLD):
        shutil.rmtree(folder / name, ignore_errors=True)


def copy_ledger(ledger: Path, folder: Path) -> None:
    """Put the ledger as it is now into a bundle's folder."""
    tidy(folder)
    target, fresh, old = folder / "ledger", folder / _FRESH, folder / _OLD
    shutil.copytree(ledger, fresh)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


# ── member: approve, object, waive ───────────────────────────────────────────


def approve(
    path: Path,
    *,
    member: str,
    anchor: str,
    at: datetime,
    act: Act,
    release_key: PrivateKey,
    clock: Clock,
    witness_key: PrivateKey | None = None,
    copy: Ledger | None = None,
    choice: Literal["approve", "object"] = "approve",
    reason: str = "",
    keep: ObjectStore | None = None,
    compare: Compare = lambda _, seen: seen,
) -> tuple[Ballot, Verification]:
    """Verify a draft (folder or zip) and sign the vote, the model, and the ledger's head.

    `copy` is the member's own ledger and `keep` its store of objects: they take over what the verified draft brings, so
    that the vote is an act in a ledger that knows the proposal. `compare` adds what the member's own records say of
    the draft.

    Raises:
        VerifyError: what the draft's first failed check says; an approval is then not signed. An objection always is.
    """
    seen = compare(path, verify_bundle(path, anchor=anchor, at=at, draft=True))
    if choice == "approve" and seen.outcome != "verified":
        failed = next(iter(seen.failures), None)
        raise failed.error if failed and failed.error else VerifyError("release.draft-undecided", code=seen.code)
    if seen.proposal is None:
        raise VerifyError("release.draft-undecided", code=seen.code)
    with opened(path) as folder:
        if keep is not None:
            _keep_objects(folder, keep)
        if copy is not None and seen.consortium and seen.consortium.accord:
            copy.extend_from(folder / "ledger", log_key=seen.consortium.accord.coordinator.keys.log)
        signature = cosignature = None
        if choice == "approve":
            signature = oms.sign(oms.resources(folder / "model"), release_key)
            if copy is not None and witness_key is not None:
                text = Note.from_bytes(read_bytes(folder / "ledger" / "checkpoint")).text
                cosignature = str(cosign(text, witness_name(copy.origin, member), witness_key, clock))
        vote = Vote(subject=seen.proposal.digest, choice=choice, matter="release", reason=reason)
        return Ballot(member, vote, act(vote), signature, cosignature), seen


def _keep_objects(folder: Path, store: ObjectStore) -> None:
    for path in [*folder.glob("accord/*.json"), *folder.glob("objects/*.json"), folder / "report" / "proposal.json"]:
        store.put(read_bytes(path))


def waive(path: Path, gate: str, *, member: str, act: Act, reason: str) -> Ballot:
    """Sign a vote to waive one gate of a draft's verdicts; CallerError `release.no-such-gate`."""
    with opened(path) as folder:
        subject = waiver_subject(_proposal(folder).verdicts, gate)
        if subject not in waivable(folder, _proposal(folder)):
            raise CallerError("release.no-such-gate", gate=gate)
    vote = Vote(subject=subject, choice="approve", matter="waive", reason=reason)
    return Ballot(member, vote, act(vote), None, None)


# ── coordinator: collect, publish ────────────────────────────────────────────


def collect_votes(
    folder: Path, ballots: Iterable[Ballot], *, ledger: Path, state: State, act: Act, submit: Submit
) -> Tally:
    """Check each ballot on a draft and enter its vote; gives the count. A ballot that was entered before changes
    nothing.

    A waiver's vote is closed as soon as it is decided, and the draft's copy of the ledger then shows it to those who
    approve.

    Raises:
        VerifyError: `release.vote-on-other-proposal`, `release.signature-…` for an approval whose model signature is
        missing
            or wrong, `ledger.bad-cosignature`, or as the fold for a vote that may not stand. Ballots before it stay
            entered.
    """
    proposal = _proposal(folder)
    gates = waivable(folder, proposal)
    files = oms.resources(folder / "model")
    for ballot in ballots:
        consortium = state()
        if ballot.vote.subject not in (proposal.digest, *gates):
            raise VerifyError("release.vote-on-other-proposal", member=ballot.member, got=ballot.vote.subject)
        approval = ballot.vote.matter == "release" and ballot.vote.choice == "approve"
        if approval:
            _require_signature(ballot, files, consortium, proposal.digest)
        witnessed = _witnessed(folder, ballot, consortium) if ballot.cosignature else None
        submit(ballot.entry)
        path = folder / signature_name(ballot.member)
        if approval and ballot.signature:
            write_atomic(path, ballot.signature)
        elif ballot.vote.matter == "release":
            path.unlink(missing_ok=True)
        if witnessed:
            write_atomic(folder / "attest" / "witnessed", witnessed)
    if _close_waivers(gates, state=state, act=act, submit=submit):
        copy_ledger(ledger, folder)
    return state().tally(proposal.digest, matter="release")


def _proposal(folder: Path) -> Proposal:
    return Proposal.from_bytes(read_bytes(folder / "report" / "proposal.json"))


def waivable(folder: Path, proposal: Proposal) -> set[str]:
    """What a vote to waive a gate of this draft may be about."""
    verdicts = Verdicts.from_bytes(read_bytes(folder / "report" / "verdicts.json"))
    return {waiver_subject(proposal.verdicts, verdict.gate) for verdict in verdicts.verdicts}


def _require_signature(ballot: Ballot, files: dict[str, str], consortium: Consortium, proposal: str) -> None:
    if ballot.signature is None:
        raise VerifyError("release.signature-missing", signer=ballot.member)
    key = consortium.key(ballot.member, "release")
    if key is None or proposal not in consortium.proposals:
        raise VerifyError("release.no-release-key", signer=ballot.member)
    oms.verify(ballot.signature, files, key, signer=ballot.member)


def _witnessed(folder: Path, ballot: Ballot, consortium: Consortium) -> bytes:
    """The draft's ledger head with this ballot's cosignature beside those collected before."""
    path = folder / "attest" / "witnessed"
    note = Note.from_bytes(read_bytes(path if path.exists() else folder / "ledger" / "checkpoint"))
    origin = note.text.partition("\n")[0]
    line, name = Line.parse(ballot.cosignature or ""), witness_name(origin, ballot.member)
    cosigned_at(note.text, line, name, consortium.key(ballot.member, "witness") or "")
    log = [one for one in note.lines if one.name == origin]
    others = [one for one in note.lines if one.name not in (origin, name)]
    return Note(note.text, (*log, *sorted([*others, line], key=lambda one: one.name))).to_bytes()


def _close_waivers(subjects: set[str], *, state: State, act: Act, submit: Submit) -> bool:
    closed = False
    for subject in sorted(subjects):
        consortium = state()
        ballot = consortium.ballots.get(("waive", subject))
        outcome = consortium.tally(subject, matter="waive").outcome
        if ballot is not None and ballot.outcome is None and outcome is not None:
            submit(act(CloseVote(subject=subject, matter="waive", outcome=outcome)))
            closed = True
    return closed


def publish(folder: Path, *, ledger: Path, store: ObjectStore, state: State, act: Act, submit: Submit) -> Proposal:
    """Close the vote on a draft, and when it was approved, write CHECKSUMS and enter the release: the folder is the
    bundle.

    Safe to call again after a crash. Cosignatures of the head that come later are brought in by `copy_ledger`.

    Raises:
        VerifyError: `release.votes-missing` while the vote is undecided, `release.not-approved` when it was rejected.
    """
    proposal = _proposal(folder)
    tally = state().tally(proposal.digest, matter="release")
    standing = state().proposals[proposal.digest]
    outcome = standing.outcome or tally.outcome
    if outcome is None:
        raise VerifyError("release.votes-missing", missing=", ".join(tally.missing), needed=tally.needed)
    if outcome == "approved":
        unsigned = [one for one in tally.approved if not (folder / signature_name(one)).is_file()]
        if unsigned:
            raise VerifyError("release.signature-missing", signer=", ".join(unsigned))
    if standing.outcome is None:
        submit(act(CloseVote(subject=proposal.digest, matter="release", outcome=outcome)))
    if outcome == "rejected":
        raise VerifyError("release.not-approved", needed=tally.needed, approved=len(tally.approved))
    if standing.published is None:
        _finish_objects(folder, proposal, state(), store)
        submit(act(Publish(proposal=proposal.digest, checksums=write_checksums(folder))))
    copy_ledger(ledger, folder)
    return proposal


def _finish_objects(folder: Path, proposal: Proposal, consortium: Consortium, store: ObjectStore) -> None:
    """What the ledger names is there, and withheld evidence, which voters saw, is not."""
    for digest in (proposal.evidence, proposal.credit):
        if digest:
            (folder / "objects" / f"{hex_of(digest)}.json").unlink(missing_ok=True)
    for digest in consortium.objects:
        if digest not in (proposal.accord, proposal.digest):
            kind = "accord" if digest in consortium.accords else "objects"
            write_atomic(folder / kind / f"{hex_of(digest)}.json", store.get(digest))
    if (folder / "objects").is_dir() and not any((folder / "objects").iterdir()):
        (folder / "objects").rmdir()
