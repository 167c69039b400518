"""Cutting one file into train, validation and test by a key that the member keeps.

Where a row goes depends on its text (or the column `split.by`, or its document) and the member's key, never on its
place in the file: rows with the same text never stand in two parts, a longer file keeps the old rows where they were,
and nobody without the key can tell which text is a test text.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from typing import Literal

from foedus.core import canonical
from foedus.data.examples import Example, normalised
from foedus.data.mapping import Split

__all__ = ["PART_NAMES", "PartName", "in_order", "part_of"]

PartName = Literal["train", "validation", "test"]
PART_NAMES: tuple[PartName, ...] = ("train", "validation", "test")


def part_of(example: Example, by: str | None, split: Split, *, key: bytes) -> PartName:
    """The part of an example.

    HMAC-SHA256 of `by`, else the document, else the normalised text; its first 64 bits, as a share of 2**64, are
    compared with the percentages of `split` in the order train, validation, test.
    """
    if by is not None:
        what, value = "by", by
    elif example.document is not None:
        what, value = "document", example.document
    else:
        what, value = "text", normalised(example.text)
    tag = hmac.digest(key, f"foedus split v1\0{what}\0{value}".encode(), sha256)
    percent = int.from_bytes(tag[:8], "big") * 100 >> 64
    if percent < split.train:
        return "train"
    return "validation" if percent < split.train + split.validation else "test"


def in_order(examples: Iterable[Example], *, key: bytes) -> tuple[Example, ...]:
    """Examples with their ids, sorted by id: the order does not depend on the file's.

    The id is the hexadecimal HMAC-SHA256 of the example's canonical JSON; examples that say the same share it.
    """
    named = (
        example._replace(
            id=hmac.digest(key, b"foedus example v1\0" + canonical.encode(example.content()), sha256).hex()
        )
        for example in examples
    )
    return tuple(sorted(named, key=lambda example: example.id))
