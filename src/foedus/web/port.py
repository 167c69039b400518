"""A port of this machine on which pages answer, in a thread of this process."""

from __future__ import annotations

import contextlib
import socket as sockets
import threading
import time
from dataclasses import dataclass
from typing import Any

from foedus.core.errors import RunError
from foedus.wire.address import cannot_listen

__all__ = ["Listening", "bound", "listen"]

_BEGIN_SECONDS = 10.0
_END_SECONDS = 5.0


@dataclass(slots=True)
class Listening:
    """Pages that answer until `close`."""

    port: int
    _server: Any
    _thread: threading.Thread

    def close(self) -> None:
        """Take no more requests, and give those that are being answered a moment."""
        self._server.should_exit = True
        self._thread.join(_END_SECONDS)


def bound(host: str, port: int) -> sockets.socket:
    """A socket at this address; `port` 0 asks the system for a free one. Raises as `cannot_listen`."""
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    made = sockets.socket(family, sockets.SOCK_STREAM)
    made.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise cannot_listen(host, port, error) from error
    return made


def listen(app: Any, socket: sockets.socket) -> Listening:
    """Answer at a socket that `bound` gave, which is closed in the end; RunError `wire.port-taken`."""
    import uvicorn

    config = uvicorn.Config(
        app, ws="none", log_config=None, access_log=False, server_header=False, lifespan="off", timeout_keep_alive=15,
        timeout_graceful_shutdown=2, limit_concurrency=256, proxy_headers=False, h11_max_incomplete_event_size=32768,
    )  # fmt: skip
    server = uvicorn.Server(config)
    host, port = socket.getsockname()[:2]

    def run() -> None:
        with contextlib.closing(socket):
            server.run(sockets=[socket])

    thread = threading.Thread(target=run, daemon=True, name=f"pages {port}")
    thread.start()
    until = time.monotonic() + _BEGIN_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until:
            raise RunError("wire.port-taken", host=host, port=port, reason="the server does not begin")
        time.sleep(0.01)
    return Listening(port, server, thread)
