"""One request, one reply, over a Unix socket that only its owner can open.

On the wire: eight bytes of length, then the request; a status byte, eight bytes of length, then the reply or the code
of an error. A body is read into one byte string of its announced length, so 1 GB is in memory once at each end.
"""

from __future__ import annotations

import contextlib
import os
import socket as sockets
import socketserver
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from foedus.core.errors import CallerError, FoedusError, LateError, RunError

__all__ = ["Served", "call", "serve"]

_REQUEST = struct.Struct(">Q")
_REPLY = struct.Struct(">BQ")
_OK, _ERROR = 0, 1
_PATH_LIMIT = 100  # the kernel's own limit is 107 bytes on Linux and 103 elsewhere
_IDLE_SECONDS = 60.0  # how long a peer on this machine may stop in the middle of a body
_LIMIT_BYTES = 1 << 33


def serve(socket: Path, handle: Callable[[bytes], bytes], *, limit_bytes: int = _LIMIT_BYTES) -> Served:
    """Answer requests at `socket`, each in a thread of its own, until closed.

    A FoedusError of `handle` travels as its code, any other exception as `wire.fault`. The socket's folder is made, and
    closed to others.

    Raises:
        CallerError: `wire.path-too-long`.
        RunError: `wire.socket-taken` when another process answers there.
    """
    _check_length(socket)
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.parent.chmod(0o700)
    _remove_stale(socket)
    server = _Server(str(socket), handle, limit_bytes)
    socket.chmod(0o600)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    return Served(socket, server, thread)


def call(socket: Path, data: bytes, *, timeout_seconds: float, limit_bytes: int = _LIMIT_BYTES) -> bytes:
    """The reply to one request.

    Args:
        socket: where `serve` answers.
        data: the request.
        timeout_seconds: how long to wait for the reply to begin.
        limit_bytes: the largest reply that is read.

    Raises:
        RunError: `wire.peer-refused` with the field `code` (the handler's error), `wire.pipe-absent` (nobody answers
            there), `wire.pipe-broken` (it went away), `wire.too-large`.
        LateError: `wire.pipe-late`.
    """
    _check_length(socket)
    try:
        with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as connection:
            connection.settimeout(timeout_seconds)
            connection.connect(str(socket))
            connection.settimeout(_IDLE_SECONDS)
            with contextlib.suppress(BrokenPipeError):  # it may refuse after the length; its answer says why
                connection.sendall(_REQUEST.pack(len(data)))
                connection.sendall(data)
            connection.settimeout(timeout_seconds)
            status, size = _REPLY.unpack(_received(connection, _REPLY.size))
            connection.settimeout(_IDLE_SECONDS)
            if size > limit_bytes:
                raise RunError("wire.too-large", expected=limit_bytes, got=size)
            reply = _received(connection, size)
    except TimeoutError as error:
        raise LateError("wire.pipe-late", socket=str(socket), seconds=f"{timeout_seconds:.0f}") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise RunError("wire.pipe-absent", socket=str(socket)) from error
    except (OSError, EOFError) as error:
        raise RunError("wire.pipe-broken", socket=str(socket), reason=str(error)) from error
    if status != _OK:
        raise RunError("wire.peer-refused", code=reply.decode(errors="replace"))
    return reply


class Served:
    """A socket that is being answered; `close`, or leaving the `with` block, ends it."""

    def __init__(self, socket: Path, server: _Server, thread: threading.Thread) -> None:
        self.socket = socket
        self._server = server
        self._thread = thread

    def close(self) -> None:
        """Take no more requests; those that are being answered are not waited for."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.socket.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, path: str, handle: Callable[[bytes], bytes], limit_bytes: int) -> None:
        self.handle = handle
        self.limit_bytes = limit_bytes
        super().__init__(path, _Exchange)

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that went away in the middle is its own affair."""


class _Exchange(socketserver.BaseRequestHandler):
    server: _Server
    request: sockets.socket

    def handle(self) -> None:
        self.request.settimeout(_IDLE_SECONDS)
        (size,) = _REQUEST.unpack(_received(self.request, _REQUEST.size))
        status, reply = _ERROR, b"wire.too-large"
        if size <= self.server.limit_bytes:
            status, reply = _answered(self.server.handle, _received(self.request, size))
        self.request.sendall(_REPLY.pack(status, len(reply)))
        self.request.sendall(reply)


def _answered(handle: Callable[[bytes], bytes], data: bytes) -> tuple[int, bytes]:
    try:
        return _OK, handle(data)
    except FoedusError as error:
        return _ERROR, error.code.encode()
    except Exception:  # noqa: BLE001 - the other end must get an answer; the fault is the handler's to log
        return _ERROR, b"wire.fault"


def _received(connection: sockets.socket, size: int) -> bytes:
    """Exactly `size` bytes, in one byte string."""
    with _unbuffered(connection) as file:
        data = file.read(size)
    if len(data) != size:
        raise EOFError(f"{len(data)} of {size} bytes")
    return data


def _unbuffered(connection: sockets.socket) -> BinaryIO:
    """A reader that fills one byte string and reads nothing beyond what is asked for."""
    return connection.makefile("rb", buffering=1)


def _check_length(socket: Path) -> None:
    length = len(os.fsencode(socket.absolute()))  # as the service that is told of it spells it
    if length > _PATH_LIMIT:
        raise CallerError("wire.path-too-long", path=str(socket), got=length, limit=_PATH_LIMIT)


def _remove_stale(socket: Path) -> None:
    if not socket.is_socket():
        return
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(socket))
        except (ConnectionRefusedError, FileNotFoundError):
            socket.unlink(missing_ok=True)
            return
        except OSError:
            pass
    raise RunError("wire.socket-taken", socket=str(socket))
