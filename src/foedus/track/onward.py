"""A run's log in a folder, gone on with from where it ended: who follows a run again, or looks at it when it is over,
logs nothing twice and leaves nothing out.

How many of a run's events are logged stands beside the log, in `FOLDER/.foedus/LOGGER-RUN-…`; the name's last part is
of the run's first event, so that another run of the same name is another run. It is written after the entries: a
process killed between the two logs the entries of one event again.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from foedus.core.digest import hex_of, sha256
from foedus.core.errors import RunError
from foedus.core.files import lock, read_text, write_atomic
from foedus.track.event import Event
from foedus.track.kept import EVENTS, read_events
from foedus.track.log import Logger, Scribe, opener

__all__ = ["RunLog"]


@dataclass(slots=True)
class RunLog:
    """What `runs/RUN/events.jsonl` says, by a logger, in a folder. The logger is opened when there is something to log.

    One process at a time logs a run to a place; others leave it to that one.
    """

    name: str
    folder: Path
    runs: Path
    run: str
    _scribe: Scribe = field(default_factory=Scribe)
    _logger: Logger | None = None
    _held: ExitStack = field(default_factory=ExitStack)
    _mark: Path | None = None
    _logged: int = 0
    _seen: int = 0
    _offset: int = 0

    def catch_up(self) -> None:
        """Log what the events say that is not logged yet; RunError `files.cannot-write`, and what the tool raises."""
        events, offset = read_events(self.runs / self.run / EVENTS, self._offset)
        mark = self._mark or (self._taken(events) if events else None)
        if mark is None:
            return
        self._mark, self._offset = mark, offset
        for event in events:
            self._seen += 1
            entries = list(self._scribe.entries(event))  # of what is logged too: sums go on from there
            if self._seen > self._logged and entries:
                for entry in entries:
                    self._opened().log(entry)
                self._logged = self._seen
                write_atomic(mark, str(self._logged).encode())

    def close(self) -> None:
        """Close the logger, and let others log."""
        if self._logger is not None:
            self._logger.close()
        self._held.close()

    def _opened(self) -> Logger:
        if self._logger is None:
            self._logger = opener(self.name)(self.folder, self.run)
        return self._logger

    def _taken(self, events: list[Event]) -> Path | None:
        """The file that says how far this run is logged here, held by this process; None while another holds it."""
        first = json.dumps(events[0].to_json(), sort_keys=True)
        mark = self.folder / ".foedus" / f"{self.name}-{self.run}-{hex_of(sha256(first.encode()))[:12]}"
        try:
            self._held.enter_context(lock(mark.with_name(f"{mark.name}.lock")))
        except RunError as error:
            if error.code != "files.locked":
                raise
            return None
        known = int(read_text(mark, limit_bytes=100)) if mark.exists() else 0
        self._logged = min(known, len(events))  # fewer events: the run's folder is an older copy
        return mark
