"""What runs tell while they go on: each run's events, read once as they grow, and the board that they add up to.

Events lie where a run is carried (`runs/NAME/events.jsonl`). They prove nothing; the ledger does. Where they are
missing, pages show what the ledger has.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from foedus.core.clock import parse
from foedus.track.board import Board
from foedus.track.event import REPLIES, Event
from foedus.track.kept import EVENTS, read_events
from foedus.web.site import Site

__all__ = ["Told", "events_path", "told"]

_KEPT = 64


@dataclass(slots=True)
class Told:
    """A run as its events tell it so far.

    `problems` are the replies that were none, newest last; `spans` how many seconds each round took from its first ask;
    `bytes_by` what each member received and sent, by round. `offset` is where the file was read up to.
    """

    board: Board = field(default_factory=Board)
    problems: list[Event] = field(default_factory=list)
    spans: dict[int, float] = field(default_factory=dict)
    bytes_by: dict[int, tuple[int, int]] = field(default_factory=dict)
    began: str = ""
    ended: str = ""
    last: str = ""
    offset: int = 0
    _asked: dict[int, str] = field(default_factory=dict)

    def see(self, event: Event) -> None:
        """Take in the next event."""
        fields, kind = event.fields, event.kind
        self.board.see(event)
        self.last = event.at
        self.began = self.began or event.at
        if kind == "asked" and fields["step"] == "train":
            self._asked.setdefault(fields["round"], event.at)
        elif kind == "working":
            self._count(fields["bytes"], 0)
        elif kind in REPLIES:
            self._count(0, fields["bytes"])
            if kind != "answered":
                self.problems = [*self.problems[-199:], event]
        elif kind == "round" and (asked := self._asked.get(fields["round"])):
            self.spans[fields["round"]] = (parse(event.at) - parse(asked)).total_seconds()
        elif kind == "ended":
            self.ended = event.at

    def _count(self, out: int, into: int) -> None:
        before = self.bytes_by.get(self.board.round, (0, 0))
        self.bytes_by[self.board.round] = before[0] + out, before[1] + into

    @property
    def elapsed(self) -> float | None:
        """Seconds from the first event to the end, or to the last event so far."""
        end = self.ended or self.last
        return (parse(end) - parse(self.began)).total_seconds() if self.began and end else None


def events_path(site: Site, run: str) -> Path:
    """Where the events of a run lie."""
    return site.workspace.folder / "runs" / run / EVENTS


def told(site: Site, run: str) -> Told | None:
    """What a run tells; None where it was not carried here. CallerError `track.malformed`."""
    path = events_path(site, run)
    if not path.exists():
        return None
    with _lock:
        found = _known.pop(path, None)
        if found is None or path.stat().st_size < found.offset:
            found = Told()
        events, found.offset = read_events(path, found.offset)
        for event in events:
            found.see(event)
        _known[path] = found
        while len(_known) > _KEPT:
            _known.popitem(last=False)
        return found


_known: OrderedDict[Path, Told] = OrderedDict()
_lock = threading.Lock()
