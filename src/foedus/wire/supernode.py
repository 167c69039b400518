"""A member's SuperNode: Flower's client as a child process that carries the hub's messages to the member's own process.

It is started without Flower's executor, and with the shared secret that Flower offers for its local port, so that
neither an app that arrives nor another user of this machine gets to run or take anything. What remains: who can read
the member's files as the member's user is the member.
"""

from __future__ import annotations

import secrets
import socket as sockets
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from foedus.core.errors import FoedusError, IdentityError, RunError
from foedus.core.files import read_bytes, write_atomic
from foedus.wire.process import Child, free_port
from foedus.wire.tls import node_key as node_key_at

__all__ = ["SuperNode"]

_PROBE_SECONDS = 10.0


@dataclass(slots=True)
class SuperNode:
    """A running SuperNode."""

    hub: str
    _child: Child

    @classmethod
    def start(
        cls, folder: Path, *, hub: str, ca: Path, node_key: Path, socket: Path, start_seconds: float = 60.0
    ) -> Self:
        """Connect to the hub, and give back once it has let the node in.

        Args:
            folder: log, state and secret of the node; made, and closed to others.
            hub: the hub's gateway, `host:port`.
            ca: the certificate of the hub's authority, from the invitation.
            node_key: the node's private key, made by `tls.node_key`.
            socket: where the member's process answers messages (`pipe.serve`).
            start_seconds: how long the start may take.

        Raises:
            CallerError: `wire.engine-missing`, `wire.not-a-node-key`.
            IdentityError: `wire.hub-unreachable`, `wire.certificate-refused`, `wire.key-not-registered`.
            RunError: `wire.supernode-died`, `wire.supernode-late`, with the end of its log.
        """
        node_key_at(node_key)
        _probe(hub, ca)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        secret_file, port = folder / "secret", free_port()
        write_atomic(secret_file, secrets.token_hex(32).encode(), mode=0o600)
        arguments = [
            *("--superlink", hub, "--root-certificates", ca, "--auth-supernode-private-key", node_key),
            *("--host", "127.0.0.1", "--port", str(port), "--isolation", "process"),
            *("--superexec-auth-secret-file", secret_file),
        ]
        settings = {
            "arguments": arguments,
            "runtime": f"127.0.0.1:{port}",
            "secret_file": secret_file,
            "socket": socket,
        }
        node = cls(hub, Child("supernode", folder, settings))
        try:
            if not node._child.wait_for(node._taken_in, seconds=start_seconds):
                raise node.failure() or RunError("wire.supernode-late", hub=hub, log=node._child.last_lines())
        except BaseException:
            node.close()
            raise
        return node

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def alive(self) -> bool:
        """Whether the process runs. It survives an outage of the hub, and connects again by itself."""
        return self._child.alive()

    def failure(self) -> FoedusError | None:
        """Why it has ended, where it has."""
        if self.alive():
            return None
        log = self._child.last_lines(40)
        if "[code: 2004]" in log or "401" in log:
            return IdentityError("wire.key-not-registered", hub=self.hub)
        return RunError("wire.supernode-died", hub=self.hub, log=self._child.last_lines())

    def close(self) -> None:
        """End the process."""
        self._child.close()

    def _taken_in(self) -> bool:
        return b"SuperNode ID:" in self._child.log.read_bytes()


def _probe(hub: str, ca: Path) -> None:
    """One TLS handshake, so that what is wrong has a name before anything is started."""
    host, _, port = hub.rpartition(":")
    host = host.strip("[]")
    authority = read_bytes(ca).decode()
    try:
        context = ssl.create_default_context(cadata=authority)
        with sockets.create_connection((host, int(port)), timeout=_PROBE_SECONDS) as connection:
            context.wrap_socket(connection, server_hostname=host).close()
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or str(error)
        raise IdentityError("wire.certificate-refused", hub=hub, reason=reason) from error
    except (OSError, ValueError) as error:
        raise IdentityError("wire.hub-unreachable", hub=hub, reason=str(error)) from error
