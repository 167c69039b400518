"""Figures from counts: each metric with n and interval, for every member and over all, federated beside alone.

Members send sufficient counts and the same counts for each replicate of a paired bootstrap. Counts add up, so figures
over all members come from sums; the interval is the percentile interval of the replicates, and the difference
federated minus alone is taken replicate by replicate, which is what makes it paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from foedus.core.errors import FoedusError, RunError
from foedus.core.objects import ObjectStore
from foedus.records.asks import Reply
from foedus.records.base import decimal
from foedus.records.evidence import Examination, Figure
from foedus.records.plan import Plan
from foedus.state import from_bytes
from foedus.tasks import Task, task_of

__all__ = ["Counts", "examination", "read_counts"]

ARMS: tuple[str, ...] = ("federated", "alone")
Counts = Mapping[str, Any]
"""By arm: int64 array (1 + replicates, counts); row 0 is the sample itself."""


def read_counts(task: Task, reply: Reply, store: ObjectStore, replicates: int, *, alone: bool) -> tuple[int, Counts]:
    """A member's n and counts; `alone`: whether it trained a model of its own to set beside the federated one.

    Raises:
        RunError: `run.bad-reply` for counts that are not what the task needs.
    """
    shape = (replicates, len(task.count_names))
    try:
        n, totals = reply.body["n"], reply.body["counts"]
        arrays = from_bytes(store.get(reply.objects["replicates"]))
        out = {}
        for arm in ARMS if alone else ARMS[:1]:
            first = np.array([[int(totals[arm][name]) for name in task.count_names]], dtype=np.int64)
            rest = arrays[arm].numpy()
            if rest.dtype != np.int64 or rest.shape != shape or (first < 0).any() or (rest < 0).any():
                raise ValueError(f"counts of shape {rest.shape} and type {rest.dtype}, expected {shape} and int64")
            out[arm] = np.concatenate([first, rest])
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"expected the number of examples, got {n!r:.40}")
    except (FoedusError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise RunError("run.bad-reply", kind="evaluate", reason=str(error)[:200]) from error
    return n, out


def examination(plan: Plan, *, run: str, state: str, members: Mapping[str, tuple[int, Counts]]) -> Examination:
    """The figures of a run. `members`: n and counts of each that answered.

    Who has no model of its own (an auditor) is listed by itself and does not enter the figures over all members.
    """
    task = task_of(plan.task)
    groups: list[tuple[str | None, int, Counts]] = [(m, *members[m]) for m in sorted(members)]
    train = [(n, counts) for _, n, counts in groups if "alone" in counts]
    if train:
        together = {arm: sum(counts[arm] for _, counts in train) for arm in ARMS}
        groups.insert(0, (None, sum(n for n, _ in train), together))
    figures: list[Figure] = []
    for member, n, counts in groups:
        values = {arm: _values(task, rows) for arm, rows in counts.items()}
        for metric in plan.task.metrics:
            series = {arm: values[arm][metric] for arm in ARMS if arm in values}
            if "alone" in series:
                series["difference"] = series["federated"] - series["alone"]
            figures += [_figure(arm, member, metric, n, rows, plan.confidence_bp) for arm, rows in series.items()]
    return Examination(
        run=run, state=state, replicates=plan.replicates, confidence_bp=plan.confidence_bp, figures=tuple(figures),
        counts={
            m: {arm: dict(zip(task.count_names, map(int, rows[0]), strict=True)) for arm, rows in counts.items()}
            for m, (_, counts) in sorted(members.items())
        },
    )  # fmt: skip


def _values(task: Task, counts: Any) -> dict[str, Any]:
    """Each metric of each row of counts: (rows,)."""
    return {name: np.asarray(rows, dtype=np.float64) for name, rows in task.figures(counts).items()}


def _figure(arm: Any, member: str | None, metric: str, n: int, rows: Any, confidence_bp: int) -> Figure:
    tail = (1 - confidence_bp / 10_000) / 2
    low, high = np.quantile(rows[1:], [tail, 1 - tail])
    return Figure(
        arm=arm,
        member=member,
        metric=metric,
        n=n,
        estimate=decimal(float(rows[0]), digits=6),
        low=decimal(float(low), digits=6),
        high=decimal(float(high), digits=6),
    )  # fmt: skip
