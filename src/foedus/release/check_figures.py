"""The figures of an examination, against the accord's clauses and the counts that stand in the same record.

Recomputed by the definition that the members' machines use (`records.metrics`), without numpy: every estimate and every
n, for each member, over all members, and as the difference federated minus alone; which figures there must be; and that
an interval holds its estimate. Not recomputed: intervals and the counts themselves, which need what the members signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from foedus.core.checks import Check, ok
from foedus.core.errors import VerifyError
from foedus.ledger.consortium import RunState
from foedus.records import terms
from foedus.records.accord import Accord
from foedus.records.acts import EnterEvidence
from foedus.records.base import decimal
from foedus.records.evidence import Examination, Figure
from foedus.records.metrics import ARMS, count_names, figures_of, impossible
from foedus.release.report import Report

__all__ = ["check_figures"]

HOLDS_FROM_BP = 9000
"""Percentile intervals at this level or above hold their estimate. Narrower ones can miss that of macro-F1, whose
replicates lie lower than the sample."""


def check_figures(
    examination: Examination, accord: Accord, run: RunState, entered: EnterEvidence, report: Report
) -> None:
    """Add the lines on the figures of an examination, whole or as the accord lets it be published.

    VerifyError: `release.other-evaluation`, `release.counts-of-others`, `release.counts-impossible`,
    `release.figure-missing`, `release.figure-unasked`, `release.figure-differs`, `release.figure-off-interval`.
    """
    _require_evaluation(examination, accord)
    members = sorted(one.member for one in entered.replies)
    whole = examination.digest == entered.evidence
    if whole:
        _require_counts(examination, accord.task, set(run.opened.roster), members)
        expected = _estimates(examination, accord.task)
    else:  # withheld: what is over all members, without the counts that it comes from
        arms = (*ARMS, "difference") if set(members) & set(run.opened.roster) else ()
        expected = {(arm, None, metric): None for metric in accord.task.metrics for arm in arms}
    _require_figures(examination, expected)
    fields = {"figures": len(examination.figures), "members": len(members)}
    if whole:
        report.add(ok("release.estimates", **fields), Check("release.figures", "claimed", fields))
    else:
        report.add(Check("release.figures-withheld", "recorded", fields))


def _require_evaluation(examination: Examination, accord: Accord) -> None:
    for what in ("replicates", "confidence_bp"):
        expected, got = getattr(accord.evaluation, what), getattr(examination, what)
        if expected != got:
            raise VerifyError("release.other-evaluation", what=what, expected=expected, got=got)


def _require_counts(examination: Examination, task: terms.Task, roster: set[str], members: list[str]) -> None:
    """Counts of those whose replies the entry names, each under the models that it has."""
    if sorted(examination.counts) != members:
        expected, got = ", ".join(members) or "–", ", ".join(sorted(examination.counts))
        raise VerifyError("release.counts-of-others", expected=expected, got=got)
    for member, arms in examination.counts.items():
        wanted = ARMS if member in roster else ARMS[:1]
        if set(arms) != set(wanted):
            raise VerifyError("release.counts-impossible", member=member, reason=f"counts of {', '.join(sorted(arms))}")
        n = _examples(examination.figures, member)
        for arm in wanted:
            fits = set(arms[arm]) == set(count_names(task))
            why = impossible(task, n, _row(arms[arm], task)) if fits else "other kinds of counts"
            if why:
                raise VerifyError("release.counts-impossible", member=member, reason=f"{arm}: {why}")


def _row(counts: Mapping[str, int], task: terms.Task) -> list[int]:
    return [counts[name] for name in count_names(task)]


def _examples(figures: tuple[Figure, ...], member: str) -> int:
    return next((figure.n for figure in figures if figure.member == member), 0)


def _estimates(examination: Examination, task: terms.Task) -> dict[tuple[str, str | None, str], tuple[str, int] | None]:
    """What each figure must say, by its place: its estimate as it is spelt, and n."""
    members = {
        member: {arm: _row(counts, task) for arm, counts in arms.items()} for member, arms in examination.counts.items()
    }
    sizes: dict[str | None, int] = {member: _examples(examination.figures, member) for member in members}
    sizes[None] = sum(sizes[member] for member, arms in members.items() if "alone" in arms)
    return {
        (one.arm, one.member, one.metric): (decimal(float(one.value), digits=6), sizes[one.member])
        for one in figures_of(task, members)
    }


def _require_figures(
    examination: Examination, expected: Mapping[tuple[str, str | None, str], tuple[str, int] | None]
) -> None:
    """Exactly the figures expected, in any order; with what each must say, where that is known."""
    found = {(one.arm, one.member, one.metric): one for one in examination.figures}
    if len(found) != len(examination.figures):
        twice = next(one for one in examination.figures if found[one.arm, one.member, one.metric] is not one)
        raise VerifyError("release.figure-unasked", **_place(twice))
    for arm, member, metric in expected:
        if (arm, member, metric) not in found:
            raise VerifyError("release.figure-missing", arm=arm, member=member or "–", metric=metric)
    for place, figure in found.items():
        if place not in expected:
            raise VerifyError("release.figure-unasked", **_place(figure))
        said, wanted = (figure.estimate, figure.n), expected[place]
        if wanted is not None and said != wanted:
            told = {"expected": f"{wanted[0]} (n {wanted[1]})", "got": f"{said[0]} (n {said[1]})"}
            raise VerifyError("release.figure-differs", **_place(figure), **told)
        low, estimate, high = (Fraction(value) for value in (figure.low, figure.estimate, figure.high))
        holds = low <= estimate <= high or examination.confidence_bp < HOLDS_FROM_BP
        if low > high or not holds:
            got = f"{figure.low} – {figure.high}"
            raise VerifyError("release.figure-off-interval", **_place(figure), estimate=figure.estimate, got=got)


def _place(figure: Figure) -> dict[str, str]:
    return {"arm": figure.arm, "member": figure.member or "–", "metric": figure.metric}
