"""Opening an index, and keeping it up to date in a thread beside the pages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from foedus.core.errors import FoedusError
from foedus.index.database import open_database
from foedus.index.fill import Source
from foedus.index.fold import Fold
from foedus.index.queries import Index
from foedus.workspace import Workspace

__all__ = ["FILE", "keeping", "open_index"]

FILE = "index/ledger.sqlite"
"""Where the index lies in a workspace, when no URL names another database. It may be deleted: it is made again."""


def open_index(url: str | None, workspace: Workspace) -> Index:
    """The index of a workspace's ledger: in PostgreSQL (`postgresql://…`), or without a URL in the workspace.

    The database is reached when it is first asked; until then, and whenever it is away, asking raises `index.away`.

    Raises:
        CallerError: `index.bad-url`; `cli.extra-missing`.
    """
    source = Source(workspace.ledger, workspace.page.coordinator_keys.log, workspace.find)
    database = open_database(url, file=workspace.folder / FILE)
    return Index(database, source, Fold(source, workspace.page.anchor))


@contextmanager
def keeping(
    index: Index, *, pause_seconds: float = 1.0, told: Callable[[FoedusError | None], None] = lambda _: None
) -> Iterator[None]:
    """Take in new entries in a thread, as they come; `told` hears when that fails and, with None, when it goes again.

    Nothing that fails ends it: a database that is away is asked again after a pause.
    """
    stop = threading.Event()

    def keep() -> None:
        failed = False
        while not stop.is_set():
            try:
                done = index.refresh().is_current
            except FoedusError as error:
                if not failed:
                    told(error)
                failed, done = True, True
            else:
                if failed:
                    told(None)
                failed = False
            if done:
                stop.wait(pause_seconds)

    thread = threading.Thread(target=keep, daemon=True, name="index")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
