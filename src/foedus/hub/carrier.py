"""How the hub reaches its members: Flower's SuperLink on loopback behind the gateway, one public port with TLS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from foedus.core.clock import Clock
from foedus.core.files import read_text
from foedus.federate.engine import Engine
from foedus.hub.reception import BODY_LIMIT_BYTES, Answered
from foedus.wire.gateway import Gateway, Request, Response
from foedus.wire.superlink import SuperLink
from foedus.wire.tls import authority

__all__ = ["Answer", "Carrier", "OverFlower", "Refused"]

Answer = Callable[[str, str, bytes, str], Answered]
"""`answer(method, path, body, source)`: the reception."""
Refused = Callable[[str, str, str], None]


class Carrier(Protocol):
    """What the hub needs of a wire. `port` is the public one; `certificate` (PEM) is what members trust."""

    port: int
    certificate: str

    def register(self, member: str, public: str) -> None:
        """Let the node with this transport key in as this member, and no other."""

    def engine(self) -> Engine:
        """An engine for one run; who called closes it."""

    def tend(self) -> None:
        """Start again what died, while no run is carried."""

    def close(self) -> None:
        """Stop listening and end the services."""


@dataclass(slots=True)
class OverFlower:
    """A running SuperLink and gateway."""

    port: int
    certificate: str
    _sockets: Path
    _superlink: SuperLink
    _gateway: Gateway

    @classmethod
    def start(
        cls, folder: Path, *, host: str, port: int, names: Sequence[str], sockets: Path, answer: Answer,
        refused: Refused, clock: Clock,
    ) -> Self:  # fmt: skip
        """Start both; `port` 0 asks the system for a free one.

        Raises:
            CallerError: `wire.engine-missing`, `wire.address-not-here`, `wire.bad-host`, `wire.authority-ended`.
            RunError: `wire.port-taken`, `wire.superlink-died`, `wire.superlink-late`.
        """
        tls = authority(folder / "tls", names, clock=clock)

        def route(request: Request) -> Response:
            said = answer(request.method, request.path, request.body, request.source)
            return Response(said.status, said.body)

        superlink = SuperLink.start(folder / "flower", tls=tls)
        try:
            gateway = Gateway.start(
                host, port, tls=tls, superlink=superlink, route=route, refused=refused,
                body_limit_bytes=BODY_LIMIT_BYTES,
            )  # fmt: skip
        except BaseException:
            superlink.close()
            raise
        return cls(int(gateway.address.rpartition(":")[2]), read_text(tls.ca), sockets, superlink, gateway)

    def register(self, member: str, public: str) -> None:
        """Let the node with this transport key in as this member; RunError `wire.registration-refused`."""
        self._superlink.register(member, public)

    def engine(self) -> Engine:
        """A Flower run of our own; raises as `Flower.start`."""
        from foedus.wire.flower import Flower

        return Flower.start(self._sockets / "flower", superlink=self._superlink, gateway=self._gateway)

    def tend(self) -> None:
        """Start the SuperLink again where it has died; RunError `wire.superlink-died`, `wire.superlink-late`."""
        self._superlink.revive()

    def close(self) -> None:
        """Stop listening, then end the SuperLink."""
        self._gateway.close()
        self._superlink.close()
