"""What a verifier reads, before anything of it is believed: files of a bundle, entries of a ledger, objects by digest.
Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from foedus.core.digest import hex_of, sha256, sha256_file
from foedus.core.errors import CallerError, FoedusError, VerifyError
from foedus.core.files import read_bytes
from foedus.core.messages import error_text
from foedus.core.objects import ObjectStore
from foedus.ledger.leaf import Leaf, parse_leaf
from foedus.ledger.note import Checkpoint, Note
from foedus.ledger.tiles import CHECKPOINT, ENTRIES, WIDTH, layout, unbundle
from foedus.records.base import Record

__all__ = ["claimed_leaves", "kept_object", "named_objects", "parsed", "read", "stored"]

R = TypeVar("R", bound=Record)


def read(folder: Path, name: str) -> bytes:
    """A bundle's file; VerifyError `release.file-missing`."""
    if not (folder / name).is_file():
        raise VerifyError("release.file-missing", path=name)
    return read_bytes(folder / name, limit_bytes=1 << 28)


def parsed(folder: Path, name: str, kind: type[R]) -> R:
    """The record in a bundle's file; VerifyError `release.file-missing` or `release.file-malformed` names it."""
    data = read(folder, name)
    try:
        return kind.from_bytes(data)
    except FoedusError as error:
        raise VerifyError("release.file-malformed", path=name, reason=error_text(error).got) from error


def kept_object(folder: Path, digest: str) -> bytes | None:
    """An object among a bundle's own, none where it is not there or another."""
    path = folder / "objects" / f"{hex_of(digest)}.json"
    data = read_bytes(path, limit_bytes=1 << 28) if path.is_file() else None
    return data if data is not None and sha256(data) == digest else None


def named_objects(folder: Path, ledger: Path | None) -> Callable[[str], bytes | None]:
    """What the ledger names, from the bundle's own files by their digest, or from the store beside a newer ledger."""
    paths: dict[str, Path] = {}
    for kind in ("accord", "objects", "report", "cards"):
        for path in sorted((folder / kind).glob("*.json")):
            paths[sha256_file(path)] = path
    more = stored(ledger.parent / "objects") if ledger else None

    def find(digest: str) -> bytes | None:
        if path := paths.get(digest):
            return read_bytes(path, limit_bytes=1 << 28)
        return more(digest) if more else None

    return find


def stored(folder: Path) -> Callable[[str], bytes | None]:
    """A look into a store of objects, none where it has not got one; a damaged object is a VerifyError."""
    store = ObjectStore(folder)

    def find(digest: str) -> bytes | None:
        try:
            return store.get(digest) if digest in store else None
        except CallerError:
            return None

    return find


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
