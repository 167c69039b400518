"""Traffic for tests of watching: answers as a release gives them, and what users say of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from foedus.core.clock import spell
from foedus.records.watch import Monitoring
from foedus.serve.store import Answer, Feedback, Traffic

RELEASE = "intents-1.0"
BEGIN = datetime(2026, 6, 1, 8, tzinfo=UTC)
TERMS = Monitoring(reference=100, window=50, smallest_cell=10)


class Clock:
    """A clock that stands where it was put."""

    def __init__(self) -> None:
        self.at = BEGIN

    def __call__(self) -> datetime:
        return self.at

    def later(self, **how: float) -> None:
        self.at += timedelta(**how)


def answers(start: int, count: int, *, shifted: bool = False, release: str = RELEASE, text: str | None = None):
    """So many answers; a shifted stream asks for other things, in longer texts, and is less sure."""
    rng = np.random.default_rng(start)
    shares = (0.1, 0.1, 0.8) if shifted else (0.5, 0.4, 0.1)
    vectors = rng.normal(0.5 if shifted else 0.0, 1, (count, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f4")
    return [
        Answer(
            id=f"{release}/{start + i}",
            at=spell(BEGIN + timedelta(seconds=start + i)),
            release=release,
            app="",
            purpose="customer-service",
            tokens=int(rng.poisson(20 if shifted else 10)),
            label=str(rng.choice(["card", "loan", "transfer"], p=shares)),
            confidence_bp=int(rng.beta(3 if shifted else 9, 2) * 10_000),
            text=text and f"{text} {start + i}",
            embedding=vectors[i].tobytes(),
        )
        for i in range(count)
    ]


def serve(folder, *batches) -> None:
    """Put answers into the traffic of a workspace."""
    with Traffic.of(folder) as traffic:
        for batch in batches:
            traffic.add(batch)


def judge(folder, rows, wrong, *, correct=None, consent=False) -> None:
    """Users judge these answers; `wrong` says of which each is wrong."""
    with Traffic.of(folder) as traffic:
        for i, row in enumerate(rows):
            bad = wrong(i)
            traffic.say(
                Feedback(row.id, row.at, "wrong" if bad else "right", correct if bad else None, None, consent, "user")
            )
