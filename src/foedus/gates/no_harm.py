"""No harm: no member is worse off with the federated model than with the one it would have trained alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from foedus.gates.evidence import against
from foedus.records.evidence import Examination, Verdict
from foedus.records.terms import NoHarm

__all__ = ["no_harm"]


def no_harm(clause: NoHarm, examination: Examination, members: Sequence[str]) -> tuple[Verdict, ...]:
    """One verdict a member: federated minus alone, on its own test part, lies at or above -`margin`.

    `members` are all that train; one without a figure is inconclusive. Intervals are each at the accord's level: with
    many members one of them may fall below by chance, which is what a waiver vote is for.
    """
    margin = Fraction(clause.margin)
    return tuple(
        against(
            clause.name,
            examination,
            arm="difference",
            member=member,
            metric=clause.metric,
            bound=-margin,
            threshold=f">= -{clause.margin}" if margin else ">= 0",
            min_n=clause.min_n,
        )
        for member in members
    )
