"""The paper that a voter reads before it signs: failures first, then what changes, then what each key will sign."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

from foedus.core.digest import short
from foedus.core.errors import FoedusError
from foedus.core.files import read_bytes
from foedus.core.messages import error_text, say
from foedus.records.evidence import Examination, Figure, Verdict, Verdicts
from foedus.records.release import Proposal
from foedus.release.bundle import opened
from foedus.release.report import Verification
from foedus.release.verify import verify_bundle

__all__ = ["Beside", "Change", "Paper", "paper_of", "reason_text", "side_by_side"]

Choice = Literal["approve", "object"]
_COMPARED = ("accord", "base", "run", "model", "evidence", "credit", "use")
_ORDER = {"fail": 0, "inconclusive": 1, "pass": 2}


@dataclass(frozen=True, slots=True)
class Change:
    """A field of the proposal that is another than in the release in force; `old` and `new` are for people."""

    field: str
    old: str
    new: str


class Measured(Protocol):
    """A figure as evidence has it; arm, member and metric say what it is of."""

    @property
    def arm(self) -> str:
        """`federated`, `alone`, `base` or `difference` (federated minus alone)."""

    @property
    def member(self) -> str | None:
        """None: over all members."""

    @property
    def metric(self) -> str:
        """What was measured."""

    @property
    def estimate(self) -> str:
        """A decimal."""


M = TypeVar("M", bound=Measured)


@dataclass(frozen=True, slots=True)
class Beside(Generic[M]):
    """What a draft reaches in one metric, over all members (`member` None) or on one member's test part.

    `current`: what the release in force reached, each on the test parts of its own time. `harm`: the draft minus the
    member alone; below zero it is worse off than alone.
    """

    member: str | None
    metric: str
    draft: M
    current: M | None
    harm: M | None

    @property
    def change(self) -> Fraction | None:
        """The draft's estimate minus the current one's: two measurements, so without an interval of its own."""
        return Fraction(self.draft.estimate) - Fraction(self.current.estimate) if self.current else None


def side_by_side(figures: Iterable[M], current: Iterable[M]) -> tuple[Beside[M], ...]:
    """The figures of a draft beside those of the release in force, all members first."""
    by_place = [{(one.arm, one.member, one.metric): one for one in side} for side in (figures, current)]
    here, there = by_place
    found = [
        Beside(
            one.member, one.metric, one, there.get(("federated", one.member, one.metric)),
            here.get(("difference", one.member, one.metric)),
        )
        for one in here.values()
        if one.arm == "federated"
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: one.member is not None))


@dataclass(frozen=True, slots=True)
class Paper:
    """A verified draft as a voter sees it. Everything in it was read from the files, none from what a hub said.

    `verdicts` begin with those that failed; `previous` names the release that this one would replace; `beside` are the
    figures of both, without those of the release in force where its evidence is not at hand.
    """

    seen: Verification
    proposal: Proposal | None
    verdicts: tuple[Verdict, ...] = ()
    previous: str | None = None
    changes: tuple[Change, ...] = ()
    beside: tuple[Beside[Figure], ...] = ()

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

    @property
    def own(self) -> tuple[str, ...]:
        """What the voter's own records say of the draft, where they say that it holds or that nothing was compared."""
        return tuple(
            check.text
            for check in self.seen.checks
            if check.name.startswith("release.own-figures") and check.outcome != "fail"
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


def paper_of(
    path: Path,
    *,
    anchor: str | None,
    at: datetime,
    find: Callable[[str], bytes | None] = lambda _: None,
    compare: Callable[[Path, Verification], Verification] = lambda _, seen: seen,
) -> Paper:
    """Verify a draft (folder or zip) and give what its voters are to see; `find` gives objects that are at hand,
    `compare` adds what the voter's own records say of the draft (`own_figures`).

    Raises as `verify_bundle`.
    """
    seen = compare(path, verify_bundle(path, anchor=anchor, at=at, draft=True))
    if seen.proposal is None:
        return Paper(seen, None)
    verdicts: tuple[Verdict, ...] = ()
    figures: tuple[Figure, ...] = ()
    with opened(path) as folder, suppress(FoedusError):  # of what cannot be read, a failed check tells
        verdicts = Verdicts.from_bytes(read_bytes(folder / "report" / "verdicts.json")).verdicts
        figures = Examination.from_bytes(read_bytes(folder / "report" / "examination.json")).figures
    in_order = tuple(sorted(verdicts, key=lambda one: _ORDER[one.outcome]))
    before = seen.consortium.proposals.get(seen.proposal.previous or "") if seen.consortium else None
    if before is None:
        return Paper(seen, seen.proposal, in_order, beside=side_by_side(figures, ()))
    pairs = [(name, getattr(before.proposal, name), getattr(seen.proposal, name)) for name in _COMPARED]
    changes = tuple(Change(name, _told(old), _told(new)) for name, old, new in pairs if old != new)
    data = find(before.proposal.evidence)
    beside = side_by_side(figures, Examination.from_bytes(data).figures if data else ())
    return Paper(seen, seen.proposal, in_order, f"{before.proposal.name} {before.proposal.version}", changes, beside)


def reason_text(reason: str) -> str:
    """Why a gate judged as it did, for people; a reason that the catalogue does not know as it stands."""
    try:
        return say(f"gates.reason.{reason}")
    except KeyError:
        return reason


def _told(value: str | None) -> str:
    return short(value) if value and value.startswith("sha256:") else value or "–"
