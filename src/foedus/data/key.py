"""The member's own key for its data: it decides the split and salts commitments and cards. It never leaves the machine.

Losing it loses nothing but the split: a new key gives other parts, which are a new card.
"""

from __future__ import annotations

from pathlib import Path

from foedus.core.errors import IdentityError
from foedus.core.files import read_bytes, write_atomic
from foedus.core.rng import SecretRng

__all__ = ["KEY_FILE", "data_key"]

KEY_FILE = Path("keys/data.key")
"""Where the key lies in a workspace: 64 hexadecimal digits, readable by the owner only."""


def data_key(path: Path) -> bytes:
    """The 32 bytes of the key in a file, made on first use.

    Raises:
        IdentityError: `keys.readable-by-others`, or `keys.unreadable` when the file holds something else.
        RunError: `files.cannot-write`.
    """
    if not path.exists():
        write_atomic(path, SecretRng().hex(32).encode() + b"\n", mode=0o600)
    data = read_bytes(path, limit_bytes=1 << 10)
    if path.stat().st_mode & 0o077:
        raise IdentityError("keys.readable-by-others", path=str(path), mode=oct(path.stat().st_mode & 0o777))
    try:
        key = bytes.fromhex(data.decode())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise IdentityError("keys.unreadable", path=str(path))
    return key
