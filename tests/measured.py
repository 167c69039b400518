"""An examination whose figures follow from its counts, and the replies that its entry names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from foedus.core.digest import sha256
from foedus.records import acts, terms
from foedus.records.accord import Accord
from foedus.records.base import decimal
from foedus.records.evidence import Examination, Figure
from foedus.records.metrics import count_names, figures_of


def counts(task: terms.Task, n: int, right_percent: int) -> list[int]:
    """Counts of `n` examples, half of either of two labels, of which so many in a hundred were found: every metric is
    that share.
    """
    half, right = n // 2, n * right_percent // 200
    if isinstance(task, terms.TokenClassification):
        return [2 * right, n, n, 2 * right, n]
    others = [0] * (len(task.labels) - 2)
    return [right, right, *others, half, half, *others, half, half, *others]


def measured(
    accord: Accord,
    members: Sequence[str],
    *,
    state: str,
    run: str = "r1",
    n: int = 100,
    federated: int = 90,
    alone: int = 84,
    intervals: Mapping[tuple[str, str | None], tuple[str, str]] | None = None,
) -> Examination:
    """What members measured with test parts of `n` examples; intervals reach 0.05 to both sides where not given."""
    rows = {
        m: {"federated": counts(accord.task, n, federated), "alone": counts(accord.task, n, alone)} for m in members
    }
    figures = []
    for arm, member, metric, value in figures_of(accord.task, rows):
        estimate = decimal(float(value), digits=6)
        low, high = (intervals or {}).get((arm, member)) or (
            decimal(str(Decimal(estimate) - Decimal("0.05"))),
            decimal(str(Decimal(estimate) + Decimal("0.05"))),
        )
        size = n if member else n * len(members)
        figures.append(Figure(arm=arm, member=member, metric=metric, n=size, estimate=estimate, low=low, high=high))
    names = count_names(accord.task)
    return Examination(
        run=run, state=state, replicates=accord.evaluation.replicates, confidence_bp=accord.evaluation.confidence_bp,
        figures=tuple(figures),
        counts={m: {arm: dict(zip(names, row, strict=True)) for arm, row in arms.items()} for m, arms in rows.items()},
    )  # fmt: skip


def replied(members: Sequence[str]) -> tuple[acts.Used, ...]:
    """The replies that an entry of evidence names."""
    return tuple(acts.Used(member=m, reply=sha256(f"{m} measured".encode()), weight="0") for m in members)
