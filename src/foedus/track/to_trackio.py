"""trackio: the project `foedus` in the SQLite file of FOLDER. `TRACKIO_DIR=FOLDER trackio show` displays it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from foedus.track.log import Entry

if TYPE_CHECKING:
    from trackio.sqlite_storage import SQLiteStorage

__all__ = ["PROJECT", "open_logger"]

PROJECT = "foedus"


class _Trackio:
    def __init__(self, storage: type[SQLiteStorage], run: str) -> None:
        self._storage, self._run = storage, run
        self._facts: dict[str, str] = {}

    def log(self, entry: Entry) -> None:
        self._facts |= entry.facts
        self._storage.bulk_log(
            PROJECT, self._run, [dict(entry.values)], steps=[entry.round], config=dict(self._facts), run_id=self._run
        )

    def close(self) -> None:
        """Every entry is in the file by itself."""


def open_logger(folder: Path, run: str) -> _Trackio:
    """The run of this name. trackio reads its folder from the environment when it is imported: one a process."""
    os.environ["TRACKIO_DIR"] = str(folder)
    from trackio.sqlite_storage import SQLiteStorage

    return _Trackio(SQLiteStorage, run)
