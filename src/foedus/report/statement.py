"""The contribution statement: one member's part in one release, on one page.

Credit is what the coordinator entered: its sums are recomputed by the verification, its values are not. What the accord
does not agree on (a reward, a deadline for disputes, privacy) and what nobody measured (an interval of the credit, a
second method, noise of labels) stands in the statement as such.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from statistics import median
from typing import Any

from foedus.core.errors import CallerError, VerifyError
from foedus.records.base import decimal
from foedus.report.parts import carried, credit_of, figure_of, run_times, taken
from foedus.report.released import Released, head, require_verified
from foedus.track.event import Event

__all__ = ["statement"]

NOT_AGREED = ("reward", "dispute", "privacy")
NOT_MEASURED = ("interval", "second-method", "label-noise")


def statement(released: Released, member: str, *, events: Iterable[Event] = ()) -> dict[str, Any]:
    """What a member brought to a verified release.

    Raises:
        VerifyError: as `require_verified`.
        CallerError: `report.no-such-member`, `report.no-credit` for a run without credit, `report.credit-withheld`
            where the accord withholds it and its object is not at hand.
    """
    require_verified(released)
    accord, proposal, state = released.accord, released.proposal, released.seen.consortium
    if accord is None or proposal is None or state is None:  # a verified release has all three
        raise VerifyError("report.not-verified", code=released.seen.code, headline=released.seen.headline)
    run = state.runs[proposal.run]
    if member not in run.opened.roster:
        raise CallerError("report.no-such-member", got=member, known=", ".join(run.opened.roster))
    if proposal.credit is None:
        raise CallerError("report.no-credit", release=released.name)
    if released.credit is None:
        raise CallerError("report.credit-withheld", release=released.name, digest=proposal.credit)
    credit = credit_of(released.credit, accord)
    own = next((row for row in credit["members"] if row["member"] == member), None)
    opened_at, closed_at = run_times(released.leaves, proposal.run)
    figures = released.examination.figures if released.examination else ()
    party = accord.member(member)
    card, registered = released.cards.get(member), run.cards.get(member)
    return {
        **head("statement", released),
        "member": member,
        "roles": list(party.roles) if party else [],
        "act_key": state.key(member, "act"),
        "period": {"opened_at": opened_at, "closed_at": closed_at},
        "credit": {name: value for name, value in credit.items() if name != "members"},
        "own": own,
        "group": _group(credit["members"]),
        "rounds": taken(run, member),
        "data": {
            "card": registered.card if registered else None,
            "name": registered.name if registered else None,
            "licence": registered.licence if registered else None,
            "examples": registered.examples if registered else None,
            "duplicates": card.duplicates if card else None,
            "across_parts": card.across_parts if card else None,
        },
        "carried": carried(events).get(member),
        "evidence": proposal.evidence,
        "confidence_bp": released.examination.confidence_bp if released.examination else None,
        "figures": figure_of(one for one in figures if one.member == member),
        "not_agreed": list(NOT_AGREED),
        "not_measured": list(NOT_MEASURED),
    }


def _group(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """All members' shares without their names: how many, the lowest, the middle, the highest."""
    shares = [Fraction(row["share"]) for row in rows if row["share"] is not None]
    spelt = [decimal(value) for value in (min(shares), median(shares), max(shares))] if shares else [None] * 3
    return {"n": len(rows), **dict(zip(("low", "median", "high"), spelt, strict=True))}
