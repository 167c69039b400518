"""The ledger's folder: append, extend a copy, collect cosignatures, give receipts.

One writer at a time holds the lock, `.<folder>.lock` beside the folder. Readers need no lock.

An advance from one head to the next takes five steps, each flushed to disk before the next begins:

    (1) `checkpoint.next` gets the new head: from here on it is known how far the advance was to go
    (2) the new tiles are written beside the old ones
    (3) `checkpoint.next` is renamed to `checkpoint`: this instant is the advance
    (4) partial tiles that a wider one now covers are removed
    (5) so are folders that this emptied

So a process killed at any instant, or a full disk, leaves a ledger with the entry or without it. Opening finds what
is left over: before (3) it removes the new files and the entry is not recorded; after (3) it removes the old files
and the entry is recorded; `repaired` says which. It removes nothing that those steps cannot have left: any other file
is refused, and so is a folder that holds entries beyond its checkpoint.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from foedus.core.clock import Clock, spell
from foedus.core.digest import sha256
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError, IdentityError, RunError, VerifyError
from foedus.core.files import fsync_folder, lock, read_bytes, write_atomic
from foedus.core.keys import PrivateKey
from foedus.core.messages import say
from foedus.ledger import merkle
from foedus.ledger.leaf import LIMIT_BYTES, Leaf, envelope_part, leaf_bytes, parse_leaf, recorded_part
from foedus.ledger.note import Checkpoint, Line, Note, cosigned_at, require_head, sign, signed_by, witness_name
from foedus.ledger.receipt import Extension, Receipt
from foedus.ledger.tiles import (
    CHECKPOINT,
    ENTRIES,
    WIDTH,
    Tile,
    bundle,
    content,
    frontier,
    grow,
    items,
    layout,
    unbundle,
    walk,
)
from foedus.ledger.verify import verify_structure

__all__ = ["Leaf", "Ledger", "head_digest", "leaf_bytes"]

_NEXT = "checkpoint.next"
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


class Ledger:
    """One ledger folder. What it gives is of the head that it last saw; `refresh` looks again.

    `repaired` says in words what an interrupted advance left and what became of it; none when there was nothing.
    """

    def __init__(self, folder: Path) -> None:
        """Open a ledger.

        Raises:
            CallerError: `ledger.none-here`.
            VerifyError: `ledger.missing-file`, `ledger.unlisted-file`, `ledger.bad-note` or `ledger.bad-checkpoint`.
        """
        self.folder = folder
        self.repaired = _repair(folder)
        self._levels: list[list[bytes]] = []
        self._load()

    @staticmethod
    def create(folder: Path, *, origin: str, key: PrivateKey) -> Ledger:
        """A new, empty ledger; `key` is the log key and `origin` its name. CallerError `ledger.exists`."""
        head = Checkpoint(origin, 0, merkle.EMPTY_ROOT)
        return _found(folder, [], Note(head.text, (sign(head.text, origin, key),)))

    @staticmethod
    def receive(folder: Path, leaves: Sequence[bytes], checkpoint: bytes, *, origin: str, log_key: str) -> Ledger:
        """A member's new copy from leaf bytes and the signed head over them.

        Raises:
            CallerError: `ledger.exists`.
            VerifyError: as for `extend`.
        """
        note = Note.from_bytes(checkpoint)
        head = require_head(note, origin=origin, log_key=log_key)
        _checked(leaves, head, start=0, frontier=merkle.Frontier(), recorded_at="")
        return _found(folder, leaves, Note(note.text, _by_log(note)))

    # ── reading ──────────────────────────────────────────────────────────────

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.head.origin

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.head.size

    def checkpoint(self) -> bytes:
        """The head as a signed note, with the cosignatures collected so far."""
        return self._note.to_bytes()

    def refresh(self) -> None:
        """Look at the head again: another process may have moved it."""
        if read_bytes(self.folder / CHECKPOINT) != self._note.to_bytes():
            self._load()

    def leaves(self, start: int = 0) -> Iterator[Leaf]:
        """The entries from `start` on, as far as the head that was known at the call."""
        for index, data in enumerate(self.data(start), start=start):
            yield parse_leaf(data, index)

    def data(self, start: int = 0) -> Iterator[bytes]:
        """The bytes of the leaves from `start` on, unread, as far as the head that was known at the call."""
        size = self.size
        for index in range(start // WIDTH, -(-size // WIDTH)):
            for at, data in enumerate(self._bundle(index), start=index * WIDTH):
                if start <= at < size:
                    yield data

    def proof(self, index: int) -> bytes:
        """The receipt of an entry (`.tlog-proof`); CallerError `ledger.no-such-entry`."""
        self._require_index(index, self.size - 1)
        return Receipt(index, merkle.inclusion_path(index, self._tree()[0]), self._note).to_bytes()

    def extension(self, old_size: int) -> bytes:
        """The proof that this head only added to the head of `old_size` entries; CallerError `ledger.no-such-entry`."""
        self._require_index(old_size, self.size)
        return Extension(old_size, merkle.consistency_path(old_size, self._tree()[0]), self._note).to_bytes()

    # ── writing ──────────────────────────────────────────────────────────────

    def append(self, envelope: Envelope, *, key: PrivateKey, clock: Clock, since: int = 0) -> int:
        """Record an author's signed entry durably and give its index. `key` is the log key.

        The same envelope again gives the same index and changes nothing; it is looked for among the entries from
        `since` on, so who folded those before it need not have them read again. `recorded_at` is the clock's, or that
        of the last entry where the clock went back. The author's signature and rights are the fold's to check, before
        this.

        Raises:
            CallerError: `ledger.entry-too-large`.
            IdentityError: `ledger.wrong-log-key` when `key` is not the one that signed the present head.
            RunError: `files.cannot-write`; the ledger is as it was.
            VerifyError: `ledger.bad-entry` for an envelope that is no entry with one signature.
        """
        with self._writing():
            if not signed_by(self._note, self.origin, key.public):
                raise IdentityError("ledger.wrong-log-key", origin=self.origin)
            sought = envelope.to_bytes()
            for at, known in enumerate(self.data(since), start=since):
                if envelope_part(known) == sought:
                    return at
            index, recorded_at = self.size, max(spell(clock()), self._last())
            data = leaf_bytes(envelope, recorded_at)
            if len(data) >= LIMIT_BYTES:
                raise CallerError("ledger.entry-too-large", size_bytes=len(data), limit_bytes=LIMIT_BYTES)
            parse_leaf(data, index)
            tree = frontier(self._tree())
            tree.add(merkle.leaf_hash(data))
            head = Checkpoint(self.origin, index + 1, tree.root)
            self._advance([data], Note(head.text, (sign(head.text, self.origin, key),)))
            return index

    def extend(self, leaves: Sequence[bytes], checkpoint: bytes, *, log_key: str) -> int:
        """Bring a member's copy to a newer head by the leaf bytes that it lacks; gives how many were added.

        The copy's own entries and the new ones together must have the signed root: that is the consistency check. An
        older head is accepted without effect when it is a prefix. Cosignatures are not taken over: `add_cosignature`
        checks each.

        Raises:
            VerifyError: `ledger.forked` when the log signed a head that this copy contradicts (both notes prove it),
                `ledger.not-an-extension`, `ledger.wrong-count`, `ledger.bad-entry`, `ledger.time-goes-back`,
                `ledger.wrong-origin`, `ledger.not-signed-by-log`, `ledger.bad-signature`, `ledger.bad-note`.
        """
        note = Note.from_bytes(checkpoint)
        head = require_head(note, origin=self.origin, log_key=log_key)
        with self._writing():
            if head.size <= self.size:
                if merkle.root(self._tree()[0][: head.size]) != head.root:
                    raise VerifyError("ledger.forked", size=head.size, ours=self.head.text, theirs=head.text)
                return 0
            tree = frontier(self._tree())
            _checked(leaves, head, start=self.size, frontier=tree, recorded_at=self._last())
            self._advance(leaves, Note(note.text, _by_log(note)))
            return len(leaves)

    def extend_from(self, other: Path, *, log_key: str) -> int:
        """Bring a member's copy to the head of another folder of the same log, which is verified whole first.

        Raises:
            VerifyError: what `verify_structure` finds there, or as for `extend`.
        """
        checks, leaves = verify_structure(other, log_key=log_key, origin=self.origin)
        for check in checks:
            if check.error:
                raise check.error
        self.refresh()
        newer = [leaf.data for leaf in leaves[self.size :]]
        return self.extend(newer, read_bytes(other / CHECKPOINT), log_key=log_key)

    def add_cosignature(self, line: str, *, member: str, public: str) -> None:
        """Add a member's cosignature of the present head; a second one by the same member takes the first one's place.

        Raises:
            VerifyError: `ledger.bad-note` or `ledger.bad-cosignature`, also when the head has moved since.
        """
        name = witness_name(self.origin, member)
        cosignature = Line.parse(line)
        with self._writing():
            cosigned_at(self._note.text, cosignature, name, public)
            others = [one for one in self._note.lines if one.name not in (name, self.origin)]
            lines = sorted([*others, cosignature], key=lambda one: one.name)
            write_atomic(self.folder / CHECKPOINT, Note(self._note.text, (*_by_log(self._note), *lines)).to_bytes())
            self._load()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the ledger as it is: nobody appends meanwhile, and no advance is half done."""
        with self._writing():
            yield

    # ── inside ───────────────────────────────────────────────────────────────

    def _load(self) -> None:
        self._note = Note.from_bytes(read_bytes(self.folder / CHECKPOINT))
        self.head = Checkpoint.parse(self._note.text)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with lock(_lock_path(self.folder), wait=True):
            self.repaired = _sweep(self.folder) or self.repaired
            self.refresh()
            yield

    def _read(self, level: int, index: int) -> tuple[Tile, bytes]:
        """A tile of the head. A writer may have replaced it by a wider one meanwhile: then the head has moved, too."""
        while True:
            tile = Tile(level, index, min(WIDTH, items(level, self.size) - index * WIDTH))
            try:
                return tile, read_bytes(self.folder / tile.path)
            except CallerError as error:
                before = self.size
                self.refresh()
                if self.size == before:
                    raise VerifyError("ledger.missing-file", file=tile.path) from error

    def _bundle(self, index: int) -> list[bytes]:
        tile, data = self._read(ENTRIES, index)
        return unbundle(data, tile)

    def _tree(self) -> list[list[bytes]]:
        """The hashes of all levels, from the tiles of level 0; those that were read before are not read again.

        Raises:
            VerifyError: `ledger.root-differs` when they have another root than the head.
        """
        levels = self._levels
        while True:
            head, known = self.head, len(levels[0]) if levels else 0
            grow(levels, self._hashed(known, head.size))
            if frontier(levels).root == head.root and len(levels[0]) == head.size:
                self._levels = levels
                return levels
            if self.head == head and not known:
                raise VerifyError("ledger.root-differs", size=head.size, file=CHECKPOINT)
            levels = []  # the head moved meanwhile, or the folder was put back

    def _hashed(self, start: int, size: int) -> Iterator[bytes]:
        """The leaf hashes from `start` to below `size`."""
        for index in range(start // WIDTH, -(-size // WIDTH)):
            _, data = self._read(0, index)
            for at in range(0, len(data), merkle.HASH_SIZE):
                if start <= index * WIDTH + at // merkle.HASH_SIZE < size:
                    yield data[at : at + merkle.HASH_SIZE]

    def _last(self) -> str:
        """When the last entry was recorded."""
        return recorded_part(self._bundle((self.size - 1) // WIDTH)[-1]) if self.size else ""

    def _require_index(self, index: int, last: int) -> None:
        if not 0 <= index <= last:
            raise CallerError("ledger.no-such-entry", index=index, size=self.size)

    def _advance(self, leaves: Sequence[bytes], note: Note) -> None:
        levels = self._tree()
        try:
            grow(levels, map(merkle.leaf_hash, leaves))
            _commit(self.folder, self.size, leaves, levels, note)
        except BaseException:
            self._levels = []
            with contextlib.suppress(OSError, RunError):
                _sweep(self.folder)
            raise
        self._note, self.head = note, Checkpoint.parse(note.text)


def head_digest(folder: Path) -> str:
    """The digest of the head's text: the same with and without cosignatures."""
    return sha256(Note.from_bytes(read_bytes(folder / CHECKPOINT)).text.encode())


def _by_log(note: Note) -> tuple[Line, ...]:
    """The log's own signature."""
    return tuple(line for line in note.lines if line.name == Checkpoint.parse(note.text).origin)[:1]


def _checked(
    leaves: Sequence[bytes], head: Checkpoint, *, start: int, frontier: merkle.Frontier, recorded_at: str
) -> None:
    """Require that these leaves lead from `frontier` to `head`."""
    if start + len(leaves) != head.size:
        raise VerifyError("ledger.wrong-count", expected=head.size - start, got=len(leaves))
    for index, data in enumerate(leaves, start=start):
        leaf = parse_leaf(data, index)
        if leaf.recorded_at < recorded_at:
            raise VerifyError("ledger.time-goes-back", index=index, expected=recorded_at, got=leaf.recorded_at)
        recorded_at = leaf.recorded_at
        frontier.add(merkle.leaf_hash(data))
    if frontier.root != head.root:
        raise VerifyError("ledger.not-an-extension", size=head.size)


def _found(folder: Path, leaves: Sequence[bytes], note: Note) -> Ledger:
    """A new folder; what an interrupted founding left there is cleared away first."""
    with lock(_lock_path(folder), wait=True):
        if folder.exists() and (folder / CHECKPOINT).exists():
            raise CallerError("ledger.exists", folder=str(folder))
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        levels: list[list[bytes]] = []
        grow(levels, map(merkle.leaf_hash, leaves))
        _commit(folder, 0, leaves, levels, note)
    return Ledger(folder)


def _commit(folder: Path, old_size: int, leaves: Sequence[bytes], levels: list[list[bytes]], note: Note) -> None:
    """Advance the folder from `old_size` to the note's head; the module's docstring says how."""
    size = old_size + len(leaves)
    old, new = set(layout(old_size)), set(layout(size))
    first = old_size - old_size % WIDTH  # of the bundle that was partial
    begun = Tile(ENTRIES, old_size // WIDTH, old_size % WIDTH)
    open_leaves = unbundle(read_bytes(folder / begun.path), begun) if begun.width else []
    pending = [*open_leaves, *leaves]
    try:
        write_atomic(folder / _NEXT, note.to_bytes())  # (1)
        for tile in sorted(new - old):  # (2)
            start = tile.index * WIDTH - first
            is_bundle = tile.level == ENTRIES
            data = bundle(pending[start : start + tile.width]) if is_bundle else content(tile, levels)
            _write_durably(folder / tile.path, data)
        (folder / _NEXT).replace(folder / CHECKPOINT)  # (3)
        fsync_folder(folder)
    except OSError as error:
        raise RunError("files.cannot-write", path=str(folder), reason=error.strerror or str(error)) from error
    with contextlib.suppress(OSError):  # the entry is recorded; what cannot be removed now, the next opening removes
        for tile in old - new:  # (4)
            (folder / tile.path).unlink()
            with contextlib.suppress(OSError):
                (folder / tile.path).parent.rmdir()  # (5)


def _write_durably(path: Path, data: bytes) -> None:
    """Write a file and make the folders that this needed durable, too."""
    made = [parent for parent in path.parents if not parent.exists()]
    write_atomic(path, data)
    for parent in made:
        fsync_folder(parent.parent)


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _repair(folder: Path) -> str | None:
    """Remove what an interrupted advance left and say so; leave everything to a writer that is at work."""
    if not (folder / CHECKPOINT).is_file():
        raise CallerError("ledger.none-here", folder=str(folder))
    if _is_tidy(folder):
        return None
    try:
        with lock(_lock_path(folder)):
            return _sweep(folder)
    except RunError:
        return None  # another process holds the lock: what looks left over is its work


def _is_tidy(folder: Path) -> bool:
    files, folders, others = walk(folder)
    needed = _needed(_size(folder))
    return files == needed and folders == _parents(needed) and not others


def _sweep(folder: Path) -> str | None:
    """Under the lock: remove what the steps of an interrupted advance left, refuse anything else."""
    files, folders, others = walk(folder)
    size = _size(folder)
    needed = _needed(size) if CHECKPOINT in files else set()
    target = Checkpoint.parse(Note.from_bytes(read_bytes(folder / _NEXT)).text).size if _NEXT in files else size
    newer, older = [], []
    for path in sorted(files - needed - {_NEXT}):
        tile = Tile.parse(path)
        if _TEMPORARY.fullmatch(path.rpartition("/")[2]) or (tile and target > size and tile.stands_in(target)):
            newer.append(path)
        elif tile and tile.covered_by(size):
            older.append(path)
        else:
            raise VerifyError("ledger.unlisted-file", file=path)
    if others:
        raise VerifyError("ledger.unlisted-file", file=min(others))
    if needed - files:
        raise VerifyError("ledger.missing-file", file=min(needed - files))
    for path in [
        *older,
        *newer,
        *([_NEXT] if _NEXT in files else []),
    ]:  # `checkpoint.next` last: it explains the others
        (folder / path).unlink()
    empty = folders - _parents(needed)
    for path in sorted(empty, reverse=True):
        (folder / path).rmdir()
    if newer or _NEXT in files:
        return say("ledger.repaired.not-recorded", size=size)
    return say("ledger.repaired.recorded", size=size) if older or empty else None


def _size(folder: Path) -> int:
    """The size in the checkpoint; 0 where there is none yet."""
    path = folder / CHECKPOINT
    return Checkpoint.parse(Note.from_bytes(read_bytes(path)).text).size if path.exists() else 0


def _needed(size: int) -> set[str]:
    return {CHECKPOINT, *(tile.path for tile in layout(size))}


def _parents(paths: set[str]) -> set[str]:
    """The folders above these paths."""
    found = set()
    for path in paths:
        while path := path.rpartition("/")[0]:
            found.add(path)
    return found
