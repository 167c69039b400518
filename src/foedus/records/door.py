"""What is signed to open the hub's pages, and how a member fetches what it is to vote on.

A `Login` is a payload type of its own: an entry of the ledger is another, so neither signature ever passes for the
other. The member's machine builds the `Login` itself, from a `Challenge` each field of which it has checked.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from foedus.records.base import Digest, Instant, Int, ListOf, Name, Record, Text

__all__ = ["CHALLENGE_SECONDS", "PART_BYTES", "Candidate", "CandidateFile", "Challenge", "Fetch", "Login"]

CHALLENGE_SECONDS = 120
"""How long a challenge can be answered."""

PART_BYTES = 4 << 20
"""The most of a file that one answer of the hub holds."""

_ORIGIN = r"^https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?$"


class _Names(Record):
    v: Literal[1] = 1
    origin: str = Field(pattern=_ORIGIN, max_length=300, description="Where the pages are, as a browser says it.")
    consortium: Name | None
    party: Name
    nonce: str = Field(pattern="^[0-9a-f]{96}$")
    expires: Instant


class Challenge(_Names):
    """What the pages want signed. Unsigned: who answers compares every field with what it knows."""

    kind: ClassVar[str] = "login-challenge"


class Login(_Names):
    """A party opens the pages at this origin: the fields of the challenge, signed by the party's act key.

    Enforced by the pages: origin, consortium and party are theirs, the nonce is one that they gave for this party, has
    not ended and was not used.
    """

    kind: ClassVar[str] = "login"


class Fetch(Record):
    """A member asks its hub for a proposal's files: for their list, or for bytes of `file` from `offset` on.

    Signed by the member's act key; only those who vote on the proposal get an answer.
    """

    kind: ClassVar[str] = "fetch"
    v: Literal[1] = 1
    member: Name
    proposal: Digest
    file: Digest | None = None
    offset: Int = Field(default=0, ge=0)
    at: Instant


class CandidateFile(Record):
    """A file of a draft: its path in the bundle, its size and the digest of its content."""

    path: Text
    size: Int = Field(ge=0)
    content: Digest


class Candidate(Record):
    """The files of a draft that a voter verifies: all but the signatures that other voters have brought.

    Unsigned: the member checks every file by its digest, and the whole as `verify` does.
    """

    kind: ClassVar[str] = "candidate"
    v: Literal[1] = 1
    proposal: Digest
    files: ListOf[CandidateFile] = Field(min_length=1)
