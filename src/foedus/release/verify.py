"""The only verifier: of a bundle, a draft of one, a ledger or an accord. Reads files; believes nothing but the anchor.

The procedure for a bundle, each step a few lines of the answer:

    (1)  practice      the accord says whether one process held every key; then everything below shows form only
    (2)  anchor        the first accord is the one that the reader already knew; never taken from the bundle
    (3)  ledger        files, checkpoint, root, entries, order; agrees with every older checkpoint that the reader kept
    (4)  fold          every entry signed by its author and allowed when it was made; who is who
    (5)  witnesses     how many members cosigned the head
    (6)  proposal      what the members voted on is in the ledger, under a ratified accord, from a run that was closed
    (7)  files         every file is the proposed one; the model's root; nothing unlisted
    (8)  cards         each data card is the registered one
    (9)  evidence      the figures are those entered in the ledger
    (10) gates         every gate of the accord is judged anew, on these files and figures, with the accord's thresholds
    (11) credit        its sums
    (12) documents     attestation and model card say what the evidence says
    (13) votes         counted anew by the fold; they name this proposal
    (14) signatures    every approver signed this model with its release key
    (15) checksums     published as they are
    (16) freshness     not revoked as of the checkpoint, which is no older than the accord allows

What is signed by someone and not recomputed here is `recorded`; it is never `ok`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Literal

from foedus.core.checks import Check, ok
from foedus.core.clock import parse
from foedus.core.digest import hex_of, sha256, sha256_file
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError, FoedusError, VerifyError
from foedus.core.files import read_bytes
from foedus.core.messages import error_text, say
from foedus.core.objects import ObjectStore
from foedus.gates import all_clear, cleared, judge, waiver_subject
from foedus.ledger import Leaf, merkle, verify_structure, verify_witnesses
from foedus.ledger.consortium import Consortium, ProposalState, RunState
from foedus.ledger.fold import resolve
from foedus.ledger.note import Checkpoint, Line, Note, cosigned_at, require_head
from foedus.records.accord import Accord
from foedus.records.acts import Propose
from foedus.records.evidence import CreditReport, DataCard, Examination, Verdict, Verdicts
from foedus.records.release import Proposal
from foedus.release import intoto, modelcard, oms
from foedus.release.bundle import compare_checksums, files_of, opened, signature_name
from foedus.release.known import Known
from foedus.release.ledgers import claimed_leaves
from foedus.release.propose import inspected, open_card, proposed_files, published_examination, published_verdicts
from foedus.workspace.journal import read_journal

__all__ = [
    "Verification",
    "remembered_anchor",
    "verify_accord",
    "verify_bundle",
    "verify_journal",
    "verify_ledger",
    "with_replay",
]

Outcome = Literal["verified", "refused", "undecided"]


@dataclass(frozen=True, slots=True)
class Verification:
    """Every check, and what they come to. `code` is stable: `verified`, `unanchored`, `stale`, or that of the first
    failure.
    """

    what: Literal["release", "draft", "ledger", "accord", "journal"]
    checks: tuple[Check, ...]
    outcome: Outcome
    code: str
    headline: str
    practice: bool = False
    proposal: Proposal | None = None
    consortium: Consortium | None = None

    @property
    def exit_code(self) -> int:
        """0 when verified; 6 when refused or not decided."""
        return 0 if self.outcome == "verified" else 6

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not hold."""
        return tuple(check for check in self.checks if check.outcome == "fail")


class _Stop(Exception):  # noqa: N818 - ends the steps; never leaves this module
    """Nothing further can be checked."""


@dataclass(slots=True)
class _Report:
    """The checks so far."""

    checks: list[Check] = field(default_factory=list)

    def add(self, *checks: Check) -> None:
        self.checks += checks

    @contextmanager
    def step(self, name: str, *, needed: bool = False) -> Iterator[None]:
        """What fails inside becomes the failed check `name`; without a failure and without a line of its own, it held.

        `needed`: nothing after it can be checked without it.
        """
        before = len(self.checks)
        try:
            yield
        except FoedusError as error:
            self.add(Check(name, "fail", dict(error.fields), error))
            if needed:
                raise _Stop from error
        else:
            if len(self.checks) == before:
                self.add(ok(name))

    @property
    def failed(self) -> Check | None:
        return next((check for check in self.checks if check.outcome == "fail"), None)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the reader brings."""

    anchor: str | None
    since: bytes | None
    at: datetime
    allow_stale: bool
    known: Known
    ledger: Path | None = None


# ── a bundle ─────────────────────────────────────────────────────────────────


def verify_bundle(
    path: Path,
    *,
    anchor: str | None,
    at: datetime,
    since: bytes | None = None,
    ledger: Path | None = None,
    allow_stale: bool = False,
    known_heads: Path | None = None,
    draft: bool = False,
) -> Verification:
    """Check a release bundle (folder or zip), or with `draft` one that is still to be voted on.

    Args:
        path: the bundle.
        anchor: the digest of the first accord, known from elsewhere than the bundle; without it nothing is decided.
        at: the time at which it must be fresh.
        since: a checkpoint of this ledger that the reader kept.
        ledger: a newer copy of the ledger's folder, which must extend the bundle's.
        allow_stale: accept a checkpoint older than the accord's `release.fresh_days`.
        known_heads: a file in which the highest checkpoint seen is remembered, an anchor each.
        draft: leave out votes, signatures and checksums, which do not exist yet.

    Raises:
        CallerError: `files.missing` or `release.no-bundle` when there is nothing to check. All else is a failed check.
    """
    asked = _Asked(anchor, since, at, allow_stale, Known(known_heads), ledger)
    report = _Report()
    seen = _Seen()
    try:
        with report.step("release.layout", needed=True), opened(path) as folder:
            report.add(ok("release.layout"))
            _check(folder, asked, report, seen, draft=draft)
    except _Stop:
        pass
    return _verdict("draft" if draft else "release", asked, report, seen)


@dataclass(slots=True)
class _Seen:
    """What the steps found out, for the ones after them."""

    accord: Accord | None = None
    consortium: Consortium | None = None
    proposal: Proposal | None = None
    leaves: list[Leaf] = field(default_factory=list)
    size: int = 0
    recorded_at: str = ""
    practice: bool = False
    stale: bool = False


def _check(folder: Path, asked: _Asked, report: _Report, seen: _Seen, *, draft: bool) -> None:
    objects = _objects(folder, asked.ledger)
    # (1) practice
    with report.step("release.accord-file", needed=True):
        accord = Accord.from_bytes(_read(folder, "accord/accord.json"))
        seen.proposal = Proposal.from_bytes(_read(folder, "report/proposal.json"))
        _require_same("release.other-accord", seen.proposal.accord, accord.digest)
        seen.accord, seen.practice = accord, accord.custody == "one-process"
    if seen.practice:
        report.checks.insert(0, Check("release.practice", "warn"))
    # (2) – (5) anchor, ledger, fold, witnesses
    consortium = _read_ledger(folder / "ledger", accord, objects, asked, report, seen)
    # (6) proposal
    proposal = seen.proposal
    standing = consortium.proposals[proposal.digest]
    with report.step("release.accord"):
        _require_accord(proposal, accord, consortium)
    run: RunState | None = None
    with report.step("release.run"):
        run = _require_run(proposal, consortium)
    # (7) files
    with report.step("release.files"):
        _require_files(folder, proposal)
    with report.step("release.model"):
        files = oms.resources(folder / "model")
        _require_same("release.model-changed", proposal.model, oms.root(files))
    # (8) cards
    cards: dict[str, DataCard] = {}
    with report.step("release.cards"):
        cards = _require_cards(folder, proposal, run, consortium)
    # (9) evidence, (10) gates, (11) credit, (12) documents
    _check_evidence(folder, proposal, accord, consortium, cards, report)
    if draft:
        return
    # (13) votes, (14) signatures, (15) checksums, (16) freshness
    with report.step("release.votes"):
        _require_votes(standing, consortium, report)
    with report.step("release.signatures"):
        _require_signatures(folder, standing, consortium, report)
    with report.step("release.witnessed"):
        _check_witnessed(folder, standing, consortium, seen, report)
    with report.step("release.checksums"):
        _require_checksums(folder, standing)
    with report.step("release.standing"):
        _check_freshness(standing, consortium, accord, asked, report, seen)


# ── (2) – (5) anchor, ledger, fold, witnesses ────────────────────────────────


def _read_ledger(
    folder: Path,
    accord: Accord,
    objects: Callable[[str], bytes | None],
    asked: _Asked,
    report: _Report,
    seen: _Seen,
) -> Consortium:
    with report.step("release.anchor", needed=True):
        genesis = _genesis(asked.anchor, accord, objects)
        if asked.anchor:
            report.add(ok("release.anchor", anchor=asked.anchor))
        else:
            report.add(Check("release.unanchored", "warn", {"anchor": genesis.digest}))
    with report.step("ledger.checkpoint", needed=True):
        log_key = genesis.coordinator.keys.log  # it never changes: the fold refuses that
        checks, leaves = verify_structure(folder, log_key=log_key, origin=genesis.origin, since=asked.since)
        report.add(*checks)
    if not leaves:
        raise _Stop
    checkpoint = read_bytes(folder / "checkpoint")
    if asked.ledger:
        with report.step("ledger.checkpoint", needed=True):
            more, newer = verify_structure(asked.ledger, log_key=log_key, origin=genesis.origin, since=checkpoint)
            report.add(*more)
        if not newer:
            raise _Stop
        leaves, checkpoint = newer, read_bytes(asked.ledger / "checkpoint")
    seen.leaves = leaves
    seen.size, seen.recorded_at = len(leaves), leaves[-1].recorded_at
    if seen.proposal:
        with report.step("release.proposal", needed=True):
            _require_proposed(seen.proposal, leaves)
    with report.step("release.known-head"):
        _compare_known(genesis.digest, leaves, asked, report, seen)
    with report.step("release.fold", needed=True):
        consortium = resolve(leaves, objects=objects, anchor=genesis.digest)
        report.add(ok("release.fold", entries=len(leaves), members=len(consortium.members)))
        seen.consortium = consortium
    with report.step("release.frozen"):
        for actor, proof in consortium.frozen.items():
            report.add(Check("release.frozen-actor", "warn", {"actor": actor, "number": proof.number}))
    witnesses = {m.name: key for m in accord.members if (key := consortium.key(m.name, "witness"))}
    need = accord.ledger.witnesses_needed(len(accord.members))
    report.add(*verify_witnesses(checkpoint, origin=genesis.origin, witnesses=witnesses, needed=need))
    if asked.anchor and not report.failed:
        asked.known.remember(genesis.digest, checkpoint)
    return consortium


def _genesis(anchor: str | None, accord: Accord, objects: Callable[[str], bytes | None]) -> Accord:
    """The consortium's first accord: the anchor's, or without one where the accord's chain of `prev` begins."""
    if anchor:
        data = objects(anchor)
        if data is None:
            raise VerifyError("release.anchor-not-found", anchor=anchor)
        return Accord.from_bytes(data)
    first = accord
    while first.prev:
        data = objects(first.prev)
        if data is None:
            raise VerifyError("release.accord-missing", digest=first.prev)
        first = Accord.from_bytes(data)
    return first


def _require_proposed(proposal: Proposal, leaves: list[Leaf]) -> None:
    digest = proposal.digest
    if not any(leaf.entry.type == Propose.kind and leaf.entry.body.get("proposal") == digest for leaf in leaves):
        raise VerifyError("release.not-proposed", digest=digest)


def _compare_known(anchor: str, leaves: list[Leaf], asked: _Asked, report: _Report, seen: _Seen) -> None:
    """The highest head seen of this consortium: this ledger extends it, or is an older copy, or the log lied to
    someone.
    """
    data = asked.known.head(anchor)
    if data is None:
        return
    head = Checkpoint.parse(Note.from_bytes(data).text)
    if head.size > len(leaves):
        seen.stale = True
        report.add(Check("release.older-than-known", "warn", {"size": len(leaves), "known": head.size}))
    elif merkle.root(_hashes(leaves, head.size)) != head.root:
        raise VerifyError("release.forked", size=head.size)


# ── (6) proposal, accord, run ────────────────────────────────────────────────


def _require_accord(proposal: Proposal, accord: Accord, consortium: Consortium) -> None:
    digest = consortium.accord_digest
    while digest and digest != accord.digest:
        digest = consortium.accords[digest].prev
    if digest is None:
        raise VerifyError("release.accord-not-in-force", digest=accord.digest)
    _require_same("release.other-custody", accord.custody, proposal.custody)
    _require_same("release.other-base", accord.base.pin, proposal.base)


def _require_run(proposal: Proposal, consortium: Consortium) -> RunState:
    run = consortium.runs.get(proposal.run)
    if run is None or run.close is None or run.close.outcome == "failed":
        raise VerifyError("release.run-not-closed", run=proposal.run)
    _require_same("release.other-accord", proposal.accord, run.accord)
    _require_same("release.other-state", run.close.state, proposal.state)
    _require_same("release.other-state", run.state_after(run.close.released_round), proposal.state)
    return run


def _require_same(code: str, expected: object, got: object) -> None:
    if expected != got:
        raise VerifyError(code, expected=expected, got=got)


# ── (7) files, (8) cards ─────────────────────────────────────────────────────


def _require_files(folder: Path, proposal: Proposal) -> None:
    found = proposed_files(folder)
    for name in sorted(found.keys() | proposal.files.keys()):
        if name not in found:
            raise VerifyError("release.file-missing", path=name)
        if name not in proposal.files:
            raise VerifyError("release.file-unlisted", path=name)
        if found[name] != proposal.files[name]:
            raise VerifyError("release.file-changed", path=name, expected=proposal.files[name], got=found[name])
    for name in files_of(folder):
        kind, _, rest = name.partition("/")
        by_digest = kind == "objects" or (kind == "accord" and rest != "accord.json")
        if by_digest and (got := hex_of(sha256_file(folder / name))) != rest.removesuffix(".json"):
            raise VerifyError("release.file-changed", path=name, expected=rest.removesuffix(".json"), got=got)


def _require_cards(
    folder: Path, proposal: Proposal, run: RunState | None, consortium: Consortium
) -> dict[str, DataCard]:
    """Every card is named by the proposal and registered for the run; every member of the roster has one."""
    cards: dict[str, DataCard] = {}
    digests = []
    for path in sorted((folder / "cards").glob("*.json")):
        member, data = path.stem, read_bytes(path, limit_bytes=1 << 24)
        digests.append(sha256(data))
        card = open_card(data)
        held = consortium.cards.get(member)
        registered = run.cards.get(member) if run else None
        if registered is None and held and held.act.card == sha256(data):
            registered = held.act  # an auditor's: it is on no roster
        if registered is None or registered.card != sha256(data):
            raise VerifyError("release.card-not-registered", member=member)
        said = (card.member, card.name, card.licence, card.consent, card.commitments)
        _require_same(
            "release.card-differs",
            (member, registered.name, registered.licence, registered.consent, registered.parts),
            said,
        )
        if (train := card.parts.get("train")) and train.examples != registered.examples:
            raise VerifyError("release.card-differs", expected=registered.examples, got=train.examples)
        cards[member] = card
    _require_same("release.other-cards", list(proposal.cards), digests)
    for member in run.opened.roster if run else ():
        if member not in cards:
            raise VerifyError("release.card-missing", member=member)
    return cards


# ── (9) evidence, (10) gates, (11) credit, (12) documents ────────────────────


def _check_evidence(
    folder: Path,
    proposal: Proposal,
    accord: Accord,
    consortium: Consortium,
    cards: Mapping[str, DataCard],
    report: _Report,
) -> None:
    found: list[Examination] = []
    with report.step("release.evidence"):
        found.append(_require_evidence(folder, proposal, accord, consortium, report))
    if not found:
        return
    (examination,) = found
    with report.step("release.gates"):
        verdicts = _require_verdicts(folder, proposal, accord, consortium, examination, report)
        with report.step("release.attestation"):
            _require_attestation(folder, proposal, verdicts, accord, consortium)
    with report.step("release.credit"):
        _require_credit(folder, proposal, accord, report)
    with report.step("release.card"):
        anchor = consortium.anchor or accord.digest
        shown = modelcard.Facts(accord, anchor, proposal.name, proposal.version, proposal.run, examination, cards)
        text = read_bytes(folder / "model" / "README.md", limit_bytes=1 << 24).decode("utf-8", "replace")
        if modelcard.read_header(text) != modelcard.header(shown):
            raise VerifyError("release.card-not-of-this-release")
        if accord.custody == "one-process" and "**" not in text.partition("\n---\n")[2].lstrip()[:2]:
            raise VerifyError("release.card-hides-practice")


def _require_evidence(
    folder: Path, proposal: Proposal, accord: Accord, consortium: Consortium, report: _Report
) -> Examination:
    entered = consortium.evidence.get(proposal.evidence)
    if entered is None or entered.run != proposal.run:
        raise VerifyError("release.evidence-not-entered", digest=proposal.evidence)
    _require_same("release.other-credit", entered.credit, proposal.credit)
    public = Examination.from_bytes(_read(folder, "report/examination.json"))
    whole = _object(folder, proposal.evidence)
    examination = Examination.from_bytes(whole) if whole else public
    _require_same("release.other-state", proposal.state, examination.state)
    if accord.release.figures == "published" or whole:
        _require_same("release.other-evidence", proposal.evidence, examination.digest)
        _require_same("release.other-evidence", published_examination(accord, examination).digest, public.digest)
        report.add(ok("release.evidence"))
    _require_same("release.other-evidence", published_examination(accord, public), public)
    report.add(Check("release.figures", "recorded", {"figures": len(examination.figures)}))
    return examination


def _require_verdicts(
    folder: Path,
    proposal: Proposal,
    accord: Accord,
    consortium: Consortium,
    examination: Examination,
    report: _Report,
) -> tuple[Verdict, ...]:
    """The signed verdicts are those that the gates give anew, and together they let the model through."""
    signed = Verdicts.from_bytes(_read(folder, "report/verdicts.json"))
    _require_same("release.other-verdicts", proposal.verdicts, signed.digest)
    entered = consortium.verdicts.get(signed.digest)
    if entered is None or (entered.run, entered.model) != (proposal.run, proposal.model):
        raise VerifyError("release.verdicts-not-entered", digest=signed.digest)
    said = (signed.run, signed.accord, signed.model, signed.evidence)
    _require_same("release.other-verdicts", (proposal.run, proposal.accord, proposal.model, proposal.evidence), said)
    partly = accord.release.figures == "withheld" and examination.digest != proposal.evidence
    again = published_verdicts(accord, judge(accord, examination, inspected(accord, folder / "model")))
    for clause in accord.gates:
        ours = [verdict for verdict in again if verdict.gate == clause.name]
        theirs = [verdict for verdict in signed.verdicts if verdict.gate == clause.name]
        if not theirs:
            raise VerifyError("release.gate-left-out", gate=clause.name)
        if partly and any(verdict.member for verdict in ours):
            _require_same("release.gate-left-out", [v.member for v in ours], [v.member for v in theirs])
            report.add(Check("release.gate", "recorded", {"gate": clause.name, "outcome": _worst(theirs)}))
            continue
        if ours != theirs:
            raise VerifyError("release.verdict-differs", gate=clause.name, expected=_worst(ours), got=_worst(theirs))
        report.add(ok("release.gate", gate=clause.name, outcome=_worst(theirs)))
    if len(signed.verdicts) != len(again):
        raise VerifyError("release.verdict-of-no-gate", expected=len(again), got=len(signed.verdicts))
    waived = waived_gates(consortium, signed.digest, accord)
    lines = cleared(accord, signed.verdicts, waived)
    for line in lines:
        if line.outcome == "waived":
            report.add(Check("release.waived", "warn", {"gate": line.gate}))
    if not all_clear(lines):
        gates = ", ".join(f"{line.gate} ({line.outcome})" for line in lines if not line.clear)
        raise VerifyError("release.gates-not-clear", gates=gates)
    report.add(ok("release.gates", count=len(lines)))
    return signed.verdicts


def waived_gates(consortium: Consortium, verdicts: str, accord: Accord) -> set[str]:
    """The gates of these verdicts that a closed vote waived."""
    return {
        gate.name
        for gate in accord.gates
        if (ballot := consortium.ballots.get(("waive", waiver_subject(verdicts, gate.name))))
        and ballot.outcome == "approved"
    }


def _worst(verdicts: list[Verdict]) -> str:
    outcomes = {verdict.outcome for verdict in verdicts}
    return next((outcome for outcome in ("fail", "inconclusive", "pass") if outcome in outcomes), "missing")


def _require_attestation(
    folder: Path, proposal: Proposal, verdicts: tuple[Verdict, ...], accord: Accord, consortium: Consortium
) -> None:
    envelope = Envelope.from_bytes(_read(folder, "attest/gates.test-result.dsse"))
    statement = intoto.statement(model=proposal.model, accord=proposal.accord, verdicts=verdicts)
    if envelope.payload != statement or envelope.payload_type != oms.IN_TOTO or len(envelope.signatures) != 1:
        raise VerifyError("release.attestation-differs")
    party = accord.coordinator.name
    held = {key for _, key in consortium.key_log.get((party, "act"), ())} | {accord.coordinator.keys.act}
    if not any(envelope.signed_by(key) for key in held):
        raise VerifyError("release.attestation-not-signed", who=party)


def _require_credit(folder: Path, proposal: Proposal, accord: Accord, report: _Report) -> None:
    """The sums hold; the values themselves are what the run recorded (`--replay` recomputes the run)."""
    if proposal.credit is None:
        if accord.credit.name != "none":
            raise VerifyError("release.credit-missing", method=accord.credit.name)
        return
    published = (folder / "report" / "credit.json").is_file()
    data = _read(folder, "report/credit.json") if published else _object(folder, proposal.credit)
    if data is None:
        if accord.release.figures == "withheld":
            report.add(Check("release.credit-values", "recorded"))
            return
        raise VerifyError("release.file-missing", path="report/credit.json")
    credit = CreditReport.from_bytes(data)
    _require_same("release.other-credit", proposal.credit, credit.digest)
    _require_same("release.other-credit", proposal.run, credit.run)
    unit = Fraction(1, 10**9)
    values = sum((Fraction(one.value) for one in credit.credits), Fraction())
    _require_sum("total", Fraction(credit.start_loss) - Fraction(credit.released_loss), credit.total, 2 * unit)
    _require_sum("residual", Fraction(credit.total) - values, credit.residual, (len(credit.credits) + 1) * unit)
    _require_sum("tolerance", Fraction(), credit.residual, Fraction(credit.tolerance))
    for one in credit.credits:
        by_round = sum(map(Fraction, one.by_round), Fraction())
        _require_sum(one.member, by_round, one.value, (len(one.by_round) + 1) * unit)
    report.add(ok("release.credit"), Check("release.credit-values", "recorded"))


def _require_sum(what: str, expected: Fraction, got: str, slack: Fraction) -> None:
    if abs(expected - Fraction(got)) > slack:
        raise VerifyError("release.credit-does-not-add-up", what=what, expected=f"{float(expected):.9f}", got=got)


# ── (13) votes, (14) signatures, (15) checksums, (16) freshness ──────────────


def _require_votes(standing: ProposalState, consortium: Consortium, report: _Report) -> None:
    """The fold counted the votes when the vote was closed, and refuses a close that they do not bear out."""
    tally = consortium.tally(standing.digest, matter="release")
    approved = sorted(member for member, choice in standing.votes.items() if choice == "approve")
    objected = sorted(member for member, choice in standing.votes.items() if choice == "object")
    if standing.outcome != "approved":
        raise VerifyError("release.not-approved", needed=tally.needed, approved=len(approved))
    fields = {"approved": ", ".join(approved), "count": len(approved), "needed": tally.needed}
    report.add(ok("release.votes", **fields))
    if objected:
        report.add(Check("release.objected", "warn", {"objected": ", ".join(objected)}))


def _require_signatures(folder: Path, standing: ProposalState, consortium: Consortium, report: _Report) -> None:
    approvers = sorted(member for member, choice in standing.votes.items() if choice == "approve")
    if not approvers:
        raise VerifyError("release.no-signature")
    files = oms.resources(folder / "model")
    for member in approvers:
        path = folder / signature_name(member)
        if not path.is_file():
            raise VerifyError("release.signature-missing", signer=member)
        data = read_bytes(path, limit_bytes=1 << 28)
        held = release_keys(consortium, member, standing.index)
        for index, key in enumerate(held, start=1):
            try:
                oms.verify(data, files, key, signer=member)
                break
            except VerifyError as error:
                if index == len(held) or error.code != "release.signature-wrong":
                    raise
        report.add(ok("release.signature", signer=member))
    for path in folder.glob("model.*.sig"):
        if path.name.removeprefix("model.").removesuffix(".sig") not in approvers:
            raise VerifyError("release.signature-of-nobody", path=path.name)
    report.add(ok("release.signatures"))


def release_keys(consortium: Consortium, member: str, index: int) -> list[str]:
    """The release keys of a member that were in force at entry `index` or later: the ones it can have approved with."""
    log = consortium.key_log.get((member, "release"), ())
    now = consortium.key_at(member, "release", index)
    found = [key for since, key in log if key == now or since >= index]
    if not found:
        raise VerifyError("release.no-release-key", signer=member)
    return found


def _check_witnessed(
    folder: Path, standing: ProposalState, consortium: Consortium, seen: _Seen, report: _Report
) -> None:
    """The head that voters cosigned: it is a prefix of this ledger, and holds the proposal."""
    path = folder / "attest" / "witnessed"
    if not path.is_file() or consortium.accord is None:
        report.add(Check("release.not-witnessed", "warn"))
        return
    note = Note.from_bytes(read_bytes(path, limit_bytes=1 << 16))
    accord, head = consortium.accord, Checkpoint.parse(note.text)
    require_head(note, origin=accord.origin, log_key=accord.coordinator.keys.log)
    if not standing.index < head.size <= len(seen.leaves) or merkle.root(_hashes(seen.leaves, head.size)) != head.root:
        raise VerifyError("release.forked", size=head.size)
    for line in note.lines[1:]:
        member = line.name.removeprefix(f"{accord.origin}/")
        held = {key for _, key in consortium.key_log.get((member, "witness"), ())}
        if not any(_cosigned(note.text, line, key) for key in held):
            raise VerifyError("ledger.bad-cosignature", name=line.name)
    report.add(ok("release.witnessed", count=len(note.lines) - 1, size=head.size))


def _cosigned(text: str, line: Line, key: str) -> bool:
    try:
        return bool(cosigned_at(text, line, line.name, key))
    except VerifyError:
        return False


def _hashes(leaves: list[Leaf], size: int) -> list[bytes]:
    return [merkle.leaf_hash(leaf.data) for leaf in leaves[:size]]


def _require_checksums(folder: Path, standing: ProposalState) -> None:
    data = compare_checksums(folder)
    if standing.published is None:
        raise VerifyError("release.not-published", digest=standing.digest)
    _require_same("release.checksums-not-published", standing.published.checksums, sha256(data))


def _check_freshness(
    standing: ProposalState, consortium: Consortium, accord: Accord, asked: _Asked, report: _Report, seen: _Seen
) -> None:
    if standing.revoked:
        raise VerifyError("release.revoked", reason=standing.revoked.reason)
    newer = [s for s in consortium.proposals.values() if s.published and s.proposal.previous == standing.digest]
    for other in newer:
        by = f"{other.proposal.name} {other.proposal.version}"
        report.add(Check("release.replaced", "warn", {"by": by}))
    day = seen.recorded_at[:10]
    fields: dict[str, object] = {"size": seen.size, "day": day, "days": accord.release.fresh_days}
    if asked.at - parse(seen.recorded_at) > timedelta(days=accord.release.fresh_days):
        seen.stale = True
        report.add(Check("release.stale", "warn", fields))
    else:
        report.add(ok("release.freshness", **fields))


# ── the answer ───────────────────────────────────────────────────────────────


def _verdict(
    what: Literal["release", "draft", "ledger", "accord"], asked: _Asked, report: _Report, seen: _Seen
) -> Verification:
    failed = report.failed
    outcome: Outcome = "verified"
    code = "verified"
    if failed:
        outcome, code = "refused", failed.error.code if failed.error else failed.name
    elif asked.anchor is None:
        outcome, code = "undecided", "unanchored"
    elif seen.stale and not asked.allow_stale:
        outcome, code = "undecided", "stale"
    headline = _headline(what, code, failed, seen)
    return Verification(
        what, tuple(report.checks), outcome, code, headline, seen.practice, seen.proposal, seen.consortium
    )


def _headline(what: str, code: str, failed: Check | None, seen: _Seen) -> str:
    if failed and failed.error:
        return say(f"verify.headline.{what}.refused", got=error_text(failed.error).got, code=code)
    if failed:
        return say(f"verify.headline.{what}.refused", got=failed.text, code=code)
    if code in ("unanchored", "stale"):
        return say(f"verify.headline.{what}.{code}", size=seen.size, day=seen.recorded_at[:10])
    accord, proposal = seen.accord, seen.proposal
    return say(
        f"verify.headline.{what}.verified",
        name=f"{proposal.name} {proposal.version}" if proposal else "",
        consortium=accord.name if accord else "",
        members=len(accord.members) if accord else 0,
        size=seen.size,
        day=seen.recorded_at[:10],
    )


# ── a ledger, an accord ──────────────────────────────────────────────────────


def verify_ledger(
    folder: Path,
    *,
    anchor: str | None,
    at: datetime,
    since: bytes | None = None,
    objects: Path | None = None,
    known_heads: Path | None = None,
) -> Verification:
    """Check a ledger's folder: structure, authors, and what it amounts to.

    `objects` is the store of the accords and proposals that it names; by default `objects` beside the folder.
    """
    asked = _Asked(anchor, since, at, allow_stale=True, known=Known(known_heads))
    report, seen = _Report(), _Seen()
    find = _store(objects or folder.parent / "objects")
    try:
        with report.step("release.accord-file", needed=True):
            accord = _accord_of(folder, anchor, find)
            seen.accord, seen.practice = accord, accord.custody == "one-process"
        if seen.practice:
            report.checks.insert(0, Check("release.practice", "warn"))
        _read_ledger(folder, accord, find, asked, report, seen)
    except _Stop:
        pass
    return _verdict("ledger", asked, report, seen)


def _accord_of(folder: Path, anchor: str | None, find: Callable[[str], bytes | None]) -> Accord:
    """The anchor's accord, or the first one that the ledger's own entries name."""
    named = [anchor] if anchor else [leaf.entry.body.get("accord", "") for leaf in claimed_leaves(folder)[:1]]
    data = find(str(named[0])) if named else None
    if data is None:
        raise VerifyError("release.anchor-not-found", anchor=str(named[0]) if named else "")
    return Accord.from_bytes(data)


def verify_accord(path: Path, *, anchor: str | None, at: datetime) -> Verification:
    """Check an accord's signed form by itself: its bytes, and whether it is the anchor. Who signed it, the ledger
    says.
    """
    asked = _Asked(anchor, None, at, allow_stale=True, known=Known(None))
    report, seen = _Report(), _Seen()
    try:
        with report.step("release.accord-file", needed=True):
            accord = Accord.from_bytes(read_bytes(path, limit_bytes=1 << 24))
            seen.accord, seen.practice = accord, accord.custody == "one-process"
        with report.step("release.anchor"):
            if anchor:
                _require_same("release.not-the-anchor", anchor, accord.digest)
                report.add(ok("release.anchor", anchor=anchor))
            else:
                report.add(Check("release.unanchored", "warn", {"anchor": accord.digest}))
        report.add(Check("release.signatures-elsewhere", "not-measured"))
    except _Stop:
        pass
    return _verdict("accord", asked, report, seen)


def verify_journal(path: Path) -> Verification:
    """Check a member's journal: whole lines, numbered, each naming the one before. Nobody else has signed it."""
    report, seen = _Report(), _Seen()
    with report.step("release.journal"):
        seen.size = len(read_journal(path))
    failed = report.failed
    code = failed.error.code if failed and failed.error else "verified"
    outcome: Outcome = "refused" if failed else "verified"
    return Verification("journal", tuple(report.checks), outcome, code, _headline("journal", code, failed, seen))


def remembered_anchor(path: Path, known: Known) -> str | None:
    """The anchor that the reader took up for the consortium that a bundle claims to be of; none when it took up
    none.
    """
    with opened(path) as folder:
        return known.anchor(Accord.from_bytes(_read(folder, "accord/accord.json")).origin)


def with_replay(seen: Verification, checks: Sequence[Check]) -> Verification:
    """The same answer with the lines of a replay, which can only make it worse."""
    failed = next((check for check in checks if check.outcome == "fail"), None)
    more = replace(seen, checks=(*seen.checks, *checks))
    if failed is None or seen.outcome == "refused":
        return more
    code = failed.error.code if failed.error else failed.name
    got = error_text(failed.error).got if failed.error else failed.text
    return replace(
        more, outcome="refused", code=code, headline=say("verify.headline.release.refused", got=got, code=code)
    )


# ── reading ──────────────────────────────────────────────────────────────────


def _read(folder: Path, name: str) -> bytes:
    if not (folder / name).is_file():
        raise VerifyError("release.file-missing", path=name)
    return read_bytes(folder / name, limit_bytes=1 << 28)


def _object(folder: Path, digest: str) -> bytes | None:
    path = folder / "objects" / f"{hex_of(digest)}.json"
    data = read_bytes(path, limit_bytes=1 << 28) if path.is_file() else None
    return data if data is not None and sha256(data) == digest else None


def _objects(folder: Path, ledger: Path | None) -> Callable[[str], bytes | None]:
    """What the ledger names, from the bundle's own files by their digest, or from the store beside a newer ledger."""
    paths: dict[str, Path] = {}
    for kind in ("accord", "objects", "report", "cards"):
        for path in sorted((folder / kind).glob("*.json")):
            paths[sha256_file(path)] = path
    more = _store(ledger.parent / "objects") if ledger else None

    def find(digest: str) -> bytes | None:
        if path := paths.get(digest):
            return read_bytes(path, limit_bytes=1 << 28)
        return more(digest) if more else None

    return find


def _store(folder: Path) -> Callable[[str], bytes | None]:
    store = ObjectStore(folder)

    def find(digest: str) -> bytes | None:
        try:
            return store.get(digest) if digest in store else None
        except CallerError:
            return None

    return find
