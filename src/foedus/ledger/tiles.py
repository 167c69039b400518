"""The files of a ledger, as https://c2sp.org/tlog-tiles lays them out. Pure, but for `walk`.

    checkpoint                       the head, a signed note
    tile/<level>/<N>[.p/<width>]     up to 256 hashes: level 0 of leaves, level k of full tiles of level k - 1
    tile/entries/<N>[.p/<width>]     up to 256 leaves, each behind its length in two bytes, big end first

A size calls for exactly one set of files: every full tile, and of each level the one partial tile at its end. C2SP
asks that a server also give the narrower partial tiles of earlier sizes; they are the first bytes of the wider one,
which is all that is kept here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from foedus.core.errors import VerifyError
from foedus.ledger import merkle

__all__ = [
    "CHECKPOINT",
    "ENTRIES",
    "WIDTH",
    "Tile",
    "bundle",
    "content",
    "frontier",
    "grow",
    "items",
    "layout",
    "tree_root",
    "unbundle",
    "walk",
]

CHECKPOINT = "checkpoint"
WIDTH = 256
ENTRIES = -1
"""The level of the bundles of entries, which lie beside level 0."""

_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """The name of a tile: its level (`ENTRIES` for a bundle), its index there, and how many items it holds."""

    level: int
    index: int
    width: int

    @property
    def path(self) -> str:
        """Where the tile lies below the ledger's folder."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        *groups, last = (digits[i : i + 3] for i in range(0, len(digits), 3))
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return "/".join(["tile", level, *(f"x{group}" for group in groups), last]) + partial

    @staticmethod
    def parse(path: str) -> Tile | None:
        """The tile of a path; none when no tile has that path."""
        found = _PATH.fullmatch(path)
        if not found:
            return None
        level = ENTRIES if found[1] == "entries" else int(found[1])
        tile = Tile(level, int(re.sub("[x/]", "", found[2])), int(found[3] or WIDTH))
        return tile if tile.path == path else None

    def stands_in(self, size: int) -> bool:
        """Whether a ledger of this size holds the tile."""
        count = items(self.level, size)
        full = self.width == WIDTH and self.index < count // WIDTH
        return full or (self.width == count % WIDTH and self.index == count // WIDTH)

    def covered_by(self, size: int) -> bool:
        """Whether all items of the tile stand in the wider tile of a ledger of this size."""
        return self.index * WIDTH + self.width <= items(self.level, size)


def items(level: int, size: int) -> int:
    """How many items the tiles of a level hold together: leaves, or full tiles of the level below."""
    return size >> 8 * max(level, 0)


def layout(size: int) -> Iterator[Tile]:
    """The tiles that a ledger of this size consists of."""
    yield from _row(ENTRIES, size)
    level = 0
    while size:
        yield from _row(level, size)
        size //= WIDTH
        level += 1


def _row(level: int, count: int) -> Iterator[Tile]:
    for index in range(count // WIDTH):
        yield Tile(level, index, WIDTH)
    if count % WIDTH:
        yield Tile(level, count // WIDTH, count % WIDTH)


def grow(levels: list[list[bytes]], hashes: Iterable[bytes]) -> None:
    """Add leaf hashes to a tree: `levels[0]` are the leaves, `levels[k]` the roots of full tiles below."""
    if not levels:
        levels.append([])
    levels[0].extend(hashes)
    for below, level in enumerate(range(1, 64)):
        full = len(levels[below]) // WIDTH
        if not full:
            return
        if len(levels) == level:
            levels.append([])
        for index in range(len(levels[level]), full):
            levels[level].append(merkle.root(levels[below][index * WIDTH : (index + 1) * WIDTH]))


def frontier(levels: Sequence[Sequence[bytes]]) -> merkle.Frontier:
    """A tree that `grow` grew, ready for one more leaf: at each level, the hashes that no full tile above holds."""
    peaks: list[bytes] = []
    for level in reversed(levels):
        part = merkle.Frontier()
        for hashed in level[len(level) - len(level) % WIDTH :]:
            part.add(hashed)
        peaks += part.peaks
    return merkle.Frontier(len(levels[0]) if levels else 0, peaks)


def tree_root(levels: Sequence[Sequence[bytes]]) -> bytes:
    """The root of a tree that `grow` grew."""
    return frontier(levels).root


def content(tile: Tile, levels: Sequence[Sequence[bytes]]) -> bytes:
    """The bytes of a tile of hashes."""
    start = tile.index * WIDTH
    return b"".join(levels[tile.level][start : start + tile.width])


def bundle(leaves: Iterable[bytes]) -> bytes:
    """The bytes of a bundle of entries."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def unbundle(data: bytes, tile: Tile) -> list[bytes]:
    """The leaves in a bundle; VerifyError `ledger.bad-bundle` unless they are as many as its name says."""
    leaves, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            break
        leaves.append(data[at + 2 : end])
        at = end
    if at != len(data) or len(leaves) != tile.width:
        raise VerifyError("ledger.bad-bundle", file=tile.path, expected=tile.width, got=len(leaves))
    return leaves


def walk(folder: Path) -> tuple[set[str], set[str], set[str]]:
    """The plain files, the folders, and all else (links, devices) below a folder, as paths with `/`."""
    files: set[str] = set()
    folders: set[str] = set()
    others: set[str] = set()
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(folder / prefix) as items:
            for item in items:
                path = prefix + item.name
                if item.is_dir(follow_symlinks=False):
                    folders.add(path)
                    waiting.append(path + "/")
                elif item.is_file(follow_symlinks=False):
                    files.add(path)
                else:
                    others.add(path)
    return files, folders, others
