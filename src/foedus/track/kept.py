"""The events of a run in a file, one JSON object a line, so that a run can be watched from elsewhere and looked at
later.

A line is appended whole. A process killed at any instant leaves whole lines; one that a full disk or a power cut tore
is cut off when the file is next written, and not read before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from foedus.core.errors import CallerError, RunError
from foedus.track.event import Event

__all__ = ["EVENTS", "append_event", "goes_on", "read_events", "tail"]

EVENTS = "events.jsonl"
"""The file's name in a run's folder."""


def append_event(path: Path, event: Event) -> None:
    """Add an event to the file, which is made, or mended, where it must be; RunError `files.cannot-write`."""
    line = json.dumps(event.to_json(), ensure_ascii=False, sort_keys=True) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
            file.write(line.encode())
    except OSError as error:
        raise RunError("files.cannot-write", path=str(path), reason=error.strerror or str(error)) from error


def read_events(path: Path, start: int = 0) -> tuple[list[Event], int]:
    """The whole lines from offset `start` on, and the offset after them. No file: no events.

    Raises: CallerError: `track.malformed` for a line that is no event.
    """
    if not path.exists():
        return [], start
    with path.open("rb") as file:
        file.seek(start)
        data = file.read()
    data = data[: data.rfind(b"\n") + 1]
    return [_event(line) for line in data.splitlines()], start + len(data)


def _event(line: bytes) -> Event:
    try:
        return Event.from_json(json.loads(line))
    except ValueError as error:
        raise CallerError("track.malformed", got=line[:80].decode(errors="replace")) from error


def goes_on(path: Path) -> bool:
    """Whether a run was begun whose end was not told."""
    events, _ = read_events(path)
    return bool(events) and events[-1].kind != "ended"


def tail(path: Path, *, wait: Callable[[], None]) -> Iterator[Event]:
    """The events as they come, until the run has ended; `wait` is called when there is nothing new.

    A run that was killed says nothing any more: then this waits for who resumes it.
    """
    offset = 0
    while True:
        events, offset = read_events(path, offset)
        yield from events
        if events and events[-1].kind == "ended":
            return
        wait()
