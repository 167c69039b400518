"""Digests in addresses: their 64 digits, without the `sha256:` before them."""

from __future__ import annotations

from foedus.core.digest import DIGEST, hex_of

__all__ = ["digest_of", "digits"]


def digits(digest: str) -> str:
    """A digest as it stands in an address."""
    return hex_of(digest)


def digest_of(text: str) -> str:
    """The digest that an address names; an empty text for what names none."""
    found = text if text.startswith("sha256:") else f"sha256:{text}"
    return found if DIGEST.fullmatch(found) else ""
