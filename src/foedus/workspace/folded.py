"""What the ledger in a party's folder amounts to: each entry is read and folded once a process.

What was folded is remembered with the peaks of its Merkle tree. A look reads the ledger's head. Where the head moved,
the entries that came since are read and folded on, and all of them together must have the root that the log's key
signed. Where they have not, everything is read and folded from the start; where that has not either, the ledger is
refused. So what is remembered counts only as far as the signed head confirms it, and an entry that is exchanged in the
folder later cannot take the place of the one that was folded. Whether every file still is what it was, `foedus verify`
tells.

Parties of a practice consortium share a process, and hold copies of one ledger: entries that hash to a tree that was
folded for one of them are not folded again for the others.
"""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from foedus.core.digest import sha256
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError, VerifyError
from foedus.ledger.consortium import Consortium
from foedus.ledger.fold import resolve
from foedus.ledger.leaf import Leaf, parse_leaf
from foedus.ledger.log import Ledger
from foedus.ledger.merkle import Frontier, leaf_hash
from foedus.ledger.note import Checkpoint, Note, require_head
from foedus.records.acts import Entry
from foedus.records.base import open_record
from foedus.workspace.folder import Workspace

__all__ = ["Folded", "folded", "folded_with", "remember", "writing"]

Find = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Folded:
    """What entries say, the peaks of the tree over them, and by actor where the entries of its chain stand."""

    state: Consortium = field(default_factory=Consortium)
    peaks: tuple[bytes, ...] = ()
    places: Mapping[str, array[int]] = field(default_factory=dict)

    def place(self, entry: Envelope) -> int | None:
        """The index of an entry, None where it is not among these; CallerError `records.…` for what is no entry."""
        known, digest = open_record(Entry, entry), sha256(entry.payload)
        chain = self.state.chains.get(known.actor, ())
        if known.number <= len(chain) and chain[known.number - 1] == digest:
            return self.places[known.actor][known.number - 1]
        frozen = self.state.frozen.get(known.actor)
        return frozen.index if frozen and frozen.second == digest else None

    def on(self, data: Iterator[bytes] | Sequence[bytes], *, find: Find, anchor: str | None) -> Folded:
        """These and the leaves after them; `find` gives objects. Raises VerifyError `fold.…`, `ledger.bad-entry`."""
        if known := _known(anchor, beyond=self.state.size):
            data = list(data)
            further, count = _as_far_as(self, data, known)
            if count:
                return further.on(data[count:], find=find, anchor=anchor) if count < len(data) else further
        found = self._folded_on(data, find=find, anchor=anchor)
        with _lock:
            _FOLDS[anchor, found.state.size, found.peaks] = found
        return found

    def _folded_on(self, data: Iterator[bytes] | Sequence[bytes], *, find: Find, anchor: str | None) -> Folded:
        frontier = Frontier(self.state.size, self.peaks)
        places = {actor: array("Q", at) for actor, at in self.places.items()}

        def read() -> Iterator[Leaf]:
            for index, one in enumerate(data, start=self.state.size):
                frontier.add(leaf_hash(one))
                yield (leaf := parse_leaf(one, index))
                at = places.setdefault(leaf.entry.actor, array("Q"))
                if leaf.entry.number == len(at) + 1:  # else it repeats a number, and its actor is frozen
                    at.append(index)

        state = resolve(read(), objects=find, anchor=anchor, since=self.state)
        return Folded(state, frontier.peaks, places)

    def stands_under(self, head: Checkpoint) -> bool:
        """Whether these are the entries that this head counts."""
        return (head.size, head.root) == (self.state.size, Frontier(self.state.size, self.peaks).root)


def _known(anchor: str | None, *, beyond: int) -> dict[tuple[int, tuple[bytes, ...]], Folded]:
    """By size and peaks, what this process has folded under an anchor and is longer."""
    with _lock:
        found = list(_FOLDS.items())
    return {(size, peaks): one for (under, size, peaks), one in found if under == anchor and size > beyond}


def _as_far_as(
    here: Folded, data: Sequence[bytes], known: Mapping[tuple[int, tuple[bytes, ...]], Folded]
) -> tuple[Folded, int]:
    """The longest of `known` whose entries are those of `here` and the first of these leaves, and how many of them."""
    frontier, found = Frontier(here.state.size, here.peaks), (here, 0)
    sizes = {size for size, _ in known}
    for count, leaf in enumerate(data, start=1):
        frontier.add(leaf_hash(leaf))
        if frontier.size in sizes and (same := known.get((frontier.size, frontier.peaks))):
            found = same, count
    return found


def folded(workspace: Workspace) -> Folded:
    """The ledger in this folder, an empty one before there is one.

    Raises:
        VerifyError: `fold.…`; `ledger.…`, of them `ledger.root-differs` for entries that are not those of the head.
    """
    if not (workspace.ledger / "checkpoint").exists():
        return Folded()
    with (kept := _kept(workspace)).reading:
        return kept.look(workspace)


def folded_with(workspace: Workspace, data: Sequence[bytes], *, start: int, find: Find) -> Folded:
    """A copy's leaves, of which the first is entry `start`, folded on from the ledger here, as if they followed it;
    `find` gives objects.

    Whether they do is for the head over all of them to show. Raises as `folded`; CallerError
    `workspace.copy-leaves-gap` where entries between what is here and what was given are missing.
    """
    here = folded(workspace)
    if start > here.state.size:
        raise CallerError("workspace.copy-leaves-gap", size=here.state.size, start=start)
    return here.on(data[here.state.size - start :], find=find, anchor=workspace.page.anchor)


def remember(workspace: Workspace, found: Folded) -> None:
    """Go on from these entries at the next look; they count if the folder's head then confirms them."""
    with (kept := _kept(workspace)).reading:
        kept.found = found


@contextmanager
def writing(workspace: Workspace) -> Iterator[Ledger]:
    """The ledger in this folder, to be written to: one thread at a time. It remembers its tree from call to call.

    Raises as `Ledger`.
    """
    with (kept := _kept(workspace)).writing:
        if kept.writer is None:
            kept.writer = Ledger(kept.folder)
        yield kept.writer


@dataclass(slots=True)
class _Kept:
    """What this process remembers of one folder's ledger; `folder` holds wherever the process goes."""

    folder: Path
    found: Folded = field(default_factory=Folded)
    reader: Ledger | None = None
    writer: Ledger | None = None
    reading: threading.Lock = field(default_factory=threading.Lock)
    writing: threading.Lock = field(default_factory=threading.Lock)

    def look(self, workspace: Workspace) -> Folded:
        if self.reader is None:
            self.reader = Ledger(self.folder)
        self.reader.refresh()
        if not self.found.stands_under(self.reader.head):
            self.found = self._read_on(self.reader, workspace)
        return self.found

    def _read_on(self, ledger: Ledger, workspace: Workspace) -> Folded:
        before = self.found
        while True:
            head = ledger.head
            try:
                found = before.on(ledger.data(before.state.size), find=workspace.find, anchor=workspace.page.anchor)
            except VerifyError:
                if not before.state.size:
                    raise
                found = Folded()
            if ledger.head != head and found.state.size:  # it moved while its files were read
                before = found
                continue
            if found.stands_under(head):
                if first := found.state.accords.get(found.state.anchor or ""):
                    log_key = workspace.page.coordinator_keys.log
                    require_head(Note.from_bytes(ledger.checkpoint()), origin=first.origin, log_key=log_key)
                return found
            if not before.state.size:
                raise VerifyError("ledger.root-differs", size=ledger.size, file="checkpoint")
            before = Folded()  # the folder holds another ledger than the one that was folded


def _kept(workspace: Workspace) -> _Kept:
    folder = workspace.ledger.resolve()
    place = folder, workspace.page.anchor
    with _lock:
        kept = _KEPT.setdefault(place, _Kept(folder))
        _KEPT.move_to_end(place)
        while len(_KEPT) > _MOST:
            _KEPT.popitem(last=False)
    return kept


_KEPT: OrderedDict[tuple[Path, str | None], _Kept] = OrderedDict()
_MOST = 256
"""Ledgers remembered at once: a practice consortium's parties."""

_FOLDS: WeakValueDictionary[tuple[str | None, int, tuple[bytes, ...]], Folded] = WeakValueDictionary()
"""By anchor, size and peaks, what the ledgers of this process say, for as long as one of them says it."""

_lock = threading.Lock()
