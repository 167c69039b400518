"""A release as reports see it: what its verification found, and the documents that it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from foedus.core.clock import spell
from foedus.core.errors import FoedusError, VerifyError
from foedus.core.files import read_bytes
from foedus.ledger.leaf import Leaf
from foedus.records.accord import Accord
from foedus.records.base import Record
from foedus.records.evidence import CreditReport, DataCard, Examination, Verdicts
from foedus.records.release import Proposal
from foedus.release.bundle import opened
from foedus.release.propose import open_card
from foedus.release.reading import claimed_leaves, kept_object
from foedus.release.verify import Verification, verify_bundle

__all__ = ["Released", "checks_of", "head", "look", "require_verified", "times_of"]

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Released:
    """A bundle after its verification. Of a refused one, what could not be read is None or empty."""

    path: Path
    seen: Verification
    at: datetime
    accord: Accord | None = None
    proposal: Proposal | None = None
    verdicts: Verdicts | None = None
    examination: Examination | None = None
    credit: CreditReport | None = None
    cards: dict[str, DataCard] = field(default_factory=dict)
    checksums: str | None = None
    leaves: tuple[Leaf, ...] = ()

    @property
    def name(self) -> str:
        """NAME-VERSION as the proposal has it; the file's name where there is none to read."""
        one = self.proposal
        return f"{one.name}-{one.version}" if one else self.path.name.removesuffix(".foedus")


def look(
    path: Path,
    *,
    anchor: str | None,
    at: datetime,
    ledger: Path | None = None,
    find: Callable[[str], bytes | None] = lambda _: None,
    **options: Any,
) -> Released:
    """Verify a bundle, folder or zip, and read what it holds. `options` are those of `verify_bundle`.

    `find` gives objects by digest that a bundle may withhold: the credit and the figures of single members.

    Raises:
        CallerError: `files.missing`, `release.no-bundle`. A failed check raises nothing here: see `require_verified`.
    """
    seen = verify_bundle(path, anchor=anchor, at=at, ledger=ledger, **options)
    try:
        with opened(path) as folder:
            return _read(path, folder, seen, at, ledger, find)
    except VerifyError:  # not even its layout holds: the verification says why
        return Released(path, seen, at)


def require_verified(released: Released) -> None:
    """VerifyError with what the first failed check says; `report.not-verified` when nothing decides that it holds."""
    seen = released.seen
    if seen.outcome == "verified":
        return
    failed = next(iter(seen.failures), None)
    if failed and failed.error:
        raise failed.error
    raise VerifyError("report.not-verified", code=seen.code, headline=seen.headline)


def _read(
    path: Path,
    folder: Path,
    seen: Verification,
    at: datetime,
    ledger: Path | None,
    find: Callable[[str], bytes | None],
) -> Released:
    def document(kind: type[R], name: str) -> R | None:
        return _tried(lambda: kind.from_bytes(read_bytes(folder / name, limit_bytes=1 << 28)))

    def apart(kind: type[R], digest: str | None) -> R | None:
        data = (kept_object(folder, digest) or find(digest)) if digest else None
        return kind.from_bytes(data) if data else None

    proposal = document(Proposal, "report/proposal.json")
    found = {one.stem: _card(one) for one in sorted((folder / "cards").glob("*.json"))}
    checksums = next((s.published.checksums for s in _standing(seen, proposal) if s.published), None)
    return Released(
        path,
        seen,
        at,
        accord=document(Accord, "accord/accord.json"),
        proposal=proposal,
        verdicts=document(Verdicts, "report/verdicts.json"),
        examination=apart(Examination, proposal.evidence if proposal else None)
        or document(Examination, "report/examination.json"),
        credit=document(CreditReport, "report/credit.json")
        or apart(CreditReport, proposal.credit if proposal else None),
        cards={member: card for member, card in found.items() if card},
        checksums=checksums,
        leaves=tuple(_tried(lambda: claimed_leaves(ledger or folder / "ledger")) or ()),
    )


def _card(path: Path) -> DataCard | None:
    return _tried(lambda: open_card(read_bytes(path, limit_bytes=1 << 24)))


def _standing(seen: Verification, proposal: Proposal | None) -> list[Any]:
    found = seen.consortium.proposals.get(proposal.digest) if seen.consortium and proposal else None
    return [found] if found else []


V = TypeVar("V")


def _tried(read: Callable[[], V]) -> V | None:
    try:
        return read()
    except FoedusError:
        return None


# ── what every report of a release begins with ───────────────────────────────


def head(kind: str, released: Released) -> dict[str, Any]:
    """The kind, the time, and what the release is by name and digest; and what its verification came to."""
    seen, proposal, accord = released.seen, released.proposal, released.accord
    return {
        "foedus": 1,
        "kind": kind,
        "made_at": spell(released.at),
        "practice": seen.practice,
        "consortium": accord.name if accord else None,
        "accord": accord.digest if accord else None,
        "accord_version": accord.version if accord else None,
        "anchor": seen.consortium.anchor if seen.consortium else None,
        "release": {
            "name": released.name,
            "proposal": proposal.digest if proposal else None,
            "model": proposal.model if proposal else None,
            "state": proposal.state if proposal else None,
            "base": proposal.base if proposal else None,
            "run": proposal.run if proposal else None,
            "previous": proposal.previous if proposal else None,
            "checksums": released.checksums,
        },
        "verification": {
            "outcome": seen.outcome,
            "code": seen.code,
            "size": seen.consortium.size if seen.consortium else 0,
            "recorded_at": seen.consortium.recorded_at if seen.consortium else None,
            "checks": checks_of(seen),
        },
    }


def checks_of(seen: Verification) -> list[dict[str, Any]]:
    """The lines of a verification as data: enough to say them in either language."""
    return [
        {
            "name": check.name,
            "outcome": check.outcome,
            "fields": {key: str(value) for key, value in check.fields.items()},
            "error": {
                "code": check.error.code,
                "fields": {key: str(value) for key, value in check.error.fields.items()},
            }
            if check.error
            else None,
        }
        for check in seen.checks
    ]


def times_of(leaves: tuple[Leaf, ...]) -> dict[int, str]:
    """Entry's index → when it was recorded."""
    return {leaf.index: leaf.recorded_at for leaf in leaves}
