"""A commitment to a part: the root of a salted Merkle tree over its examples.

    salt(i)  HMAC-SHA256(part salt, i as 8 bytes, big endian)
    leaf(i)  SHA-256(0x00 · salt(i) · canonical JSON of example i)
    node     SHA-256(0x01 · left · right); the left tree holds the largest power of two below the count (RFC 6962 §2.1)
    root     of no examples: SHA-256 of nothing

The part salt is derived from the member's key, so the member can open any leaf later and nobody else can test a guess.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256

from foedus.core import canonical
from foedus.data.examples import Example

__all__ = ["commitment", "part_salt"]


def part_salt(key: bytes, *, name: str, part: str) -> bytes:
    """The salt of one part of one data set: 32 bytes."""
    return hmac.digest(key, f"foedus part salt v1\0{name}\0{part}".encode(), sha256)


def commitment(examples: Sequence[Example], *, salt: bytes) -> str:
    """The digest that commits to these examples in this order."""
    leaves = [
        sha256(
            b"\x00"
            + hmac.digest(salt, i.to_bytes(8, "big"), sha256)
            + canonical.encode({"id": example.id, **example.content()})
        ).digest()
        for i, example in enumerate(examples)
    ]
    return "sha256:" + _root(leaves).hex()


def _root(leaves: list[bytes]) -> bytes:
    """Pairing neighbours level by level, the odd one carried up, gives RFC 6962's tree."""
    if not leaves:
        return sha256().digest()
    while len(leaves) > 1:
        paired = [sha256(b"\x01" + a + b).digest() for a, b in zip(leaves[::2], leaves[1::2], strict=False)]
        leaves = paired + (leaves[-1:] if len(leaves) % 2 else [])
    return leaves[0]
