"""Steps (13) to (16) of `verify`: votes, approvers' signatures, the head they cosigned, checksums, freshness."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from foedus.core.checks import Check, ok
from foedus.core.clock import parse
from foedus.core.digest import sha256
from foedus.core.errors import VerifyError
from foedus.core.files import read_bytes
from foedus.ledger import merkle
from foedus.ledger.consortium import Consortium, ProposalState
from foedus.ledger.note import Checkpoint, Line, Note, cosigned_at, require_head
from foedus.records.accord import Accord
from foedus.release import oms
from foedus.release.bundle import compare_checksums, signature_name
from foedus.release.check_ledger import leaf_hashes
from foedus.release.report import Asked, Report, Seen, require_same

__all__ = ["check_freshness", "check_witnessed", "require_checksums", "require_signatures", "require_votes"]


def require_votes(standing: ProposalState, consortium: Consortium, report: Report) -> None:
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


def require_signatures(folder: Path, standing: ProposalState, consortium: Consortium, report: Report) -> None:
    """Every approver signed this model with a release key of its own, and nobody else did."""
    approvers = sorted(member for member, choice in standing.votes.items() if choice == "approve")
    if not approvers:
        raise VerifyError("release.no-signature")
    files = oms.resources(folder / "model")
    for member in approvers:
        path = folder / signature_name(member)
        if not path.is_file():
            raise VerifyError("release.signature-missing", signer=member)
        data = read_bytes(path, limit_bytes=1 << 28)
        held = _release_keys(consortium, member, standing.index)
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


def _release_keys(consortium: Consortium, member: str, index: int) -> list[str]:
    """The release keys of a member that were in force at entry `index` or later: the ones it can have approved with."""
    log = consortium.key_log.get((member, "release"), ())
    now = consortium.key_at(member, "release", index)
    found = [key for since, key in log if key == now or since >= index]
    if not found:
        raise VerifyError("release.no-release-key", signer=member)
    return found


def check_witnessed(folder: Path, standing: ProposalState, consortium: Consortium, seen: Seen, report: Report) -> None:
    """The head that voters cosigned: it is a prefix of this ledger, and holds the proposal."""
    path = folder / "attest" / "witnessed"
    if not path.is_file() or consortium.accord is None:
        report.add(Check("release.not-witnessed", "warn"))
        return
    note = Note.from_bytes(read_bytes(path, limit_bytes=1 << 16))
    accord, head = consortium.accord, Checkpoint.parse(note.text)
    require_head(note, origin=accord.origin, log_key=accord.coordinator.keys.log)
    if (
        not standing.index < head.size <= len(seen.leaves)
        or merkle.root(leaf_hashes(seen.leaves, head.size)) != head.root
    ):
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


def require_checksums(folder: Path, standing: ProposalState) -> None:
    """CHECKSUMS holds, and is the one that was published."""
    data = compare_checksums(folder)
    if standing.published is None:
        raise VerifyError("release.not-published", digest=standing.digest)
    require_same("release.checksums-not-published", standing.published.checksums, sha256(data))


def check_freshness(
    standing: ProposalState, consortium: Consortium, accord: Accord, asked: Asked, report: Report, seen: Seen
) -> None:
    """Not revoked as of the checkpoint; replaced or stale is a warning."""
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
