"""Reading a ledger's folder without trusting it and without writing to it."""

from __future__ import annotations

from pathlib import Path

from foedus.core.errors import VerifyError
from foedus.core.files import read_bytes
from foedus.ledger.leaf import Leaf, parse_leaf
from foedus.ledger.note import Checkpoint, Note
from foedus.ledger.tiles import CHECKPOINT, ENTRIES, WIDTH, layout, unbundle

__all__ = ["claimed_leaves"]


def claimed_leaves(folder: Path) -> list[Leaf]:
    """The entries as the folder has them, before its checkpoint's signature or root is checked.

    Enough to find the log's present key, which authors' signatures vouch for; all else comes after `verify_structure`.
    """
    head = Checkpoint.parse(Note.from_bytes(read_bytes(folder / CHECKPOINT, limit_bytes=1 << 16)).text)
    leaves: list[Leaf] = []
    for tile in layout(head.size):
        if not (folder / tile.path).is_file():
            raise VerifyError("ledger.missing-file", file=tile.path)
        if tile.level == ENTRIES:
            data = read_bytes(folder / tile.path)
            leaves += [parse_leaf(one, tile.index * WIDTH + at) for at, one in enumerate(unbundle(data, tile))]
    return leaves
