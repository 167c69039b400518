"""A member's own ledger of what it answered: one line an event, each naming the one before.

    {"at", "event", "ask", "n", "place", "prev", "reply", "private", "detail"}        canonical JSON, one a line

`reserved` is written, and flushed to disk, before any work on an ask begins; `answered`, `refused` or `failed` closes
it and names the stored reply and private state. That line is the commit: what it does not name did not happen. A line
torn by a crash is dropped when the journal is next opened. The journal stays on the member's machine until the member
sends it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from foedus.core import canonical
from foedus.core.digest import sha256
from foedus.core.errors import CallerError, RunError, VerifyError
from foedus.core.files import fsync_folder

__all__ = ["Event", "Journal", "Line", "read_journal"]

Event = Literal["reserved", "answered", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Line:
    """One event. `place` is run, round, attempt and number of the ask; `private` names private states by digest."""

    n: int
    at: str
    event: Event
    ask: str
    place: str
    reply: str | None
    private: Mapping[str, str]
    detail: str
    prev: str | None

    def to_bytes(self) -> bytes:
        """The line's canonical bytes, without its line feed."""
        return canonical.encode(
            {name: getattr(self, name) for name in self.__slots__} | {"private": dict(self.private)}
        )


def _line(data: bytes) -> Line:
    value: Any = canonical.decode(data)
    if not isinstance(value, dict) or set(value) != set(Line.__slots__):
        raise CallerError("journal.malformed", got=data[:80].decode(errors="replace"))
    return Line(**value)


def read_journal(path: Path) -> list[Line]:
    """Every whole line, its chain checked; a torn last line is left out.

    Raises:
        VerifyError: `journal.changed` names the line at which the chain breaks.
    """
    lines: list[Line] = []
    prev: str | None = None
    data = path.read_bytes() if path.exists() else b""
    for number, text in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            line = _line(text)
        except (CallerError, TypeError) as error:
            raise VerifyError("journal.changed", line=number) from error
        if line.n != number or line.prev != prev:
            raise VerifyError("journal.changed", line=number)
        lines.append(line)
        prev = sha256(text)
    return lines


class Journal:
    """The journal in a file. One process writes it at a time (the node's lock sees to that)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[Line] = []
        self.refresh()

    def refresh(self) -> None:
        """Read again what another process may have written, and cut off a torn last line."""
        self.lines = read_journal(self.path)
        whole = sum(len(line.to_bytes()) + 1 for line in self.lines)
        if self.path.exists() and self.path.stat().st_size > whole:
            os.truncate(self.path, whole)

    def add(
        self, *, at: str, event: Event, ask: str, place: str, reply: str | None = None,
        private: Mapping[str, str] | None = None, detail: str = "",
    ) -> Line:  # fmt: skip
        """Append a line and flush it to disk; RunError `files.cannot-write` when there is no room."""
        prev = sha256(self.lines[-1].to_bytes()) if self.lines else None
        line = Line(len(self.lines) + 1, at, event, ask, place, reply, private or {}, detail, prev)
        new = not self.path.exists()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            start = 0 if new else self.path.stat().st_size
            with self.path.open("ab") as file:
                try:
                    file.write(line.to_bytes() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    os.truncate(self.path, start)
                    raise
            if new:
                fsync_folder(self.path.parent)
        except OSError as error:
            raise RunError("files.cannot-write", path=str(self.path), reason=error.strerror or str(error)) from error
        self.lines.append(line)
        return line

    def closed(self, ask: str) -> Line | None:
        """The line that closed this ask, if one did."""
        return next((line for line in self.lines if line.ask == ask and line.event != "reserved"), None)

    def at_place(self, place: str) -> Line | None:
        """The line that reserved this place, if any ask was taken there."""
        return next((line for line in self.lines if line.place == place and line.event == "reserved"), None)

    def private(self, run: str, before_round: int) -> dict[str, str]:
        """The private states that an ask of this round starts from: each name's latest from earlier rounds of the
        run.
        """
        names: dict[str, str] = {}
        for line in self.lines:
            its_run, its_round, *_ = line.place.rsplit("/", 3)
            if line.event == "answered" and its_run == run and int(its_round) < before_round:
                names |= line.private
        return names
