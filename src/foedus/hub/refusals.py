"""What the hub turned away, counted by code and source until the ledger holds it.

A flood fills neither memory nor ledger: of each code a few sources are counted by name, all others together. The
counts lie in a file as well, so that a killed hub still names what it refused.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foedus.core import canonical
from foedus.core.errors import FoedusError
from foedus.core.files import read_bytes, write_atomic
from foedus.records.acts import Refuse
from foedus.records.base import Record

__all__ = ["OTHERS", "Refusals"]

OTHERS = "others"
_SOURCES_A_CODE = 8
_CODES = 32
_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:%-]{0,99}")


class Refusals:
    """Counts that wait for the ledger, kept in the file at `path`. `tell` hears of each code and source once."""

    def __init__(self, path: Path, tell: Callable[[str, str, str], None] = lambda *_: None) -> None:
        self._path, self._tell = path, tell
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = _read(path)

    def note(self, code: str, source: str, detail: str = "") -> None:
        """Something was refused: for which reason, whose it was (a member or an address), and what it was."""
        source = source if _SOURCE.fullmatch(source) else OTHERS
        with self._lock:
            if (code, source) not in self._counts:
                of_code = sum(known == code for known, _ in self._counts)
                if of_code >= _SOURCES_A_CODE:
                    source = OTHERS
                if len({known for known, _ in self._counts} | {code}) > _CODES:
                    return
            new = (code, source) not in self._counts
            self._counts[code, source] = self._counts.get((code, source), 0) + 1
            if new:
                self._write()
        if new:
            self._tell(code, source, detail)

    def enter(self, record: Callable[[Record], None], *, run: str | None = None, round: int = 0) -> None:  # noqa: A002 - the records' own word
        """Put what was counted into the ledger, under the round in which it came. What it does not take now waits."""
        with self._lock:
            waiting = dict(self._counts)
        for (code, source), count in sorted(waiting.items()):
            try:
                record(Refuse(code=code, source=source, count=count, run=run, round=round))
            except FoedusError:
                continue
            with self._lock:
                left = self._counts[code, source] - count
                if left:
                    self._counts[code, source] = left
                else:
                    del self._counts[code, source]
                self._write()

    @property
    def waiting(self) -> dict[tuple[str, str], int]:
        """What the ledger does not hold yet."""
        with self._lock:
            return dict(self._counts)

    def _write(self) -> None:
        rows = [[code, source, count] for (code, source), count in sorted(self._counts.items())]
        write_atomic(self._path, canonical.encode(rows))


def _read(path: Path) -> dict[tuple[str, str], int]:
    rows: Any = canonical.decode(read_bytes(path)) if path.exists() else []
    return {(code, source): count for code, source, count in rows}
