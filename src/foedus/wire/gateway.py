"""The hub's one public port: TLS, and behind it only what a node needs.

A request goes one of three ways. What Flower's SuperNode sends goes to the SuperLink on loopback, with the hub's
secret. What begins with `/foedus/` goes to the hub's own `route`. Everything else, above all Flower's Control API
(who reaches it can submit runs and register nodes), is refused and reported. Flower signs a time stamp in a header,
not the connection, so a request stays valid on its way through; TLS to the hub is what keeps the signature from being
reused.

Covered: strangers, forged nodes, oversized and malformed requests, slow ones, many from one address. Not covered: a
flood that fills the line before it reaches the hub; a registered node that wastes its own turn.
"""

from __future__ import annotations

import contextlib
import select
import socket as sockets
import socketserver
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from time import monotonic
from typing import Any, Self

from foedus.wire.address import cannot_listen
from foedus.wire.fleet import ACTIVATE, KEY_HEADER, PATHS, Fleet, Line
from foedus.wire.superlink import SuperLink
from foedus.wire.tls import Authority

__all__ = ["Gateway", "Request", "Response"]

_FLEET_LIMIT_BYTES = 16 << 20  # Flower sends pieces of 5 MB
_IDLE_SECONDS = 60.0
_HANDSHAKE_SECONDS = 10.0
_CONNECTIONS, _CONNECTIONS_OF_ONE = 1024, 512  # many members may come through one address
_REPORT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request under `/foedus/`. Header names are lower case; `source` is the caller's address."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    source: str


@dataclass(frozen=True, slots=True)
class Response:
    """The hub's answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/octet-stream"


Route = Callable[[Request], Response]
Refused = Callable[[str, str, str], None]


@dataclass(slots=True)
class Gateway:
    """A running gateway. `fleet` is told what nodes do."""

    address: str
    fleet: Fleet
    route: Route
    refused: Refused
    body_limit_bytes: int
    message_limit_bytes: int
    _server: _Server | None = None
    _context: ssl.SSLContext | None = None
    _reported: dict[tuple[str, str], float] = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        host: str,
        port: int,
        *,
        tls: Authority,
        superlink: SuperLink,
        route: Route,
        refused: Refused,
        body_limit_bytes: int = 64 << 20,
        message_limit_bytes: int = 2 << 30,
    ) -> Self:
        """Listen on `host` and `port` (0 asks the system for one) in threads of this process.

        Args:
            host: the address to listen on.
            port: the port.
            tls: the hub's certificates.
            superlink: what nodes are let through to.
            route: answers what comes under `/foedus/`; called in a thread for each connection.
            refused: told of every refusal: a code (`wire.control-refused`, `wire.path-refused`, `wire.too-large`,
                `wire.garbage`, `wire.too-many`, `wire.node-refused`), the source's address, a detail; at most once a
                second for one code and source.
            body_limit_bytes: the largest body under `/foedus/`.
            message_limit_bytes: the largest answer of a node.

        Raises: as `cannot_listen`.
        """
        gateway = cls("", Fleet(superlink), route, refused, body_limit_bytes, message_limit_bytes)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(tls.certificate, tls.key)
        try:
            server = _Server(host, port, gateway, context)
        except OSError as error:
            raise cannot_listen(host, port, error) from error
        gateway.address = f"{host}:{server.server_address[1]}"
        gateway._server, gateway._context = server, superlink.client_context()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return gateway

    def close(self) -> None:
        """Stop listening; open connections end by themselves."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def report(self, code: str, source: str, detail: str) -> None:
        """Tell `refused`, unless the same was told within the last second."""
        now = monotonic()
        if now - self._reported.get((code, source), -_REPORT_SECONDS) < _REPORT_SECONDS:
            return
        if len(self._reported) > 4096:
            self._reported.clear()
        self._reported[code, source] = now
        self.refused(code, source, detail)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, gateway: Gateway, context: ssl.SSLContext) -> None:
        self.gateway = gateway
        self.context = context
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.address_family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
        super().__init__((host, port), _Exchange)

    def verify_request(self, _: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection from this address."""
        with self._lock:
            source = client_address[0]
            room = self._open.total() < _CONNECTIONS and self._open[source] < _CONNECTIONS_OF_ONE
            if room:
                self._open[source] += 1
        if not room:
            self.gateway.report("wire.too-many", source, str(_CONNECTIONS_OF_ONE))
        return room

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The handshake and the exchange, in a thread of their own."""
        source = client_address[0]
        try:
            request.settimeout(_HANDSHAKE_SECONDS)
            secured = self.context.wrap_socket(request, server_side=True)
        except (OSError, ValueError) as error:
            if not isinstance(error, ConnectionError):
                self.gateway.report("wire.garbage", source, str(getattr(error, "reason", error)))
            self.shutdown_request(request)
        else:
            super().process_request_thread(secured, client_address)
        finally:
            with self._lock:
                self._open[source] -= 1
                self._open += Counter()  # drops what is zero

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away, or stopped in the middle, is its own affair."""


class _Exchange(BaseHTTPRequestHandler):
    """One connection: requests, one after the other."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "foedus"
    sys_version = ""
    timeout = _IDLE_SECONDS

    def setup(self) -> None:
        """Open nothing yet towards the SuperLink."""
        super().setup()
        context = self.server.gateway._context
        assert context  # noqa: S101 - set before the first connection is taken
        self._line = Line(self.server.gateway.fleet, context, self._is_gone)

    def finish(self) -> None:
        """Close both ways."""
        self._line.close()
        with contextlib.suppress(OSError):
            super().finish()

    def do_POST(self) -> None:
        """Sort a request: a node's, the hub's own, or nobody's."""
        path = self.path
        if path in PATHS and self.command == "POST":
            self._fleet(path)
        elif path.startswith("/foedus/"):
            self._own(path)
        elif path.startswith("/v1/control/"):
            self._refuse(403, "wire.control-refused", path)
        else:
            self._refuse(403, "wire.path-refused", path)

    do_GET = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = do_POST  # noqa: N815 - the base class's names

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the parser cannot read: refused without a page."""
        del explain
        self._refuse(code, "wire.garbage", message or "")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing is printed; refusals are reported."""

    def _own(self, path: str) -> None:
        body = self._body(self.server.gateway.body_limit_bytes)
        if body is None:
            return
        request = Request(self.command, path, self._named(), body, self.client_address[0])
        answer = self.server.gateway.route(request)
        self._reply(answer.status, answer.body, answer.content_type)

    def _fleet(self, path: str) -> None:
        gateway, fleet = self.server.gateway, self.server.gateway.fleet
        key = self.headers.get(KEY_HEADER, "")
        if path != ACTIVATE and key not in fleet.superlink.keys:
            self._refuse(401, "wire.node-refused", path)
            return
        body = self._body(_FLEET_LIMIT_BYTES)
        if body is None:
            return
        if fleet.too_much(path, key, len(body), gateway.message_limit_bytes):
            self._refuse(413, "wire.too-large", path)
            return
        answer = self._line.ask(path, key, self._named(), body)
        if answer is None:
            self.close_connection = True
            return
        if answer.status == 401 or (path == ACTIVATE and answer.status >= 400):
            gateway.report("wire.node-refused", self.client_address[0], f"{path} {answer.status}")
        self._reply(answer.status, answer.body, answer.content_type)
        if answer.whole:
            fleet.arrived(fleet.superlink.member_of(key))

    def _named(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _is_gone(self) -> bool:
        """Whether the caller has left: it sends nothing while it waits, so what can be read is its end."""
        look = select.poll()
        look.register(self.connection, select.POLLIN)
        return bool(look.poll(0))

    def _body(self, limit_bytes: int) -> bytes | None:
        """The whole body, or None after a refusal."""
        length = self.headers.get("content-length", "0")
        if self.headers.get("transfer-encoding") or not (length.isascii() and length.isdigit()) or len(length) > 15:
            self._refuse(411, "wire.garbage", "no content-length")
            return None
        if int(length) > limit_bytes:
            self._refuse(413, "wire.too-large", f"{self.path} {length}")
            return None
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            self.close_connection = True
            return None
        return body

    def _refuse(self, status: int, code: str, detail: str) -> None:
        self.close_connection = True  # what follows on this connection is not read
        self.server.gateway.report(code, self.client_address[0], detail[:200])
        self._reply(status, code.encode(), "text/plain")

    def _reply(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if content_type:
            self.send_header("content-type", content_type)
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
