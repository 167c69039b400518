"""What the ledger says, folded on as it grows: no request ever folds a long ledger.

The state stays in memory, with the Merkle peaks of what was folded; new entries are folded after it, and where they
reach the ledger's head they must have its root. A long ledger is folded in steps, by whoever keeps the index up to
date; until then requests are told how far that has come.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from foedus.core.errors import RunError, VerifyError
from foedus.index.fill import Source
from foedus.ledger.consortium import Consortium
from foedus.ledger.fold import resolve
from foedus.ledger.leaf import Leaf, parse_leaf
from foedus.ledger.merkle import Frontier, leaf_hash
from foedus.records.acts import SignAccord

__all__ = ["Enacted", "Fold"]

_AT_ONCE = 1000
"""How many new entries a request may fold."""
_PATIENCE_SECONDS = 0.5
"""How long a request waits for the first fold when another thread is at it."""


@dataclass(frozen=True, slots=True)
class Enacted:
    """An accord came into force by this entry, at this instant."""

    accord: str
    at: int
    recorded_at: str


@dataclass(slots=True)
class Fold:
    """The state after the entries folded so far, and when each accord came into force.

    `complete`: it has been at the ledger's head before.
    """

    source: Source
    anchor: str | None
    state: Consortium = field(default_factory=Consortium)
    enacted: tuple[Enacted, ...] = ()
    complete: bool = False
    _frontier: Frontier = field(default_factory=Frontier)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def current(self) -> Consortium:
        """The state after all entries; while another thread folds on, the last one that was complete.

        Raises:
            RunError: `index.catching-up` while the first fold of a long ledger goes on.
            VerifyError: `fold.…`, `ledger.…`, `index.root-differs`.
        """
        if self._lock.acquire(timeout=0 if self.complete else _PATIENCE_SECONDS):
            try:
                self._advance(_AT_ONCE)
            finally:
                self._lock.release()
        if not self.complete:
            ledger = self.source.ledger()
            raise RunError("index.catching-up", done=self.state.size, size=ledger.size if ledger else 0)
        return self.state

    def advance(self, limit: int) -> int:
        """Fold at most so many new entries; gives how many are folded. Raises VerifyError, as `current`."""
        with self._lock:
            self._advance(limit)
            return self.state.size

    def _advance(self, limit: int) -> None:
        try:
            self._go_on(limit)
        except VerifyError:
            if not self.state.size:
                raise
            self.state, self.enacted, self._frontier = Consortium(), (), Frontier()  # the folder holds another ledger
            self.complete = False
            self._go_on(limit)

    def _go_on(self, limit: int) -> None:
        ledger = self.source.ledger()
        if ledger is None:
            self.complete = True
            return
        waiting: list[Leaf] = []
        for index, data in enumerate(islice(ledger.data(self.state.size), limit), start=self.state.size):
            leaf = parse_leaf(data, index)
            waiting.append(leaf)
            if leaf.entry.type == SignAccord.kind:  # only by such an act does an accord come into force
                self._take(waiting)
                waiting = []
        self._take(waiting)
        if self.state.size >= ledger.size:
            if (self._frontier.size, self._frontier.root) != (ledger.size, ledger.head.root):
                raise VerifyError("index.root-differs", size=ledger.size, folder=str(self.source.folder))
            self.complete = True

    def _take(self, leaves: Sequence[Leaf]) -> None:
        if not leaves:
            return
        state = resolve(leaves, objects=self.source.find, anchor=self.anchor, since=self.state)
        for leaf in leaves:
            self._frontier.add(leaf_hash(leaf.data))
        if state.accord_digest not in (None, self.state.accord_digest):
            self.enacted += (Enacted(state.accord_digest, leaves[-1].index, leaves[-1].recorded_at),)
        self.state = state
