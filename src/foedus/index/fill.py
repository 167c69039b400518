"""Bringing the index up to date: new entries of the ledger's files, a batch a transaction.

A batch and the mark of how far the index has come are one transaction: a process killed at any instant leaves the
batch or nothing of it, and the next one goes on. The mark holds the peaks of the Merkle tree over all entries taken in.
Where the index has as many entries as the ledger, its root must be the one that the log signed; an index that another
ledger, or this one before it was put back, has filled shows another root, and is made anew.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, func, select, update

from foedus.core.errors import VerifyError
from foedus.core.files import read_bytes
from foedus.index import tables as t
from foedus.index.database import Database
from foedus.index.results import Progress
from foedus.index.rows import Batch, Find, Party
from foedus.ledger.leaf import parse_leaf
from foedus.ledger.log import Ledger
from foedus.ledger.merkle import HASH_SIZE, Frontier, leaf_hash
from foedus.ledger.note import Note, require_head

__all__ = ["Source", "fill", "new_batch", "write"]


@dataclass(slots=True)
class Source:
    """A ledger's folder, read as it grows. `log_key` must have signed its head; `find` gives objects."""

    folder: Path
    log_key: str
    find: Find
    _ledger: Ledger | None = None
    _head: bytes = b""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ledger(self) -> Ledger | None:
        """The ledger at its present head, whose signature is verified; None before there is one.

        Raises:
            VerifyError: `ledger.…`.
        """
        path = self.folder / "checkpoint"
        if not path.exists():
            return None
        with self._lock:
            if self._ledger is None:
                self._ledger = Ledger(self.folder)
            if (head := read_bytes(path)) != self._head:
                require_head(Note.from_bytes(head), origin=self._ledger.origin, log_key=self.log_key)
                self._ledger.refresh()
                self._head = head
            return self._ledger


def fill(database: Database, source: Source, *, limit: int) -> Progress:
    """Take in at most `limit` new entries; gives how far the index has come.

    Raises:
        RunError: `index.away`.
        VerifyError: `index.root-differs` when the ledger's entries do not have the root that its head states;
            `ledger.…`; CallerError `objects.missing`, `records.…` for an entry that cannot be read.
    """
    ledger = source.ledger()
    if ledger is None:
        return Progress(0, 0)
    done = _advance(database, ledger, source.find, limit)
    if done is None:
        database.clear()
        done = _advance(database, ledger, source.find, limit)
        if done is None:
            raise VerifyError("index.root-differs", size=ledger.size, folder=str(source.folder))
    return Progress(done, ledger.size)


def _advance(database: Database, ledger: Ledger, find: Find, limit: int) -> int | None:
    """One batch; how many entries the index then has, None where it is not an index of this ledger."""
    head = ledger.head
    if (known := _standing(database, ledger.origin)) is not None and known.size == head.size:
        return known.size if known.root == head.root else None
    with database.writing() as connection:
        frontier = _mark(connection, ledger.origin)
        if frontier is None or frontier.size > head.size:
            return None
        until = min(frontier.size + limit, head.size)
        batch = new_batch(connection, find)
        for index, data in enumerate(ledger.data(frontier.size), start=frontier.size):
            if index == until:
                break
            frontier.add(leaf_hash(data))
            batch.take(parse_leaf(data, index))
        if frontier.size == head.size and frontier.root != head.root:
            connection.rollback()
            return None
        write(database, connection, batch)
        mark = {"origin": ledger.origin, "done": frontier.size, "peaks": b"".join(frontier.peaks)}
        connection.execute(update(t.marks).values(**mark))
    return frontier.size


def _standing(database: Database, origin: str) -> Frontier | None:
    with database.reading() as connection:
        return _mark(connection, origin)


def _mark(connection: Connection, origin: str) -> Frontier | None:
    """How far the index has come; None where it is another ledger's."""
    row = connection.execute(select(t.marks)).one()
    if row.origin not in (None, origin):
        return None
    peaks = bytes(row.peaks)
    return Frontier(row.done, [peaks[at : at + HASH_SIZE] for at in range(0, len(peaks), HASH_SIZE)])


def new_batch(connection: Connection, find: Find) -> Batch:
    """An empty batch that goes on from what the index holds."""
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    parties: defaultdict[str, Party] = defaultdict(Party)
    counts.update({(row.kind, row.actor): row.entries for row in connection.execute(select(t.counts))})
    for name, *rest in connection.execute(select(t.parties)):
        parties[name] = Party(*rest)
    refused = connection.execute(select(func.max(t.refusals.c.place))).scalar()
    return Batch(find, counts, parties, 0 if refused is None else refused + 1)


def write(database: Database, connection: Connection, batch: Batch) -> None:
    """Put a batch into the tables."""
    for table, rows in batch.added.items():
        database.insert(connection, table, rows)
    for change in batch.changes:
        connection.execute(change)
    for name, values in batch.runs.items():
        connection.execute(update(t.runs).where(t.runs.c.run == name).values(**values))
    counted = [{"kind": kind, "actor": actor, "entries": n} for (kind, actor), n in batch.counts.items()]
    database.insert(connection, t.counts, counted, update=["entries"])
    columns = [column.name for column in t.parties.c if column.name != "name"]
    known = [{"name": name} | {each: getattr(one, each) for each in columns} for name, one in batch.parties.items()]
    database.insert(connection, t.parties, known, update=columns)
