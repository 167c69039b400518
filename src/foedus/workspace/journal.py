"""A member's own ledger of what it answered: one line an event, each naming the one before.

    {"at", "event", "ask", "n", "place", "prev", "reply", "private", "detail"}        canonical JSON, one a line

`reserved` is written, and flushed to disk, before any work on an ask begins; `answered`, `refused` or `failed` closes
it and names the stored reply and private state. That line is the commit: what it does not name did not happen. A line
torn by a crash is dropped when the journal is next opened. The journal stays on the member's machine until the member
sends it, or the lines of it that it chooses (`extract`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from foedus.core import canonical
from foedus.core.digest import sha256
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError, RunError, VerifyError
from foedus.core.files import fsync_folder
from foedus.records.base import open_record
from foedus.records.journal import JournalLine, SentJournal

__all__ = ["Event", "Journal", "Line", "extract", "open_sent", "read_journal"]

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


def extract(lines: list[Line], chosen: Collection[int], *, accord: str, member: str, at: str) -> SentJournal:
    """The lines of these numbers, to be signed and sent; CallerError `journal.no-such-line`."""
    if unknown := sorted(set(chosen) - {line.n for line in lines}):
        raise CallerError("journal.no-such-line", got=", ".join(map(str, unknown)), last=len(lines))
    if not chosen:
        raise CallerError("journal.nothing-chosen", last=len(lines))
    sent = tuple(JournalLine(**{**asdict(line), "private": dict(line.private)}) for line in lines if line.n in chosen)
    return SentJournal(accord=accord, member=member, at=at, size=len(lines), lines=sent)


def open_sent(data: bytes, keys: Callable[[str], Iterable[str]]) -> SentJournal:
    """What a member sent of its journal; `keys` gives the public act keys that a member has had.

    Raises:
        CallerError: for bytes that are no signed extract.
        VerifyError: `envelope.not-signed`; `journal.changed` names the line at which the chain breaks.
    """
    envelope = Envelope.from_bytes(data)
    sent = open_record(SentJournal, envelope)
    if not any(envelope.signed_by(key) for key in keys(sent.member)):
        raise VerifyError("envelope.not-signed", who=sent.member, keyid="–")
    for before, line in pairwise(sent.lines):
        follows = line.n == before.n + 1
        if line.n <= before.n or (follows and line.prev != sha256(before.to_bytes())):
            raise VerifyError("journal.changed", line=line.n)
    return sent


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
