"""Utility: the released model is good enough, over all members' test parts."""

from __future__ import annotations

from fractions import Fraction

from foedus.gates.evidence import against
from foedus.records.evidence import Examination, Verdict
from foedus.records.terms import Utility

__all__ = ["utility"]


def utility(clause: Utility, examination: Examination) -> tuple[Verdict, ...]:
    """One verdict: the federated model's `metric` over all members lies at or above `minimum`.

    It says nothing of a single member or group: a mean can hide a member that fares badly (see `no_harm`).
    """
    verdict = against(
        clause.name,
        examination,
        arm="federated",
        member=None,
        metric=clause.metric,
        bound=Fraction(clause.minimum),
        threshold=f">= {clause.minimum}",
        min_n=clause.min_n,
    )
    return (verdict,)
