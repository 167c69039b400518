"""The hub's end of the wire as a Flower ServerApp: letters from the hub's process go to nodes, answers come back to it.

It decides nothing. The hub says what to send to which node, and whose answer has come whole; what a node answers is
handed to the hub. It asks the hub for work with a request that the hub holds until there is some, so that nothing waits
for a clock. Each answer is taken in a thread of its own: Flower waits up to two hours for the parts of an answer that a
node began and did not finish, and that must be nobody else's wait.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flwr.app import Context, Message
from flwr.serverapp import Grid, ServerApp

from foedus.wire import pipe
from foedus.wire.frame import pack, unpack
from foedus.wire.letter import Letter, MalformedLetterError

__all__ = ["app", "pump"]

app = ServerApp()

Ask = Callable[[bytes], bytes]

_HOLD_SECONDS = 60.0  # longer than the hub holds a request
_NODES_SECONDS = 1.0  # how often the list of connected nodes is read
_NODE_UNAVAILABLE = 5
_LOOK_SECONDS = 5.0  # how often Flower's own answers for nodes that are not connected are looked for
_SWEEP_SECONDS = 30.0  # how often every answer is looked for: who tells of one, or takes it, may fail


@dataclass(frozen=True, slots=True)
class _Sent:
    """A letter that was sent. `taking` is held while its answer is looked for."""

    number: str
    node: int
    ends: float
    taking: threading.Lock = field(default_factory=threading.Lock)


@app.main()
def main(grid: Grid, _: Context) -> None:
    """Carry until the hub says that it is done or is gone."""
    socket = Path(os.environ["FOEDUS_HUB_SOCKET"])
    pump(grid, lambda data: pipe.call(socket, data, timeout_seconds=_HOLD_SECONDS))


def pump(grid: Grid, ask: Ask) -> None:
    """Carry letters between the hub (`ask`) and the nodes (`grid`) until the hub says that it is done."""
    sent: dict[str, _Sent] = {}  # by Flower's message id
    online: list[int] = []
    read_at = looked_at = swept_at = time.monotonic()
    while True:
        if not online or time.monotonic() - read_at >= _NODES_SECONDS:
            online, read_at = sorted(grid.get_node_ids()), time.monotonic()
        orders, _ = unpack(ask(pack({"kind": "next", "online": online})))
        if orders["stop"]:
            return
        for order in orders["send"]:
            head, body = unpack(ask(pack({"kind": "body", "number": order["number"]})))
            if not head["gone"]:  # its step may have ended just now
                _send(grid, ask, sent, order, body)
        now = time.time()
        for identifier, letter in list(sent.items()):  # threads take out of it what is answered
            if letter.ends < now:
                sent.pop(identifier, None)
            elif letter.number in orders["take"]:
                _take(grid, ask, sent, identifier)
        if time.monotonic() - looked_at >= _LOOK_SECONDS:
            looked_at = time.monotonic()
            sweep = looked_at - swept_at >= _SWEEP_SECONDS
            swept_at = looked_at if sweep else swept_at
            for identifier, letter in list(sent.items()):
                if (sweep or letter.node not in online) and not letter.taking.locked():
                    _take(grid, ask, sent, identifier)


def _take(grid: Grid, ask: Ask, sent: dict[str, _Sent], identifier: str) -> None:
    """Take the answer to this message, where there is one, one attempt after the other: Flower forgets a message once
    its answer was taken, and to who asks then it gives an error that would stand for the answer.
    """

    def take() -> None:
        letter = sent.get(identifier)
        if letter is None:
            return
        with letter.taking:
            if identifier not in sent:
                return
            try:
                for message in grid.pull_messages([identifier]):
                    _hand_over(ask, sent, message)
            except Exception as error:  # noqa: BLE001 - a node may send what cannot be put together; its step ends in time
                _note(error)

    threading.Thread(target=take, daemon=True).start()


def _note(what: object) -> None:
    print(f"foedus: {what!r}", flush=True)  # noqa: T201 - the service's own log


def _send(grid: Grid, ask: Ask, sent: dict[str, _Sent], order: dict[str, Any], body: bytes) -> None:
    number, node, lasts = str(order["number"]), int(order["node"]), float(order["lasts"])
    letter = Letter(number, body, deadline=float(order["deadline"]), patience_seconds=lasts)
    message = Message(letter.write(), dst_node_id=node, message_type="query.carry", ttl=lasts)
    identifiers = list(grid.push_messages([message]))
    if identifiers and identifiers[0]:
        sent[identifiers[0]] = _Sent(number, node, time.time() + lasts)
        ask(pack({"kind": "sent", "number": number}))
    else:
        ask(pack({"kind": "answer", "number": number, "code": "engine.unreachable"}))


def _hand_over(ask: Ask, sent: dict[str, _Sent], message: Message) -> None:
    letter = sent.pop(message.metadata.reply_to_message_id, None)
    if letter is None:
        return
    if message.has_error():
        gone = message.error.code == _NODE_UNAVAILABLE
        code = "engine.member-gone" if gone else "wire.node-failed"
        ask(pack({"kind": "answer", "number": letter.number, "code": code}))
        return
    try:
        answer = Letter.read(message.content)
    except MalformedLetterError:
        ask(pack({"kind": "answer", "number": letter.number, "code": "wire.foreign-answer"}))
        return
    if answer.number != letter.number or message.metadata.src_node_id != letter.node:
        ask(pack({"kind": "answer", "number": letter.number, "code": "wire.foreign-answer"}))
        return
    ask(pack({"kind": "answer", "number": letter.number, "code": answer.code}, answer.body))
