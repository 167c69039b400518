"""What a member sends of its journal, by its own act: chosen lines, signed."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from foedus.records.base import Digest, Instant, Int, ListOf, Name, Positive, Record, Text

__all__ = ["JournalLine", "SentJournal"]


class JournalLine(Record):
    """A line of a member's journal as it stands there: its canonical bytes are the line's."""

    n: Positive
    at: Instant
    event: Literal["reserved", "answered", "refused", "failed"]
    ask: Digest
    place: Text
    reply: Digest | None
    private: dict[Name, Digest]
    detail: str
    prev: Digest | None


class SentJournal(Record):
    """Lines that a member chose to send, in the journal's order, signed with its act key. `size` is how many the
    journal had.

    Enforced when it is read: a line that follows another one by number names it by digest.
    """

    kind: ClassVar[str] = "journal.sent"
    v: Literal[1] = 1
    accord: Digest
    member: Name
    at: Instant
    size: Int
    lines: ListOf[JournalLine] = Field(min_length=1)
