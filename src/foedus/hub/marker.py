"""`hub/run`: which run the hub carries; it is there meanwhile, or after a kill, and then says what to go on with."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from foedus.core.files import read_text, write_atomic
from foedus.records.acts import run_name

__all__ = ["Marked", "marked", "set_mark", "take_mark_away"]

_LIMIT_BYTES = 200


class Marked(NamedTuple):
    """A run, and the approved proposal that it carries out, if any."""

    run: str
    proposal: str | None = None


def marked(folder: Path) -> Marked | None:
    """What the hub of the workspace in this folder carries, or carried when it was killed; CallerError `run.bad-name`
    for a file that this module did not write.
    """
    path = _path(folder)
    if not path.exists():
        return None
    run, _, proposal = read_text(path, limit_bytes=_LIMIT_BYTES).partition(" ")
    return Marked(run_name(run), proposal or None)


def set_mark(folder: Path, mark: Marked) -> None:
    """Say what is carried from here on."""
    write_atomic(_path(folder), " ".join(filter(None, mark)).encode())


def take_mark_away(folder: Path) -> None:
    """Say that nothing is carried any more."""
    _path(folder).unlink(missing_ok=True)


def _path(folder: Path) -> Path:
    return folder / "hub" / "run"
