"""A member's own counts in a draft, beside the reply that its own machine signed and keeps.

The figures of a draft follow from counts, and the counts are what the coordinator entered. Each member alone can tell
whether its own are those that its node sent: the evidence names the reply by digest, and the reply names the state that
was measured. Covers: counts, n or a state that another than this member's machine said. Does not cover: the counts of
other members, and the intervals, which `verify --replay` recomputes from everybody's replies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from foedus.core.checks import Check, ok
from foedus.core.digest import sha256
from foedus.core.errors import VerifyError
from foedus.core.objects import ObjectStore
from foedus.core.parcel import Parcel
from foedus.records.asks import Reply
from foedus.records.base import open_record
from foedus.records.evidence import Examination
from foedus.records.release import Proposal
from foedus.release.bundle import opened
from foedus.release.reading import kept_object, read
from foedus.release.report import Report, Verification, with_checks
from foedus.workspace import Workspace
from foedus.workspace.journal import read_journal

__all__ = ["with_own_figures"]


def with_own_figures(workspace: Workspace) -> Callable[[Path, Verification], Verification]:
    """A function that adds to the verification of a draft (its path) what this member's own replies say of it.

    `release.own-figures` holds or fails (`release.own-figures-differ`, `release.own-reply-differs`); a warning tells of
    a reply that was left out; where nothing is kept to compare with, `release.own-figures-not-compared` says so.
    """

    def compare(path: Path, seen: Verification) -> Verification:
        if seen.proposal is None or seen.consortium is None or seen.what != "draft":
            return seen
        report = Report()
        with report.step("release.own-figures"), opened(path) as folder:
            report.add(_compared(workspace, folder, seen.proposal, seen))
        return with_checks(seen, report.checks)

    return compare


def _compared(workspace: Workspace, folder: Path, proposal: Proposal, seen: Verification) -> Check:
    party = workspace.party
    entered = seen.consortium.evidence.get(proposal.evidence) if seen.consortium else None
    named = [one.reply for one in entered.replies if one.member == party] if entered else []
    kept = _measurements(workspace.folder / "node", proposal)
    if not kept:
        return Check("release.own-figures-not-compared", "not-measured", {"member": party, "run": proposal.run})
    if not named:
        return Check("release.own-figures-left-out", "warn", {"member": party, "run": proposal.run})
    if (mine := kept.get(named[0])) is None:
        raise VerifyError("release.own-reply-differs", member=party, expected=", ".join(kept), got=named[0])
    examination = Examination.from_bytes(
        kept_object(folder, proposal.evidence) or read(folder, "report/examination.json")
    )
    told = {one.n for one in examination.figures if one.member == party}
    sides = {
        "state": (mine.body.get("state"), examination.state),
        "n": ([mine.body.get("n")], sorted(told)),
        "counts": (mine.body.get("counts"), examination.counts.get(party)),
    }
    for what, (expected, got) in sides.items():
        if expected != got:
            raise VerifyError("release.own-figures-differ", member=party, what=what, expected=expected, got=got or "–")
    return ok("release.own-figures", member=party)


def _measurements(node: Path, proposal: Proposal) -> dict[str, Reply]:
    """This member's kept measurements of the proposed state, by the digest of the signed reply; of a run that another
    state was measured in, all of them.
    """
    found = dict(_measured_in(node, proposal.run))
    of_state = {name: reply for name, reply in found.items() if reply.body.get("state") == proposal.state}
    return of_state or found


def _measured_in(node: Path, run: str) -> Iterator[tuple[str, Reply]]:
    replies = ObjectStore(node / "replies")
    for line in read_journal(node / "journal.jsonl"):
        of_run = line.event == "answered" and line.place.rsplit("/", 3)[0] == run
        if not of_run or line.reply is None or line.reply not in replies:
            continue
        (document,) = Parcel.from_bytes(replies.get(line.reply)).documents
        reply = open_record(Reply, document)
        if "counts" in reply.body:
            yield sha256(document.to_bytes()), reply
