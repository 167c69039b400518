"""What a back-up of a workspace holds."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from foedus.records.base import Digest, Instant, Int, ListOf, Name, Record, Text

__all__ = ["Backup"]


class Backup(Record):
    """`backup.json`, the last file of a back-up: whose workspace it was, and every other file with its digest.

    `size` and `head` say how far the ledger had come: entries, and the digest of the head's text (null before there
    is a ledger). Private keys are among the files only where `salt` is not null; those in `sealed`, which lie open
    in the workspace, are encrypted with AES-256-GCM under scrypt(passphrase, salt), nonce first, with the path as
    associated data.
    """

    kind: ClassVar[str] = "backup"
    v: Literal[1] = 1
    party: Name
    made_at: Instant
    foedus: Text
    size: Int
    head: Digest | None
    salt: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")
    sealed: ListOf[Text] = ()
    files: dict[Text, Digest]
