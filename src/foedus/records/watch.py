"""Watching a release in use: the accord's clause, the report that may leave the machine, and what a next run promises.

A report holds figures only. Nothing in it is a text, an embedding or the answer to one question, and a figure over
fewer answers than the smallest cell is withheld (null).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from foedus.records.base import Decimal, Digest, Instant, Int, ListOf, Name, Positive, Rate, Record, SetOf, Sparse, Text

__all__ = ["DETECTORS", "LEVELS", "ExpectedGain", "Level", "Measure", "Monitoring", "Quality", "WatchFigure",
           "WatchReport"]  # fmt: skip

Measure = Literal["confidence", "inputs", "labels", "lengths", "quality"]
"""`lengths` and `inputs` (embeddings) are of what came in, `labels` and `confidence` of what was answered, `quality` of
what users said of it.
"""
Level = Literal["notice", "warning", "critical"]
LEVELS: tuple[Level, ...] = ("notice", "warning", "critical")
Detector = Literal["psi", "ks", "mmd", "adwin", "page-hinkley"]
DETECTORS: dict[Measure, tuple[Detector, ...]] = {
    "confidence": ("ks",),
    "inputs": ("mmd",),
    "labels": ("psi",),
    "lengths": ("psi", "ks"),
    "quality": ("adwin", "page-hinkley"),
}
"""What is computed for each measure."""


class Monitoring(Sparse):
    """What is watched where a release is in use. Enforced: `foedus serve` and `foedus monitor` measure this and with
    these sizes; a figure over fewer than `smallest_cell` answers does not leave; who may propose a run, when folding.

    `reference`: the first answers of a release, to which later ones are compared. `window`: how many answers one look
    takes. `false_alarms`: how probable it may be that a look finds drift where there is none, over all its tests.
    `psi`: the population stability index below which a shift, however certain, is too small to tell of. `persistence`:
    in how many looks in a row a measure must have moved for a warning. `proposers`: parties that may propose a run;
    empty: all. `every_seconds`: how often a server looks at its own traffic; null: every 300.
    """

    later: ClassVar[frozenset[str]] = frozenset({"every_seconds"})

    measures: SetOf[Measure] = Field(default=("confidence", "inputs", "labels", "lengths", "quality"), min_length=1)
    reference: Annotated[Positive, Field(le=1_000_000)] = 500
    window: Annotated[Positive, Field(le=1_000_000)] = 200
    false_alarms: Rate = "0.01"
    psi: Rate = "0.1"
    persistence: Annotated[Positive, Field(le=10_000)] = 2
    smallest_cell: Annotated[Positive, Field(le=1_000_000)] = 20
    proposers: SetOf[Name] = ()
    every_seconds: Annotated[Positive, Field(le=31_536_000)] | None = None

    @property
    def pause_seconds(self) -> int:
        """How often a server looks, named or not."""
        return self.every_seconds or 300


class WatchFigure(Record):
    """One test of one measure in one look: the recent window against the reference.

    `p` is over all tests of the look (Holm); null for a detector on a stream. `moved`: whether it counts as drift.
    """

    measure: Measure
    detector: Detector
    reference: Int
    recent: Int
    statistic: Decimal | None
    p: Decimal | None = None
    moved: bool


class Quality(Record):
    """What users said: of `judged` answers so many were `wrong`; `before` and `after` are the shares of wrong answers
    around the last change that a detector found.
    """

    judged: Int
    wrong: Int | None
    before: Decimal | None = None
    after: Decimal | None = None


class WatchReport(Record):
    """What a party that serves a release tells of its traffic. `labels` are counts of the window, rounded to five."""

    kind: ClassVar[str] = "watch-report"
    v: Literal[1] = 1
    release: Digest
    party: Name
    first: Instant
    last: Instant
    smallest_cell: Positive
    looks: Int
    level: Level | None
    figures: ListOf[WatchFigure]
    labels: dict[Text, Int | None] = Field(default_factory=dict)
    quality: Quality


class ExpectedGain(Record):
    """What a proposed run is expected to bring: a metric now and after it, and what the expectation rests on."""

    metric: Name
    now: Decimal
    expected: Decimal
    basis: Annotated[Text, Field(max_length=1000)]
