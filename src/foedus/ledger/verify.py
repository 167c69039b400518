"""Every check of a ledger folder, from its files and the log's public key alone.

What is checked, in this order; the first failure ends it, and then no entry is handed out:

    (1) `ledger.checkpoint`  the head is a signed note of this log, under the given key
    (2) `ledger.files`       the folder holds the files that a ledger of this size consists of, and nothing else
    (3) `ledger.entries`     every entry is a leaf in canonical form, of which one byte string and no other exists
    (4) `ledger.root`        the root rebuilt from the entries is the signed one
    (5) `ledger.tiles`       every tile holds the hashes that the entries give
    (6) `ledger.order`       the times of recording never go back
    (7) `ledger.since`       the head only added to the older checkpoint that the caller kept (where one is given)

So every byte of every file counts, but for cosignatures: their keys stand in the accord, which is folded from these
very entries. `verify_witnesses` checks them afterwards. The authors' signatures are checked by the fold, once each.

Nothing is printed and nothing is written. What none of this can show: that the log showed everybody the same head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from foedus.core.checks import Check, ok
from foedus.core.errors import CallerError, FoedusError, VerifyError
from foedus.core.files import read_bytes
from foedus.ledger import merkle
from foedus.ledger.leaf import LIMIT_BYTES, Leaf, parse_leaf
from foedus.ledger.note import Checkpoint, Note, cosigned_at, require_head, witness_name
from foedus.ledger.tiles import CHECKPOINT, ENTRIES, WIDTH, Tile, content, grow, layout, tree_root, unbundle, walk

__all__ = ["verify_structure", "verify_witnesses"]

_COSIGNATURE_SIZE = 72


class _Failed(Exception):  # noqa: N818 - carries a check out of the steps; never leaves this module
    def __init__(self, check: Check) -> None:
        self.check = check


def verify_structure(
    folder: Path, *, log_key: str, origin: str, since: bytes | None = None
) -> tuple[list[Check], list[Leaf]]:
    """The checks of a ledger folder and, when all held, its entries in order; no entry when one failed.

    `log_key` is the log's public key and `origin` its name, both from the accord and never from the folder. `since`
    is an older checkpoint of this log that the caller kept.

    Raises:
        CallerError: `ledger.none-here` when there is no such folder. All else is a failed check that names its file.
    """
    if not folder.is_dir():
        raise CallerError("ledger.none-here", folder=str(folder))
    checks: list[Check] = []
    try:
        leaves = _verified(folder, log_key, origin, since, checks.append)
    except _Failed as failed:
        return [*checks, failed.check], []
    return checks, leaves


def _verified(
    folder: Path, log_key: str, origin: str, since: bytes | None, held: Callable[[Check], None]
) -> list[Leaf]:
    # (1) The head: everything below is measured against it.
    with _step("ledger.checkpoint", CHECKPOINT):
        files, folders, others = walk(folder)
        if CHECKPOINT not in files:
            raise VerifyError("ledger.missing-file", file=CHECKPOINT)
        note = Note.from_bytes(read_bytes(folder / CHECKPOINT))
        head = require_head(note, origin=origin, log_key=log_key)
        _require_tidy_lines(note, head)
    held(ok("ledger.checkpoint", size=head.size))

    # (2) The files: a size calls for exactly one set of them.
    _require_files(files, folders, others, head.size)
    held(ok("ledger.files", files=len(files)))

    # (3) The entries.
    leaves = [leaf for tile in layout(head.size) if tile.level == ENTRIES for leaf in _read_bundle(folder, tile)]
    held(ok("ledger.entries", entries=len(leaves)))

    # (4) The root. When it differs, the tiles of leaf hashes may tell which entry was changed.
    hashes = [merkle.leaf_hash(leaf.data) for leaf in leaves]
    levels: list[list[bytes]] = []
    grow(levels, hashes)
    if tree_root(levels) != head.root:
        raise _Failed(_name_the_changed(folder, head, hashes))
    held(ok("ledger.root", entries=len(leaves)))

    # (5) The tiles.
    for tile in layout(head.size):
        if tile.level != ENTRIES:
            with _step("ledger.tiles", tile.path):
                if read_bytes(folder / tile.path, limit_bytes=WIDTH * merkle.HASH_SIZE) != content(tile, levels):
                    raise VerifyError("ledger.tile-changed", file=tile.path)
    held(ok("ledger.tiles"))

    # (6) The order of time.
    for before, leaf in pairwise(leaves):
        if leaf.recorded_at < before.recorded_at:
            with _step("ledger.order", _bundle_of(leaf.index, head.size).path):
                earliest, got = before.recorded_at, leaf.recorded_at
                raise VerifyError("ledger.time-goes-back", index=leaf.index, expected=earliest, got=got)
    held(ok("ledger.order"))

    # (7) The past.
    if since is not None:
        with _step("ledger.since", CHECKPOINT):
            older = require_head(Note.from_bytes(since), origin=origin, log_key=log_key)
            if older.size > head.size:
                raise VerifyError("ledger.shorter-than-before", expected=older.size, got=head.size)
            if merkle.root(hashes[: older.size]) != older.root:
                raise VerifyError("ledger.forked", size=older.size, ours=older.text, theirs=head.text)
        held(ok("ledger.since", size=older.size))
    return leaves


def verify_witnesses(checkpoint: bytes, *, origin: str, witnesses: Mapping[str, str], needed: int) -> list[Check]:
    """The checks of a head's cosignatures. `witnesses`: member → witness key in force; `needed`: how many must have
    signed.

    Each cosignature must be a known witness's and valid. Fewer than `needed` is a warning, `ledger.split-view`: the
    log may have shown other readers another head.
    """
    try:
        with _step("ledger.cosignatures", CHECKPOINT):
            note = Note.from_bytes(checkpoint)
            names = {witness_name(origin, member): member for member in witnesses}
            lines = [line for line in note.lines if line.name != origin]
            for line in lines:
                if line.name not in names:
                    raise VerifyError("ledger.unknown-witness", name=line.name)
                cosigned_at(note.text, line, line.name, witnesses[names[line.name]])
    except _Failed as failed:
        return [failed.check]
    count = len({line.name for line in lines})
    valid = ok("ledger.cosignatures", count=count)
    if count < needed:
        return [valid, Check("ledger.split-view", "warn", {"count": count, "needed": needed})]
    return [valid, ok("ledger.witnesses", count=count, needed=needed)]


@contextmanager
def _step(name: str, file: str) -> Iterator[None]:
    """What is raised inside becomes the failed check `name`, which names the file."""
    try:
        yield
    except FoedusError as error:
        fields = {**error.fields, "file": file}
        raise _Failed(Check(name, "fail", fields, VerifyError(error.code, **fields))) from error


def _require_tidy_lines(note: Note, head: Checkpoint) -> None:
    """One signature by the log, then cosignatures sorted by name: nothing else can hide among the lines."""
    first, *rest = note.lines
    names = [line.name for line in rest]
    if first.name != head.origin or names != sorted(set(names)):
        raise VerifyError("ledger.untidy-signatures", got=", ".join([first.name, *names]))
    for line in rest:
        if not line.name.startswith(f"{head.origin}/") or len(line.signature) != _COSIGNATURE_SIZE:
            raise VerifyError("ledger.untidy-signatures", got=line.name)


def _require_files(files: set[str], folders: set[str], others: set[str], size: int) -> None:
    for path in sorted(others):  # a link or a device is no file of a ledger, whatever its name
        with _step("ledger.files", path):
            raise VerifyError("ledger.unlisted-file", file=path)
    needed = {CHECKPOINT}
    for tile in layout(size):  # stops at the first gap, so that a boast of a size cannot fill the memory
        if tile.path not in files:
            with _step("ledger.files", tile.path):
                raise VerifyError("ledger.missing-file", file=tile.path)
        needed.add(tile.path)
    parents = {parent.as_posix() for path in needed for parent in Path(path).parents} - {"."}
    for path in sorted((files - needed) | (folders - parents)):
        with _step("ledger.files", path):
            raise VerifyError("ledger.unlisted-file", file=path)


def _read_bundle(folder: Path, tile: Tile) -> list[Leaf]:
    with _step("ledger.entries", tile.path):
        data = read_bytes(folder / tile.path, limit_bytes=WIDTH * (2 + LIMIT_BYTES))
        first = tile.index * WIDTH
        return [parse_leaf(leaf, first + at) for at, leaf in enumerate(unbundle(data, tile))]


def _bundle_of(index: int, size: int) -> Tile:
    start = index - index % WIDTH
    return Tile(ENTRIES, index // WIDTH, min(WIDTH, size - start))


def _name_the_changed(folder: Path, head: Checkpoint, hashes: list[bytes]) -> Check:
    """The failed check of the root: the first entry that the tiles do not know, or else the checkpoint."""
    try:
        for index in range(0, len(hashes), WIDTH):
            bundle = _bundle_of(index, head.size)
            with _step("ledger.root", bundle.path):
                tile = Tile(0, bundle.index, bundle.width)
                data = read_bytes(folder / tile.path, limit_bytes=WIDTH * merkle.HASH_SIZE)
                for at in range(bundle.width):
                    expected = data[at * merkle.HASH_SIZE : (at + 1) * merkle.HASH_SIZE]
                    if hashes[index + at] != expected:
                        raise VerifyError("ledger.entry-changed", index=index + at, file=bundle.path)
        with _step("ledger.root", CHECKPOINT):
            raise VerifyError("ledger.root-differs", size=head.size)
    except _Failed as failed:
        return failed.check
    raise AssertionError("one of the two was raised")
