"""The hub's pages on a port of their own, behind their door, over an index that takes in entries as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from foedus.core.clock import Clock, now
from foedus.core.errors import FoedusError
from foedus.index import keeping, open_index
from foedus.web.app import Site, build
from foedus.web.door import Door, places
from foedus.web.port import bound, listen
from foedus.workspace import Workspace

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "Pages", "hub_pages"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8600


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages that answer at `origin`; `first_link` signs the coordinator in, once, None when it has come in before."""

    origin: str
    first_link: str | None


@contextmanager
def hub_pages(
    workspace: Workspace,
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    url: str | None = None,
    index_url: str | None = None,
    told: Callable[[FoedusError | None], None] = lambda _: None,
    clock: Clock = now,
) -> Iterator[Pages]:
    """Answer until the end of the block.

    Args:
        workspace: the coordinator's.
        host: the address to listen on; another than this machine's own only behind a proxy with TLS.
        port: the port; 0 asks the system for a free one.
        url: the address that a reverse proxy gives the pages.
        index_url: where the index lies; in the workspace without one.
        told: hears when the index is behind for an error, and with None when it goes again.
        clock: by which sessions end.

    Raises:
        CallerError: `workspace.wrong-role`; `door.no-tls`, `door.bad-url`; `index.bad-url`.
        RunError: `wire.port-taken`.
    """
    workspace.require("coordinator")
    places(host, port, url=url)  # refused before anything listens
    socket = bound(host, port)
    found = places(host, socket.getsockname()[1], url=url)
    index = open_index(index_url, workspace)
    site = Site(workspace, index, clock)
    door = Door.open(workspace, found, site.state, clock=clock)
    with keeping(index, told=told):
        listening = listen(build(site, door), socket)
        try:
            yield Pages(found.origin, door.first_link())
        finally:
            listening.close()
