"""How a gate finds its figure, and when the figure may be compared at all."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from foedus.records.evidence import Examination, Figure, Verdict

__all__ = ["against"]


def against(
    gate: str,
    examination: Examination,
    *,
    arm: Literal["federated", "difference"],
    member: str | None,
    metric: str,
    bound: Fraction,
    threshold: str,
    min_n: int,
) -> Verdict:
    """The verdict on one figure: its whole interval must lie at or above `bound`.

    low ≥ bound: pass. high < bound: fail. Else, or with fewer than `min_n` examples, or without exactly one well-formed
    figure: inconclusive. Decimals are compared exactly, as fractions. `reason` is a stable code.
    """
    found = [f for f in examination.figures if (f.arm, f.member, f.metric) == (arm, member, metric)]
    if len(found) != 1:
        reason = "no-evidence" if not found else "more-than-one-figure"
        return Verdict(
            gate=gate, outcome="inconclusive", member=member, metric=metric, threshold=threshold, reason=reason
        )
    figure = found[0]
    outcome, reason = _outcome(figure, bound, min_n)
    return Verdict(
        gate=gate,
        outcome=outcome,
        member=member,
        metric=metric,
        n=figure.n,
        estimate=figure.estimate,
        low=figure.low,
        high=figure.high,
        threshold=threshold,
        reason=reason,
    )


def _outcome(figure: Figure, bound: Fraction, min_n: int) -> tuple[Literal["pass", "fail", "inconclusive"], str]:
    low, estimate, high = Fraction(figure.low), Fraction(figure.estimate), Fraction(figure.high)
    if not low <= estimate <= high:
        return "inconclusive", "interval-not-in-order"
    if figure.n < min_n:
        return "inconclusive", "too-few-examples"
    if low >= bound:
        return "pass", "interval-at-or-above"
    if high < bound:
        return "fail", "interval-below"
    return "inconclusive", "interval-straddles"
