"""A hub and nodes as real processes on loopback: what `foedus up` and `foedus join` start, without what they decide."""

import contextlib
import json
import os
import signal
import ssl
import time
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path

from foedus.core.clock import now
from foedus.wire import pipe, tls
from foedus.wire.flower import Flower
from foedus.wire.gateway import Gateway, Response
from foedus.wire.superlink import SuperLink
from foedus.wire.supernode import SuperNode


@dataclass
class Member:
    """A resident process, played by a function of this one, and its node."""

    name: str
    folder: Path
    served: pipe.Served
    node: SuperNode | None = None

    def kill(self):
        os.kill(self.node.pid, signal.SIGKILL)
        self.node.close()


@dataclass
class Hub:
    """Everything of a hub that the wire gives."""

    folder: Path
    authority: tls.Authority
    link: SuperLink
    gateway: Gateway
    engine: Flower
    refused: list
    members: dict[str, Member] = field(default_factory=dict)

    def join(self, name, answer=lambda data: b"answer to " + data, *, start=True):
        """Register a member, answer for it, and start its node."""
        folder = self.folder / name
        folder.mkdir()
        self.link.register(name, tls.node_key(folder / "key"))
        self.members[name] = Member(name, folder, pipe.serve(folder / "s" / "s", answer))
        if start:
            self.start_node(name)
        return self.members[name]

    def start_node(self, name):
        member = self.members[name]
        member.node = SuperNode.start(
            member.folder / "node",
            hub=self.gateway.address,
            ca=self.authority.ca,
            node_key=member.folder / "key",
            socket=member.served.socket,
        )

    def wait_online(self, *names, seconds=60):
        wait_until(lambda: set(names) <= self.engine.online(), seconds)

    def carry(self, messages, seconds=30):
        """One step: its answers, and how long it took."""
        begun = time.monotonic()
        got = dict(self.engine.carry(messages, deadline_seconds=seconds))
        return got, time.monotonic() - begun

    def request(self, path, *, body=b"", headers=None, method="POST"):
        """A stranger's request to the public port: status and body."""
        host, _, port = self.gateway.address.rpartition(":")
        context = ssl.create_default_context(cafile=str(self.authority.ca))
        with contextlib.closing(HTTPSConnection(host, int(port), timeout=10, context=context)) as connection:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()


@contextlib.contextmanager
def hub(folder, **limits):
    """A running hub, ended with its nodes at the end."""
    refused = []
    with contextlib.ExitStack() as stack:
        authority = tls.authority(folder / "tls", ["127.0.0.1"], clock=now)
        link = SuperLink.start(folder / "link", tls=authority)
        stack.callback(link.close)
        gateway = Gateway.start(
            "127.0.0.1",
            0,
            tls=authority,
            superlink=link,
            route=lambda request: Response(200, json.dumps([request.method, request.path, len(request.body)]).encode()),
            refused=lambda *what: refused.append(what),
            **limits,
        )
        stack.callback(gateway.close)
        engine = Flower.start(folder / "f", superlink=link, gateway=gateway, patience_seconds=4)
        stack.callback(engine.close)
        running = Hub(folder, authority, link, gateway, engine, refused)
        stack.callback(_end, running.members)
        yield running


def wait_until(ready, seconds=30):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def _end(members):
    for member in members.values():
        if member.node:
            member.node.close()
        member.served.close()
