"""The paper that a voter reads before it signs: failures first, then what changes, then what each key will sign."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from foedus.core.digest import short
from foedus.core.errors import FoedusError
from foedus.core.files import read_bytes
from foedus.core.messages import error_text, say
from foedus.records.evidence import Verdict, Verdicts
from foedus.records.release import Proposal
from foedus.release.bundle import opened
from foedus.release.report import Verification
from foedus.release.verify import verify_bundle

__all__ = ["Change", "Paper", "paper_of", "reason_text"]

Choice = Literal["approve", "object"]
_COMPARED = ("accord", "base", "run", "model", "evidence", "credit", "use")
_ORDER = {"fail": 0, "inconclusive": 1, "pass": 2}


@dataclass(frozen=True, slots=True)
class Change:
    """A field of the proposal that is another than in the release in force; `old` and `new` are for people."""

    field: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Paper:
    """A verified draft as a voter sees it. Everything in it was read from the files, none from what a hub said.

    `verdicts` begin with those that failed; `previous` names the release that this one would replace.
    """

    seen: Verification
    proposal: Proposal | None
    verdicts: tuple[Verdict, ...] = ()
    previous: str | None = None
    changes: tuple[Change, ...] = ()

    @property
    def can_approve(self) -> bool:
        """Whether every check held: an approval of anything else is not signed."""
        return self.seen.outcome == "verified" and self.proposal is not None

    @property
    def headline(self) -> str:
        """The first sentence, in the language in force now, whichever it was when the draft was verified."""
        seen, proposal = self.seen, self.proposal
        failed = next(iter(seen.failures), None)
        if failed is not None:
            got = error_text(failed.error).got if failed.error else failed.text
            return say("verify.headline.draft.refused", got=got, code=seen.code)
        state = seen.consortium
        if not self.can_approve or proposal is None or state is None or state.accord is None:
            return seen.headline
        return say(
            "verify.headline.draft.verified",
            name=f"{proposal.name} {proposal.version}",
            consortium=state.accord.name,
            members=len(state.accord.members),
            size=state.size,
            day=(state.recorded_at or "")[:10],
        )

    def signs(self, choice: Choice) -> list[str]:
        """A line for each thing that the keys will sign."""
        if self.proposal is None:
            return []
        lines = [
            say("release.cli.signs-vote", choice=say(f"release.choice.{choice}"), digest=short(self.proposal.digest))
        ]
        if choice == "approve":
            lines.append(say("release.cli.signs-model", digest=short(self.proposal.model)))
            lines.append(say("release.cli.signs-head", size=self.seen.consortium.size if self.seen.consortium else 0))
        return [line.strip() for line in lines]


def paper_of(path: Path, *, anchor: str | None, at: datetime) -> Paper:
    """Verify a draft (folder or zip) and give what its voters are to see. Raises as `verify_bundle`."""
    seen = verify_bundle(path, anchor=anchor, at=at, draft=True)
    if seen.proposal is None:
        return Paper(seen, None)
    verdicts: tuple[Verdict, ...] = ()
    with opened(path) as folder, suppress(FoedusError):  # of what cannot be read, a failed check tells
        verdicts = Verdicts.from_bytes(read_bytes(folder / "report" / "verdicts.json")).verdicts
    in_order = tuple(sorted(verdicts, key=lambda one: _ORDER[one.outcome]))
    before = seen.consortium.proposals.get(seen.proposal.previous or "") if seen.consortium else None
    if before is None:
        return Paper(seen, seen.proposal, in_order)
    pairs = [(name, getattr(before.proposal, name), getattr(seen.proposal, name)) for name in _COMPARED]
    changes = tuple(Change(name, _told(old), _told(new)) for name, old, new in pairs if old != new)
    return Paper(seen, seen.proposal, in_order, f"{before.proposal.name} {before.proposal.version}", changes)


def reason_text(reason: str) -> str:
    """Why a gate judged as it did, for people; a reason that the catalogue does not know as it stands."""
    try:
        return say(f"gates.reason.{reason}")
    except KeyError:
        return reason


def _told(value: str | None) -> str:
    return short(value) if value and value.startswith("sha256:") else value or "–"
