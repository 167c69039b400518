"""Whether a release may be served: verified before it is loaded, and looked at again as long as it is served.

The ledger is the newest of the bundle's own copy and the one that the server was told of (its workspace's, as a rule).
Reading it again costs two small files while nothing changed; once it changed, everything is verified again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from foedus.core.clock import parse, spell
from foedus.core.errors import CallerError, FoedusError, VerifyError
from foedus.core.files import read_bytes
from foedus.ledger.consortium import Consortium
from foedus.records.accord import Accord
from foedus.records.release import Proposal
from foedus.records.serving import Serving
from foedus.release import oms
from foedus.release.bundle import opened
from foedus.release.known import Known
from foedus.release.report import Verification
from foedus.release.revoke import newer_copy
from foedus.release.verify import remembered_anchor, verify_bundle
from foedus.serve.predict import Predictor, load_predictor

__all__ = ["Admitted", "Code", "Source", "Standing", "admit", "anchored_like", "look_again"]

Code = Literal["in-force", "replaced", "revoked", "stale", "ended", "refused"]
_TORN_SECONDS = 0.2
"""How long to wait before a ledger that does not verify is read again: it may have been written to meanwhile."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a release lies and what it is checked against. `ledger`: a newer copy of its ledger, where there is one."""

    path: Path
    anchor: str | None = None
    ledger: Path | None = None
    known: Path | None = None

    def verify(self, at: datetime) -> Verification:
        """Every check of `foedus verify`, with the newest ledger. CallerError where there is nothing to check."""
        anchor = self.anchor or remembered_anchor(self.path, Known(self.known))
        newer = newer_copy(self.ledger, self.path) if self.ledger else None
        return verify_bundle(self.path, anchor=anchor, at=at, ledger=newer, known_heads=self.known)

    def heads(self) -> tuple[bytes, ...]:
        """What changes whenever the ledger does: the checkpoints of both copies, as far as they are there."""
        places = [self.path / "ledger" / "checkpoint"] if self.path.is_dir() else []
        places += [self.ledger / "checkpoint"] if self.ledger else []
        return tuple(read_bytes(place, limit_bytes=1 << 16) if place.is_file() else b"" for place in places)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a release stood when it was last looked at.

    `code` as the ledger has it, `terms` and `accord` those in force there. `size` and `recorded_at`: how much of the
    ledger was read. `detail`: by what it was replaced, why it was revoked, or the code of what did not verify.
    """

    code: Code
    terms: Serving
    accord: Accord
    size: int
    recorded_at: str
    looked_at: str
    detail: str = ""
    heads: tuple[bytes, ...] = ()

    def at(self, moment: datetime) -> Code:
        """The code at a moment: what was in force may have grown stale since, or its accord may have ended."""
        if self.code in ("revoked", "refused"):
            return self.code
        if moment.date().isoformat() > self.accord.valid.last:
            return "ended"
        if moment - parse(self.recorded_at) > timedelta(days=self.accord.release.fresh_days):
            return "stale"
        return self.code

    def stops(self, moment: datetime) -> bool:
        """Whether nothing may be answered at a moment."""
        return self.at(moment) not in ("in-force", "replaced") and self.terms.on_change == "stop"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A release that verified, loaded: `name` is NAME-VERSION, `digest` its proposal's; `accord` the one that it was
    made under.
    """

    name: str
    digest: str
    proposal: Proposal
    accord: Accord
    anchor: str
    practice: bool
    source: Source
    predictor: Predictor
    standing: Standing


def admit(source: Source, at: datetime) -> Admitted:
    """Verify a release and load its model.

    Raises:
        CallerError: `files.missing`, `release.no-bundle`; `serve.unreadable-model`.
        VerifyError: what the first failed check says; `serve.undecided` without an anchor, or for a stale ledger;
            `serve.accord-ended`; `release.model-changed` when the model's files change meanwhile.
    """
    heads = source.heads()
    seen = source.verify(at)
    if failed := next(iter(seen.failures), None):
        raise failed.error or VerifyError("serve.undecided", code=seen.code, headline=seen.headline)
    if seen.outcome != "verified" or seen.consortium is None or seen.proposal is None:
        raise VerifyError("serve.undecided", code=seen.code, headline=seen.headline)
    proposal, consortium = seen.proposal, seen.consortium
    standing = _standing(seen, proposal.digest, consortium, at, heads)
    if standing.at(at) == "ended":
        raise VerifyError("serve.accord-ended", last=standing.accord.valid.last)
    accord = consortium.accords[proposal.accord]
    with opened(source.path) as folder:
        predictor = load_predictor(folder / "model", accord)
        if (got := oms.root(oms.resources(folder / "model"))) != proposal.model:
            raise VerifyError("release.model-changed", expected=proposal.model, got=got)
    return Admitted(
        name=f"{proposal.name}-{proposal.version}",
        digest=proposal.digest,
        proposal=proposal,
        accord=accord,
        anchor=consortium.anchor or "",
        practice=seen.practice,
        source=source,
        predictor=predictor,
        standing=standing,
    )


def look_again(
    release: Admitted, before: Standing, at: datetime, pause: Callable[[float], None] = time.sleep
) -> Standing:
    """How a release stands now. What does not verify is read once more before it is believed."""
    standing = _looked(release, before, at)
    if standing.code == "refused":
        pause(_TORN_SECONDS)
        standing = _looked(release, before, at)
    return standing


def _looked(release: Admitted, before: Standing, at: datetime) -> Standing:
    try:
        heads = release.source.heads()
        if heads == before.heads and before.code != "refused":
            return replace(before, looked_at=spell(at))
        seen = release.source.verify(at)
    except (FoedusError, OSError) as error:
        return _refused(before, error.code if isinstance(error, FoedusError) else "files.unreadable", at)
    if seen.consortium is None or seen.proposal is None or seen.proposal.digest != release.digest:
        return _refused(before, seen.code if seen.failures else "serve.other-release", at)
    return _standing(seen, release.digest, seen.consortium, at, heads)


def _refused(before: Standing, code: str, at: datetime) -> Standing:
    return Standing(
        "refused", before.terms, before.accord, before.size, before.recorded_at, spell(at), code, before.heads
    )


def _standing(
    seen: Verification, digest: str, consortium: Consortium, at: datetime, heads: tuple[bytes, ...]
) -> Standing:
    """What the ledger says of a release, by whatever it verified as."""
    state = consortium.proposals[digest]
    accord = consortium.accord or consortium.accords[state.proposal.accord]
    code: Code = "in-force"
    detail = ""
    newer = [
        one
        for one in consortium.proposals.values()
        if one.published and not one.revoked and one.proposal.previous == digest
    ]
    if state.revoked:
        code, detail = "revoked", state.revoked.reason
    elif seen.failures:
        code, detail = "refused", seen.code
    elif newer:
        code, detail = "replaced", f"{newer[-1].proposal.name}-{newer[-1].proposal.version}"
    return Standing(
        code=code,
        terms=accord.serving or Serving(),
        accord=accord,
        size=consortium.size,
        recorded_at=consortium.recorded_at or spell(at),
        looked_at=spell(at),
        detail=detail,
        heads=heads,
    )


def anchored_like(release: Admitted, other: Admitted) -> None:
    """CallerError `serve.other-consortium` for a release of another consortium than the one that is served."""
    if release.anchor != other.anchor:
        raise CallerError("serve.other-consortium", expected=release.anchor, got=other.anchor)
