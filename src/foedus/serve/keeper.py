"""Answers on their way into the store: a thread writes them, up to some hundreds in one transaction, so that nobody
waits for a disk, and the next request not for the writing of the last. An answer is in the file about a tenth of a
second after it was given, at once where somebody looks for it (`flush`); a process that is killed loses that moment's.
"""

from __future__ import annotations

import queue
import threading

from foedus.core.errors import FoedusError
from foedus.serve.store import Answer, Traffic

__all__ = ["Keeper"]

_ROOM = 20_000
_AT_ONCE = 500
_GATHER_SECONDS = 0.1
"""How long an answer waits for others to be written with it."""
_WAIT_SECONDS = 30.0


class Keeper:
    """The thread and what waits for it. `lost` counts answers that could not be kept; `trouble` is the code of why."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.lost = 0
        self.trouble: str | None = None
        self._waiting: queue.Queue[Answer | threading.Event | None] = queue.Queue(_ROOM)
        self._urgent = threading.Event()
        self._thread = threading.Thread(target=self._work, name="keeper", daemon=True)
        self._thread.start()

    def keep(self, answer: Answer) -> None:
        """Have an answer written; it is counted as lost where the disk has fallen too far behind."""
        try:
            self._waiting.put_nowait(answer)
        except queue.Full:
            self.lost += 1

    def flush(self) -> None:
        """Wait until what was given before is written."""
        written = threading.Event()
        self._waiting.put(written)
        self._urgent.set()
        written.wait(_WAIT_SECONDS)

    def close(self) -> None:
        """Write what waits, and close the store."""
        self._waiting.put(None)
        self._urgent.set()
        self._thread.join()
        self.traffic.close()

    def _work(self) -> None:
        while True:
            rows, marks, ended = self._next()
            if rows:
                self._write(rows)
            for mark in marks:
                mark.set()
            if ended:
                return

    def _next(self) -> tuple[list[Answer], list[threading.Event], bool]:
        """What has come since the last time, and in the moment after the first of it; at least one thing."""
        rows: list[Answer] = []
        marks: list[threading.Event] = []
        one = self._waiting.get()
        if self._waiting.qsize() < _AT_ONCE:
            self._urgent.wait(_GATHER_SECONDS)
            self._urgent.clear()  # before the queue is emptied: whoever sets it after this is met by the next wait
        while True:
            if one is None:
                return rows, marks, True
            if isinstance(one, Answer):
                rows.append(one)
            else:
                marks.append(one)
            if len(rows) >= _AT_ONCE:
                return rows, marks, False
            try:
                one = self._waiting.get_nowait()
            except queue.Empty:
                return rows, marks, False

    def _write(self, rows: list[Answer]) -> None:
        try:
            self.traffic.add(rows)
            self.trouble = None
        except FoedusError as error:
            self.lost += len(rows)
            self.trouble = error.code
