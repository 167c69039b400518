"""The proposal that votes name, and what a run resumes from."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from foedus.records.base import Decimal, Digest, Int, ListOf, Name, Positive, Record, Text

__all__ = ["LateReply", "Proposal", "Snapshot"]


class Proposal(Record):
    """All that a release consists of, by digest. Votes name the digest of this record.

    `model` is the OMS root of `model/`; `files` lists every other file of the bundle that exists before the vote
    (path → digest).
    """

    kind: ClassVar[str] = "proposal"
    v: Literal[1] = 1
    name: Name
    version: Name
    accord: Digest
    run: Name
    base: Digest
    state: Digest
    model: Digest
    verdicts: Digest
    evidence: Digest
    credit: Digest | None
    cards: ListOf[Digest]
    files: dict[str, Digest]
    previous: Digest | None = None
    custody: Literal["separate", "one-process"]
    use: Text


class LateReply(Record):
    """A reply that waits for the next round of its half."""

    member: Name
    reply: Digest
    round: Positive


class Snapshot(Record):
    """What a run resumes from: the state after `round`, the outer step's memory and the early-stopping record, by
    digest.
    """

    kind: ClassVar[str] = "snapshot"
    v: Literal[1] = 1
    run: Name
    round: Int
    state: Digest
    memory: Digest | None
    losses: ListOf[Decimal] = Field(default=(), description="Validation loss of the start state and after each round.")
    best_round: Int = 0
    best_state: Digest
    late: ListOf[LateReply] = ()
    stopped: bool = False
