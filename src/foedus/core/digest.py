"""Digests: `sha256:` and 64 lower-case hexadecimal digits. Things refer to things by digest."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

__all__ = ["DIGEST", "hex_of", "sha256", "sha256_file", "short"]

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def sha256(data: bytes | bytearray | memoryview) -> str:
    """The digest of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """The digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def hex_of(digest: str) -> str:
    """The 64 hexadecimal digits of a digest."""
    return digest.removeprefix("sha256:")


def short(digest: str) -> str:
    """The first twelve hexadecimal digits: for people, never for comparing."""
    return hex_of(digest)[:12]
