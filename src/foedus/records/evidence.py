"""Cards, figures, credit and verdicts: what was measured, by whom, and what the gates say of it.

A figure is never a bare number: arm, member, metric, count and interval go together. What may not be shown is null
(withheld).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from foedus.records.base import Decimal, Digest, Int, ListOf, Name, Positive, Record, Sparse, Text

__all__ = [
    "Credit",
    "CreditReport",
    "DataCard",
    "Examination",
    "FeedbackSummary",
    "Figure",
    "PartSummary",
    "Salted",
    "Verdict",
    "Verdicts",
]

PartName = Literal["train", "validation", "test"]


class PartSummary(Record):
    """Counts of one part, rounded to five. `labels`: rounded counts; null where below the smallest cell (and
    complements).
    """

    examples: Int
    labels: dict[Text, Int | None]
    tokens_median: Int
    tokens_p95: Int


class FeedbackSummary(Record):
    """Training examples that users of a release corrected: rounded to five, null below the smallest cell; and on what
    basis they may be learned from. They are part of the train part and counted in it.
    """

    examples: Int | None
    consent: Text


class DataCard(Sparse):
    """What is known of a member's data set; made on the member's side. `mapping` is the digest of its `data.yaml`."""

    kind: ClassVar[str] = "data-card"
    later: ClassVar[frozenset[str]] = frozenset({"feedback"})
    v: Literal[1] = 1
    member: Name
    name: Name
    source: Text
    licence: Text
    consent: Text
    collected: Text | None = None
    languages: ListOf[Text] = ()
    description: Text | None = None
    smallest_cell: Positive
    mapping: Digest
    parts: dict[PartName, PartSummary]
    commitments: dict[PartName, Digest]
    duplicates: Int = Field(description="Rows whose normalised text stands earlier in the set, rounded to five.")
    across_parts: Int = Field(description="Texts that stand in two parts, rounded to five.")
    feedback: FeedbackSummary | None = None


class Salted(Record):
    """A document with a salt: its digest commits to it and tells nothing of it; without the object nobody can test a
    guess.
    """

    kind: ClassVar[str] = "salted"
    salt: str = Field(pattern="^[0-9a-f]{32}$")
    document: dict[str, object]


class Figure(Record):
    """One metric of one arm. `member` null: over all members. Interval at the accord's level, by paired bootstrap."""

    arm: Literal["federated", "alone", "base", "difference"]
    member: Name | None
    metric: Name
    n: Int
    estimate: Decimal
    low: Decimal
    high: Decimal


class Examination(Record):
    """What was measured of one state after a run, from the members' signed counts. `difference` is federated minus
    alone.
    """

    kind: ClassVar[str] = "examination"
    v: Literal[1] = 1
    run: Name
    state: Digest
    part: Literal["test"] = "test"
    replicates: Positive
    confidence_bp: Positive
    figures: ListOf[Figure]
    counts: dict[Name, dict[str, dict[str, Int]]] = Field(description="member → arm → sufficient count → value")


class Credit(Record):
    """What one member's updates were worth: its part of the fall in validation loss; `by_round` sums to `value`."""

    member: Name
    value: Decimal
    by_round: ListOf[Decimal]


class CreditReport(Record):
    """Credit of a run. `total` is U(released) - U(start); `residual` is total minus the sum of values."""

    kind: ClassVar[str] = "credit-report"
    v: Literal[1] = 1
    run: Name
    method: Name
    utility: Literal["minus mean validation loss"] = "minus mean validation loss"
    start_loss: Decimal
    released_loss: Decimal
    total: Decimal
    residual: Decimal
    tolerance: Decimal
    note: Literal["", "preconditioner taken as given"] = ""
    credits: ListOf[Credit]


class Verdict(Record):
    """A gate's word on evidence; inconclusive is not a pass."""

    gate: Name
    outcome: Literal["pass", "fail", "inconclusive"]
    member: Name | None = None
    metric: Name | None = None
    n: Int = 0
    estimate: Decimal | None = None
    low: Decimal | None = None
    high: Decimal | None = None
    threshold: Text
    reason: Text


class Verdicts(Record):
    """Every gate of the accord on one model, with the digests of the evidence it rests on."""

    kind: ClassVar[str] = "verdicts"
    v: Literal[1] = 1
    run: Name
    accord: Digest
    model: Digest
    evidence: Digest
    verdicts: ListOf[Verdict]
