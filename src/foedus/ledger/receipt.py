"""Receipts and extensions: proofs that are checked with the log's public key and nothing else.

A receipt proves that one entry is in the log.

    https://c2sp.org/tlog-proof

    c2sp.org/tlog-proof@v1
    index 4
    <base64 hash>            the inclusion proof, lowest level first
    …

    <checkpoint>             with whatever cosignatures were collected

A submitter keeps an act until its receipt arrives; an act with a receipt that a later checkpoint does not include
proves that the log cheated. The optional `extra` line of the format is refused: nothing authenticates it.

An extension proves that a head only added to an older one. It is written as the request to a witness of
https://c2sp.org/tlog-witness: `old <size>`, the hashes, an empty line, the checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from foedus.core.envelope import b64, unb64
from foedus.core.errors import CallerError, VerifyError
from foedus.ledger import merkle
from foedus.ledger.note import Checkpoint, Note, require_head

__all__ = ["Extension", "Receipt", "check_extension", "check_receipt"]

_HEAD = "c2sp.org/tlog-proof@v1\n"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The place of an entry, the hashes from its leaf to the root, and the note that signs the root."""

    index: int
    path: Sequence[bytes]
    note: Note

    def to_bytes(self) -> bytes:
        """The receipt as it is written."""
        hashes = "".join(b64(item) + "\n" for item in self.path)
        return f"{_HEAD}index {self.index}\n{hashes}\n".encode() + self.note.to_bytes()

    @staticmethod
    def from_bytes(data: bytes) -> Receipt:
        """Read a receipt; VerifyError `ledger.bad-receipt` for any other spelling, `ledger.bad-note` for its note."""
        head, gap, note = data.partition(b"\n\n")
        found = re.fullmatch(
            rb"c2sp\.org/tlog-proof@v1\nindex (0|[1-9][0-9]{0,17})((?:\n[A-Za-z0-9+/]{43}=){0,63})", head
        )
        if not gap or not found:
            raise VerifyError("ledger.bad-receipt", got=repr(data[:100]))
        return Receipt(int(found[1]), _hashes(found[2]), Note.from_bytes(note))


@dataclass(frozen=True, slots=True)
class Extension:
    """The size of an older head, the hashes from its root to the new one, and the note that signs that."""

    old_size: int
    path: Sequence[bytes]
    note: Note

    def to_bytes(self) -> bytes:
        """The extension as it is written."""
        hashes = "".join(b64(item) + "\n" for item in self.path)
        return f"old {self.old_size}\n{hashes}\n".encode() + self.note.to_bytes()

    @staticmethod
    def from_bytes(data: bytes) -> Extension:
        """Read an extension; VerifyError `ledger.bad-receipt` for any other spelling, or `ledger.bad-note`."""
        head, gap, note = data.partition(b"\n\n")
        found = re.fullmatch(rb"old (0|[1-9][0-9]{0,17})((?:\n[A-Za-z0-9+/]{43}=){0,63})", head)
        if not gap or not found:
            raise VerifyError("ledger.bad-receipt", got=repr(data[:100]))
        return Extension(int(found[1]), _hashes(found[2]), Note.from_bytes(note))


def _hashes(lines: bytes) -> list[bytes]:
    try:
        return [unb64(line) for line in lines.decode().split("\n")[1:]]
    except CallerError as error:
        raise VerifyError("ledger.bad-receipt", got=repr(lines[:100])) from error


def check_receipt(data: bytes, leaf: bytes, *, origin: str, log_key: str) -> Checkpoint:
    """The head in which these leaf bytes are proven to stand.

    Raises:
        VerifyError: `ledger.bad-receipt`, `ledger.bad-note`, `ledger.bad-checkpoint`, `ledger.wrong-origin`,
            `ledger.not-signed-by-log` or `ledger.not-included`.
    """
    receipt = Receipt.from_bytes(data)
    head = require_head(receipt.note, origin=origin, log_key=log_key)
    if not merkle.is_included(merkle.leaf_hash(leaf), receipt.index, head.size, receipt.path, head.root):
        raise VerifyError("ledger.not-included", index=receipt.index, size=head.size)
    return head


def check_extension(data: bytes, older: bytes, *, origin: str, log_key: str) -> Checkpoint:
    """The head that is proven to begin with the entries of `older`, an earlier checkpoint.

    Raises:
        VerifyError: as `check_receipt`, or `ledger.forked`: the two notes together prove that the log signed two
        histories.
    """
    extension = Extension.from_bytes(data)
    head = require_head(extension.note, origin=origin, log_key=log_key)
    old = require_head(Note.from_bytes(older), origin=origin, log_key=log_key)
    steps = (extension.old_size, head.size, extension.path, old.root, head.root)
    if extension.old_size != old.size or not merkle.is_consistent(*steps):
        raise VerifyError("ledger.forked", size=old.size, ours=old.text, theirs=head.text)
    return head
