"""The hub's SuperLink: Flower's server as a child process on a loopback port, guarded by a secret of the hub's.

Flower 1.41 authenticates nodes but no users: who reaches its port can submit runs and register nodes. Here every
request that is not Flower's Runtime API or health must carry a secret that was made for this start and lies in a file
that only the hub's user can read; the Runtime API wants Flower's own shared secret, the same. The gateway adds the
secret to what it lets through. What remains: who can read the hub's files as the hub's user is the hub.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from foedus.core.errors import RunError
from foedus.core.files import write_atomic
from foedus.wire import fab
from foedus.wire.launch import SECRET_HEADER
from foedus.wire.process import Child, free_port
from foedus.wire.tls import Authority

if TYPE_CHECKING:
    from flwr.supercore.control import ControlHttpClient

__all__ = ["SuperLink"]


@dataclass(slots=True)
class SuperLink:
    """A running SuperLink. `port` is on loopback; `secret` opens it."""

    folder: Path
    tls: Authority
    port: int
    secret: str = field(repr=False)
    _child: Child
    _members: dict[str, dict[str, Any]] = field(default_factory=dict)
    _registering: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def start(cls, folder: Path, *, tls: Authority, port: int | None = None, start_seconds: float = 60.0) -> Self:
        """Start Flower's server with its state in `folder/state.db`, and wait until it answers.

        Args:
            folder: state, log and secret; made, and closed to others.
            tls: the hub's certificates; the SuperLink uses the hub's own.
            port: the loopback port; a free one by default.
            start_seconds: how long the start may take.

        Raises:
            CallerError: `wire.engine-missing`.
            RunError: `wire.superlink-died` (with the end of its log; a taken port is there), `wire.superlink-late`,
                `wire.unguarded` when this version of Flower goes around the guard.
        """
        port = port or free_port()
        secret = secrets.token_hex(32)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        write_atomic(folder / "secret", secret.encode(), mode=0o600)
        link = cls(folder, tls, port, secret, _start(folder, tls, port))
        try:
            if not link._child.wait_for(link._healthy, seconds=start_seconds):
                code = "wire.superlink-late" if link.alive() else "wire.superlink-died"
                raise RunError(code, port=port, log=link._child.last_lines())
            if link._status("/v1/control/list-runs", {}) != 403:
                raise RunError("wire.unguarded")
            link._read_members()
        except BaseException:
            link.close()
            raise
        return link

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def secret_file(self) -> Path:
        """Where its secret lies, for its own services."""
        return self.folder / "secret"

    @property
    def _run_file(self) -> Path:
        return self.folder / "run"

    @property
    def members(self) -> Mapping[str, int]:
        """The registered members and their nodes' numbers."""
        return {member: int(entry["node"]) for member, entry in self._members.items()}

    @property
    def keys(self) -> frozenset[str]:
        """The registered nodes' keys, as Flower's clients send them with each request."""
        return frozenset(map(self.key_of, list(self._members)))

    def key_of(self, member: str) -> str:
        """The key of the member's node, as Flower's clients send it."""
        return b64encode(self._members[member]["key"].encode()).decode()

    def member_of(self, key: str) -> str:
        """The member whose node sends this key; KeyError where there is none."""
        return {self.key_of(member): member for member in list(self._members)}[key]

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.alive()

    def register(self, member: str, public_key_pem: str) -> int:
        """Let the node with this key in as `member`, and no other; gives the node's number.

        The same key again changes nothing; another key for the member puts the old one out.

        Raises:
            RunError: `wire.registration-refused`.
        """
        with self._registering:
            known = self._members.get(member)
            if known and known["key"] == public_key_pem:
                return int(known["node"])
            if known:
                self.unregister(member)
            with self._control("wire.registration-refused", member) as control:
                node = _registered(control, public_key_pem.encode())
            self._members[member] = {"key": public_key_pem, "node": str(node)}
            self._write_members()
            return node

    def unregister(self, member: str) -> None:
        """Put the member's node out. Flower does not take the same key in again."""
        from flwr.proto.control_pb2 import UnregisterNodeRequest

        with self._registering:
            if known := self._members.pop(member, None):
                with self._control("wire.registration-refused", member) as control:
                    control.UnregisterNode(UnregisterNodeRequest(node_id=int(known["node"])))
                self._write_members()

    def submit(self) -> int:
        """Start a Flower run of the wire's own app, and end the one before it; gives the run's number.

        Raises:
            RunError: `wire.run-refused`.
        """
        from flwr.proto.control_pb2 import StartRunRequest
        from flwr.proto.fab_pb2 import Fab

        self.stop()
        bundle = Fab(hash_str=fab.digest(), content=fab.bundle())
        with self._control("wire.run-refused", "") as control:
            run = int(control.StartRun(StartRunRequest(fab=bundle)).run_id)
        write_atomic(self._run_file, str(run).encode(), mode=0o600)
        return run

    def stop(self) -> None:
        """End the Flower run that was started last, by this process or by one that was killed, with its messages."""
        from flwr.proto.control_pb2 import StopRunRequest

        if not self._run_file.exists():
            return
        run = int(self._run_file.read_text())
        with contextlib.suppress(RunError), self._control("wire.run-refused", "") as control:
            control.StopRun(StopRunRequest(run_id=run))
        self._run_file.unlink()

    def revive(self, *, start_seconds: float = 60.0) -> None:
        """Start the process again on the same port and state, where it has died."""
        if self.alive():
            return
        self._child.close()
        self._child = _start(self.folder, self.tls, self.port)
        if not self._child.wait_for(self._healthy, seconds=start_seconds):
            code = "wire.superlink-late" if self.alive() else "wire.superlink-died"
            raise RunError(code, port=self.port, log=self._child.last_lines())

    def close(self) -> None:
        """End the process; its state stays."""
        self._child.close()

    def client_context(self) -> ssl.SSLContext:
        """How its own clients check it: this authority and no other."""
        return ssl.create_default_context(cafile=str(self.tls.ca))

    @contextlib.contextmanager
    def _control(self, code: str, member: str) -> Iterator[ControlHttpClient]:
        import httpx
        from flwr.supercore.control import ControlHttpClient
        from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

        interceptors: list[Any] = [RuntimeVersionHttpInterceptor(component_name="CLI"), _WithSecret(self.secret)]
        client = ControlHttpClient.from_server_address(
            self.address, insecure=False, root_certificates=self.tls.ca.read_bytes(), interceptors=interceptors
        )
        try:
            with client:
                yield client
        except (httpx.HTTPError, ValueError) as error:
            answer = getattr(error, "response", None)
            reason = str(error) if answer is None else answer.text
            raise RunError(code, member=member, reason=reason[:300]) from error

    def _healthy(self) -> bool:
        """Whether it answers, and knows this start's secret: another SuperLink may be on the port."""
        if self._status("/health", {}, method="GET") != 200:
            return False
        return self._status("/v1/control/list-runs", {SECRET_HEADER: self.secret}) not in (0, 403)

    def _status(self, path: str, headers: Mapping[str, str], *, method: str = "POST") -> int:
        connection = HTTPSConnection("127.0.0.1", self.port, timeout=5.0, context=self.client_context())
        try:
            connection.request(method, path, headers=dict(headers))
            return connection.getresponse().status
        except (OSError, HTTPException):
            return 0
        finally:
            connection.close()

    def _read_members(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._members = json.loads((self.folder / "members.json").read_bytes())

    def _write_members(self) -> None:
        write_atomic(self.folder / "members.json", json.dumps(self._members, indent=1).encode(), mode=0o600)


@dataclass(frozen=True, slots=True)
class _WithSecret:
    """Adds the hub's secret to a request of Flower's client."""

    secret: str = field(repr=False)

    def intercept(self, context: Any, call_next: Any) -> Any:
        """Flower's interceptor protocol."""
        context.request.headers[SECRET_HEADER] = self.secret
        return call_next(context)


def _registered(control: ControlHttpClient, key: bytes) -> int:
    """The number of the node with this key: registered now, or before a crash that kept it from being written down."""
    from flwr.proto.control_pb2 import ListNodesRequest, RegisterNodeRequest

    for node in control.ListNodes(ListNodesRequest()).nodes_info:
        if node.public_key == key and node.status != "unregistered":
            return int(node.node_id)
    return int(control.RegisterNode(RegisterNodeRequest(public_key=key)).node_id)


def _start(folder: Path, tls: Authority, port: int) -> Child:
    arguments = [
        *("--host", "127.0.0.1", "--port", str(port), "--database", folder / "state.db"),
        *("--ssl-ca-certfile", tls.ca, "--ssl-certfile", tls.certificate, "--ssl-keyfile", tls.key),
        *("--enable-supernode-auth", "--isolation", "process", "--disable-runtime-dependency-installation"),
        *("--superexec-auth-secret-file", folder / "secret"),
    ]
    return Child("superlink", folder, {"arguments": arguments, "secret_file": folder / "secret"})
