"""Two kinds of randomness, two types.

`PublicRng` is recomputable by anyone from the accord's seed: cohorts, initial values, order of data. `SecretRng` comes
from the operating system: noise, masks, salts, nonces. Passing one for the other is a type error.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["PublicRng", "SecretRng"]

T = TypeVar("T")


class PublicRng:
    """A stream of bytes from SHA-256 in counter mode over a seed and a purpose. Same arguments, same stream."""

    def __init__(self, seed: str, /, *purpose: str | int) -> None:
        text = "\x00".join([seed, *map(str, purpose)])
        self._key = hashlib.sha256(b"foedus public rng v1\x00" + text.encode()).digest()
        self._counter = 0
        self._rest = b""

    def bytes(self, count: int) -> bytes:
        """The next `count` bytes."""
        while len(self._rest) < count:
            self._rest += hashlib.sha256(self._key + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def below(self, bound: int) -> int:
        """A whole number in [0, bound), without bias."""
        if bound < 1:
            raise ValueError(f"bound must be at least 1, got {bound}")
        size = (bound.bit_length() + 7) // 8
        limit = 256**size - 256**size % bound
        while True:
            value = int.from_bytes(self.bytes(size), "big")
            if value < limit:
                return value % bound

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """A copy in random order (Fisher–Yates)."""
        out = list(items)
        for i in range(len(out) - 1, 0, -1):
            j = self.below(i + 1)
            out[i], out[j] = out[j], out[i]
        return out

    def seed63(self) -> int:
        """A seed for a library's own generator, in [0, 2**63)."""
        return int.from_bytes(self.bytes(8), "big") >> 1


class SecretRng:
    """Randomness of the operating system."""

    def bytes(self, count: int) -> bytes:
        """`count` fresh bytes."""
        return secrets.token_bytes(count)

    def hex(self, count: int) -> str:
        """`count` fresh bytes as hexadecimal digits."""
        return secrets.token_hex(count)
