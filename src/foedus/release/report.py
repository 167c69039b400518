"""The lines of a verification so far, and what they come to in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from foedus.core.checks import Check, ok
from foedus.core.errors import FoedusError, VerifyError
from foedus.core.messages import error_text, say
from foedus.ledger import Leaf
from foedus.ledger.consortium import Consortium
from foedus.records.accord import Accord
from foedus.records.release import Proposal
from foedus.release.known import Known

__all__ = [
    "Asked",
    "Outcome",
    "Report",
    "Seen",
    "Stop",
    "Verification",
    "headline_of",
    "require_same",
    "verdict",
    "votes_on",
    "with_checks",
]

Outcome = Literal["verified", "refused", "undecided"]


@dataclass(frozen=True, slots=True)
class Verification:
    """Every check, and what they come to. `code` is stable: `verified`, `unanchored`, `ahead` (the ledger's head is
    later than now), `stale`, or that of the first failure.
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


class Stop(Exception):  # noqa: N818 - ends the steps; never leaves this module
    """Nothing further can be checked."""


@dataclass(slots=True)
class Report:
    """The checks so far."""

    checks: list[Check] = field(default_factory=list)

    def add(self, *checks: Check) -> None:
        """Add lines."""
        self.checks += checks

    @contextmanager
    def step(self, name: str, *, needed: bool = False) -> Iterator[None]:
        """What fails inside, an unreadable file too, becomes the failed check `name`; without a failure and without a
        line of its own, it held.

        `needed`: nothing after it can be checked without it.
        """
        before = len(self.checks)
        try:
            yield
        except (FoedusError, OSError) as raised:
            error = raised if isinstance(raised, FoedusError) else _unreadable(raised)
            self.add(Check(name, "fail", dict(error.fields), error))
            if needed:
                raise Stop from error
        else:
            if len(self.checks) == before:
                self.add(ok(name))

    @property
    def failed(self) -> Check | None:
        """The first line that failed."""
        return next((check for check in self.checks if check.outcome == "fail"), None)


def _unreadable(error: OSError) -> VerifyError:
    reason = error.strerror or type(error).__name__
    return VerifyError("release.unreadable", path=str(error.filename or "–"), reason=reason)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader brings."""

    anchor: str | None
    since: bytes | None
    at: datetime
    allow_stale: bool
    known: Known
    ledger: Path | None = None


@dataclass(slots=True)
class Seen:
    """What the steps found out, for the ones after them."""

    accord: Accord | None = None
    consortium: Consortium | None = None
    proposal: Proposal | None = None
    leaves: list[Leaf] = field(default_factory=list)
    size: int = 0
    recorded_at: str = ""
    practice: bool = False
    stale: bool = False
    ahead: bool = False


def require_same(code: str, expected: object, got: object) -> None:
    """VerifyError `code` with both when they differ."""
    if expected != got:
        raise VerifyError(code, expected=expected, got=got)


def verdict(
    what: Literal["release", "draft", "ledger", "accord"], asked: Asked, report: Report, seen: Seen
) -> Verification:
    """The answer that these lines come to."""
    failed = report.failed
    outcome: Outcome = "verified"
    code = "verified"
    if failed:
        outcome, code = "refused", failed.error.code if failed.error else failed.name
    elif asked.anchor is None:
        outcome, code = "undecided", "unanchored"
    elif seen.ahead:
        outcome, code = "undecided", "ahead"
    elif seen.stale and not asked.allow_stale:
        outcome, code = "undecided", "stale"
    headline = headline_of(what, code, failed, seen)
    return Verification(
        what, tuple(report.checks), outcome, code, headline, seen.practice, seen.proposal, seen.consortium
    )


def headline_of(what: str, code: str, failed: Check | None, seen: Seen) -> str:
    """The first sentence, for a reader who is no engineer."""
    if failed and failed.error:
        return say(f"verify.headline.{what}.refused", got=error_text(failed.error).got, code=code)
    if failed:
        return say(f"verify.headline.{what}.refused", got=failed.text, code=code)
    if code == "ahead":
        return say("verify.headline.ahead", size=seen.size, at=seen.recorded_at)
    if code in ("unanchored", "stale"):
        return say(f"verify.headline.{what}.{code}", size=seen.size, day=seen.recorded_at[:10])
    accord, proposal = seen.accord, seen.proposal
    votes = votes_on(proposal, seen.consortium)
    members = len(accord.members) if accord else 0
    return say(
        f"verify.headline.{what}.verified",
        name=f"{proposal.name} {proposal.version}" if proposal else "",
        consortium=accord.name if accord else "",
        members=members,
        approved=votes["approve"],
        against=votes["object"],
        silent=members - votes.total(),
        size=seen.size,
        day=seen.recorded_at[:10],
    )


def votes_on(proposal: Proposal | None, consortium: Consortium | None) -> Counter[str]:
    """How many members voted `approve` and `object` on a proposal, by the ledger."""
    standing = consortium.proposals.get(proposal.digest) if proposal and consortium else None
    return Counter(standing.votes.values() if standing else ())


def with_checks(seen: Verification, checks: Sequence[Check]) -> Verification:
    """The same answer with more lines, which can only make it worse. Lines that a replay of the evidence has settled
    are not said again.
    """
    settled = any(check.name == "replay.evidence" and check.outcome == "ok" for check in checks)
    before = [check for check in seen.checks if not (settled and check.name == "release.figures")]
    failed = next((check for check in checks if check.outcome == "fail"), None)
    more = replace(seen, checks=(*before, *checks))
    if failed is None or seen.outcome == "refused":
        return more
    code = failed.error.code if failed.error else failed.name
    got = error_text(failed.error).got if failed.error else failed.text
    headline = say(f"verify.headline.{seen.what}.refused", got=got, code=code)
    return replace(more, outcome="refused", code=code, headline=headline)
