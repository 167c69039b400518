"""The hub's end of the wire as a Flower ServerApp: letters from the hub's process go to nodes, answers come back to it.

It decides nothing. The hub says what to send to which node; what a node answers is handed to the hub as it comes. It
asks the hub for work with a request that the hub holds until there is some, so that nothing waits for a clock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
_MANY = 16  # answers fetched at once where they are small
_LARGE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class _Sent:
    number: str
    node: int
    ends: float
    size: int


@app.main()
def main(grid: Grid, _: Context) -> None:
    """Carry until the hub says that it is done or is gone."""
    socket = Path(os.environ["FOEDUS_HUB_SOCKET"])
    pump(grid, lambda data: pipe.call(socket, data, timeout_seconds=_HOLD_SECONDS))


def pump(grid: Grid, ask: Ask) -> None:
    """Carry letters between the hub (`ask`) and the nodes (`grid`)."""
    sent: dict[str, _Sent] = {}  # by Flower's message id
    online: list[int] = []
    read_at = 0.0
    while True:
        if time.monotonic() - read_at >= _NODES_SECONDS:
            online, read_at = sorted(grid.get_node_ids()), time.monotonic()
        orders, _ = unpack(ask(pack({"kind": "next", "online": online, "open": len(sent)})))
        if orders.get("stop"):
            return
        for order in orders["send"]:
            head, body = unpack(ask(pack({"kind": "body", "number": order["number"]})))
            if not head["gone"]:  # its step may have ended just now
                _send(grid, ask, sent, order, body)
        now = time.time()
        for identifier in [identifier for identifier, letter in sent.items() if letter.ends < now]:
            del sent[identifier]
        for message in _answers(grid, sent):
            _hand_over(ask, sent, message)


def _send(grid: Grid, ask: Ask, sent: dict[str, _Sent], order: dict[str, Any], body: bytes) -> None:
    number, node, lasts = str(order["number"]), int(order["node"]), float(order["lasts"])
    letter = Letter(number, body, deadline=float(order["deadline"]), patience_seconds=lasts)
    message = Message(letter.write(), dst_node_id=node, message_type="query.carry", ttl=lasts)
    identifiers = list(grid.push_messages([message]))
    if identifiers and identifiers[0]:
        sent[identifiers[0]] = _Sent(number, node, time.time() + lasts, len(body))
        ask(pack({"kind": "sent", "number": number}))
    else:
        ask(pack({"kind": "answer", "number": number, "code": "engine.unreachable"}))


def _answers(grid: Grid, sent: dict[str, _Sent]) -> Iterator[Message]:
    """What has been answered by now; large ones one at a time, so that one is in memory."""
    many = [identifier for identifier, letter in sent.items() if letter.size < _LARGE_BYTES]
    groups = [many[start : start + _MANY] for start in range(0, len(many), _MANY)]
    groups += [[identifier] for identifier in sent if identifier not in set(many)]
    for group in groups:
        yield from grid.pull_messages(group)


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
