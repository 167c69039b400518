"""Figures from counts: each metric with n and interval, for every member and over all, federated beside alone.

Members send sufficient counts and the same counts for each replicate of a paired bootstrap. Counts add up, so figures
over all members come from sums; the interval is the percentile interval of the replicates, and the difference
federated minus alone is taken replicate by replicate, which is what makes it paired. What the metrics are, and in which
order they stand, is defined in `records.metrics`: a verifier recomputes the estimates by the same functions.
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
from foedus.records.metrics import ARMS, Placed, count_names, figures_of, impossible
from foedus.records.plan import Plan
from foedus.state import from_bytes

__all__ = ["Counts", "examination", "read_counts"]

Counts = Mapping[str, Any]
"""By arm: int64 array (1 + replicates, counts); row 0 is the sample itself."""


def read_counts(plan: Plan, reply: Reply, store: ObjectStore, *, state: str, alone: bool) -> tuple[int, Counts]:
    """A member's n and counts of a state; `alone`: whether it trained a model of its own to set beside it.

    Raises:
        RunError: `run.bad-reply` for counts that are not what the task needs, or of another state.
    """
    names = count_names(plan.task)
    shape = (plan.replicates, len(names))
    try:
        if (measured := reply.body["state"]) != state:
            raise ValueError(f"counts of the state {measured!r:.80}, expected {state}")
        n, totals = reply.body["n"], reply.body["counts"]
        arrays = from_bytes(store.get(reply.objects["replicates"]))
        out = {}
        for arm in ARMS if alone else ARMS[:1]:
            first = np.array([[int(totals[arm][name]) for name in names]], dtype=np.int64)
            rest = arrays[arm].numpy()
            if rest.dtype != np.int64 or rest.shape != shape or (first < 0).any() or (rest < 0).any():
                raise ValueError(f"counts of shape {rest.shape} and type {rest.dtype}, expected {shape} and int64")
            out[arm] = np.concatenate([first, rest])
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"expected the number of examples, got {n!r:.40}")
        for rows in out.values():
            if why := impossible(plan.task, n, rows[0].tolist()):
                raise ValueError(why)
    except (FoedusError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise RunError("run.bad-reply", kind="evaluate", reason=str(error)[:200]) from error
    return n, out


def examination(plan: Plan, *, run: str, state: str, members: Mapping[str, tuple[int, Counts]]) -> Examination:
    """The figures of a run. `members`: n and counts of each that answered. Laid out as `figures_of` says."""
    columns = {m: {arm: tuple(rows.T) for arm, rows in counts.items()} for m, (_, counts) in members.items()}
    sizes: dict[str | None, int] = {member: n for member, (n, _) in members.items()}
    sizes[None] = sum(n for n, counts in members.values() if "alone" in counts)
    names = count_names(plan.task)
    return Examination(
        run=run, state=state, replicates=plan.replicates, confidence_bp=plan.confidence_bp,
        figures=tuple(_figure(placed, sizes[placed.member], plan.confidence_bp)
                      for placed in figures_of(plan.task, columns)),
        counts={
            m: {arm: dict(zip(names, map(int, rows[0]), strict=True)) for arm, rows in counts.items()}
            for m, (_, counts) in sorted(members.items())
        },
    )  # fmt: skip


def _figure(placed: Placed, n: int, confidence_bp: int) -> Figure:
    tail = (1 - confidence_bp / 10_000) / 2
    rows = np.asarray(placed.value, dtype=np.float64)
    low, high = np.quantile(rows[1:], [tail, 1 - tail])
    return Figure(
        arm=placed.arm,  # type: ignore[arg-type]  # one of the record's
        member=placed.member,
        metric=placed.metric,
        n=n,
        estimate=decimal(float(rows[0]), digits=6),
        low=decimal(float(low), digits=6),
        high=decimal(float(high), digits=6),
    )
