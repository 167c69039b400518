"""How a release is served: how often the ledger is read again, what then follows, and what of the traffic is kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from foedus.records.base import BasisPoints, Int, Positive, Record

__all__ = ["Serving"]


class Serving(Record):
    """The terms of serving. Enforced by `foedus serve`; an accord without this clause is served with its defaults.

    `refresh_seconds`: how often the ledger is read again. `on_change`: what follows when the release is then revoked or
    stale, or its accord has ended: `stop` answers no more, `warn` answers and says so in each answer. Answers whose
    probability is below `review_below_bp` wait for a human (0: none do). Texts that were asked about are kept for
    `keep_texts_days` on the machine that serves (0: not at all).
    """

    refresh_seconds: Annotated[Positive, Field(le=31_536_000)] = 300
    on_change: Literal["stop", "warn"] = "stop"
    review_below_bp: BasisPoints = 0
    keep_texts_days: Annotated[Int, Field(le=36_500)] = 0
