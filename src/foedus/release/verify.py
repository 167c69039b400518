"""The only verifier: of a bundle, a draft of one, a ledger or an accord. Reads files; believes nothing but the anchor.

The procedure for a bundle, each step a few lines of the answer:

    (1)  practice      the accord says whether one process held every key; then everything below shows form only
    (2)  anchor        the first accord is the one that the reader already knew; never taken from the bundle
    (3)  ledger        files, checkpoint, root, entries, order; agrees with every older checkpoint that the reader kept;
                       its head is not later than the reader's own time
    (4)  fold          every entry signed by its author and allowed when it was made; who is who
    (5)  witnesses     how many members cosigned the head
    (6)  proposal      what the members voted on is in the ledger, under a ratified accord, from a run that was closed
    (7)  files         every file is the proposed one; the model's root; nothing unlisted
    (8)  cards         each data card is the registered one
    (9)  evidence      the examination is the one entered in the ledger; every estimate and n follows from its counts
    (10) gates         every gate of the accord is judged anew, on these files and figures, with the accord's thresholds
    (11) credit        its sums
    (12) documents     attestation and model card say what the evidence says
    (13) votes         counted anew by the fold; they name this proposal
    (14) signatures    every approver signed this model with its release key
    (15) checksums     published as they are
    (16) freshness     not revoked as of the checkpoint, which is no older than the accord allows

What members saw and signed and is not recomputed here is `recorded`; what only the coordinator says is `claimed`.
Neither is ever `ok`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from foedus.core.checks import Check, ok
from foedus.core.errors import CallerError, VerifyError
from foedus.core.files import read_bytes
from foedus.ledger.consortium import RunState
from foedus.records.accord import Accord
from foedus.records.evidence import DataCard
from foedus.records.release import Proposal
from foedus.release import oms
from foedus.release.bundle import opened
from foedus.release.check_contents import require_accord, require_cards, require_files, require_run
from foedus.release.check_evidence import check_evidence
from foedus.release.check_ledger import read_ledger
from foedus.release.check_votes import (
    check_freshness,
    check_witnessed,
    require_checksums,
    require_signatures,
    require_votes,
)
from foedus.release.known import Known
from foedus.release.reading import claimed_leaves, named_objects, parsed, stored
from foedus.release.report import (
    Asked,
    Outcome,
    Report,
    Seen,
    Stop,
    Verification,
    headline_of,
    require_same,
    verdict,
    with_checks,
)
from foedus.workspace.journal import read_journal

__all__ = [
    "Verification",
    "remembered_anchor",
    "verify_accord",
    "verify_bundle",
    "verify_journal",
    "verify_ledger",
    "with_checks",
]


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
        CallerError: `files.missing` or `release.no-bundle` when there is nothing to check, `release.no-ledger` when
            `ledger` is none, `release.known-malformed` for what the reader remembers. All else is a failed check.
    """
    if ledger is not None and not (ledger / "checkpoint").is_file():
        raise CallerError("release.no-ledger", path=str(ledger))
    asked = Asked(anchor, since, at, allow_stale, Known(known_heads).required(), ledger)
    report = Report()
    seen = Seen()
    try:
        with report.step("release.layout", needed=True), opened(path) as folder:
            report.add(ok("release.layout"))
            _check(folder, asked, report, seen, draft=draft)
    except Stop:
        pass
    return verdict("draft" if draft else "release", asked, report, seen)


def _check(folder: Path, asked: Asked, report: Report, seen: Seen, *, draft: bool) -> None:
    objects = named_objects(folder, asked.ledger)
    # (1) practice
    with report.step("release.accord-file", needed=True):
        accord = parsed(folder, "accord/accord.json", Accord)
        seen.proposal = parsed(folder, "report/proposal.json", Proposal)
        require_same("release.other-accord", seen.proposal.accord, accord.digest)
        seen.accord, seen.practice = accord, accord.custody == "one-process"
    if seen.practice:
        report.checks.insert(0, Check("release.practice", "warn"))
    # (2) – (5) anchor, ledger, fold, witnesses
    consortium = read_ledger(folder / "ledger", accord, objects, asked, report, seen)
    # (6) proposal
    proposal = seen.proposal
    standing = consortium.proposals[proposal.digest]
    with report.step("release.accord"):
        require_accord(proposal, accord, consortium)
    run: RunState | None = None
    with report.step("release.run"):
        run = require_run(proposal, consortium)
    # (7) files
    with report.step("release.files"):
        require_files(folder, proposal)
    with report.step("release.model"):
        files = oms.resources(folder / "model")
        require_same("release.model-changed", proposal.model, oms.root(files))
    # (8) cards
    cards: dict[str, DataCard] = {}
    with report.step("release.cards"):
        cards = require_cards(folder, proposal, run, consortium)
    # (9) evidence, (10) gates, (11) credit, (12) documents
    check_evidence(folder, proposal, accord, consortium, cards, run, report)
    if draft:
        return
    # (13) votes, (14) signatures, (15) checksums, (16) freshness
    with report.step("release.votes"):
        require_votes(standing, consortium, report)
    with report.step("release.signatures"):
        require_signatures(folder, standing, consortium, report)
    with report.step("release.witnessed"):
        check_witnessed(folder, standing, consortium, seen, report)
    with report.step("release.checksums"):
        require_checksums(folder, standing)
    with report.step("release.standing"):
        check_freshness(standing, consortium, accord, asked, report, seen)


# ── a ledger, an accord, a journal ───────────────────────────────────────────


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
    asked = Asked(anchor, since, at, allow_stale=True, known=Known(known_heads).required())
    report, seen = Report(), Seen()
    find = stored(objects or folder.parent / "objects")
    try:
        with report.step("release.accord-file", needed=True):
            accord = _accord_of(folder, anchor, find)
            seen.accord, seen.practice = accord, accord.custody == "one-process"
        if seen.practice:
            report.checks.insert(0, Check("release.practice", "warn"))
        read_ledger(folder, accord, find, asked, report, seen)
    except Stop:
        pass
    return verdict("ledger", asked, report, seen)


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
    asked = Asked(anchor, None, at, allow_stale=True, known=Known(None))
    report, seen = Report(), Seen()
    try:
        with report.step("release.accord-file", needed=True):
            accord = Accord.from_bytes(read_bytes(path, limit_bytes=1 << 24))
            seen.accord, seen.practice = accord, accord.custody == "one-process"
        with report.step("release.anchor"):
            if anchor:
                require_same("release.not-the-anchor", anchor, accord.digest)
                report.add(ok("release.anchor", anchor=anchor))
            else:
                report.add(Check("release.unanchored", "warn", {"anchor": accord.digest}))
        report.add(Check("release.signatures-elsewhere", "not-measured"))
    except Stop:
        pass
    return verdict("accord", asked, report, seen)


def verify_journal(path: Path) -> Verification:
    """Check a member's journal: whole lines, numbered, each naming the one before. Nobody else has signed it."""
    report, seen = Report(), Seen()
    with report.step("release.journal"):
        seen.size = len(read_journal(path))
    failed = report.failed
    code = failed.error.code if failed and failed.error else "verified"
    outcome: Outcome = "refused" if failed else "verified"
    return Verification("journal", tuple(report.checks), outcome, code, headline_of("journal", code, failed, seen))


def remembered_anchor(path: Path, known: Known) -> str | None:
    """The anchor that the reader took up for the consortium that a bundle claims to be of; none when it took up
    none.
    """
    with opened(path) as folder:
        return known.anchor(parsed(folder, "accord/accord.json", Accord).origin)
