"""A member's page on a port of 127.0.0.1, as long as its node runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from foedus.core.clock import Clock
from foedus.ledger.consortium import Consortium
from foedus.resident.link import Link
from foedus.web.door.places import places
from foedus.web.node.app import build
from foedus.web.node.desk import Desk
from foedus.web.node.keeper import Keeper
from foedus.web.port import bound, listen
from foedus.workspace import Workspace

__all__ = ["Opened", "node_page"]

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Opened:
    """A page that answers. `link` opens it; `desk` is to hear what the node tells."""

    link: str
    desk: Desk


@contextmanager
def node_page(
    workspace: Workspace, link: Link, *, passphrase: str | None, clock: Clock, sync: Callable[[], Consortium], port: int
) -> Iterator[Opened]:
    """A member's page; `port` 0 asks the system for a free one. `sync` sends what waits and takes the ledger.

    Raises: RunError: `wire.port-taken`.
    """
    socket = bound(_HOST, port)
    found = places(_HOST, socket.getsockname()[1], name="foedus-node")
    desk, keeper = Desk(workspace, link, passphrase, clock, sync), Keeper(workspace.party, found)
    listening = listen(build(desk, keeper), socket)
    try:
        yield Opened(keeper.link, desk)
    finally:
        listening.close()
