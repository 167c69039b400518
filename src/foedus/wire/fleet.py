"""What a node says to the SuperLink, and what the hub makes of it: whose turn it is, and what was lost.

A node of Flower does one thing after the other: it asks for a message, fetches its parts, answers it, and asks again.
So a node that asks for a message while one that it was given is open has lost it, whatever happened on the way, and the
hub sends it again. A question for which there is no message is held until there is one, and a request that comes while
the SuperLink is being started again is held until it is up: neither waits for the node's own clock.
"""

from __future__ import annotations

import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection
from time import monotonic, sleep

from foedus.wire.launch import SECRET_HEADER
from foedus.wire.superlink import SuperLink

__all__ = ["ACTIVATE", "KEY_HEADER", "PATHS", "Answer", "Fleet", "Line"]

PATHS = frozenset(
    f"/v1/fleet/{name}"
    for name in (
        "activate-node",
        "confirm-message-received",
        "deactivate-node",
        "get-fab",
        "get-run",
        "pull-messages",
        "pull-object",
        "push-messages",
        "push-object",
        "send-node-heartbeat",
    )
)
"""All that a node sends."""
ACTIVATE = "/v1/fleet/activate-node"
KEY_HEADER = "flwr-public-key"

_DEACTIVATE, _HEARTBEAT = "/v1/fleet/deactivate-node", "/v1/fleet/send-node-heartbeat"
_PULL, _PUSH_MESSAGE, _PUSH_OBJECT = (
    "/v1/fleet/pull-messages",
    "/v1/fleet/push-messages",
    "/v1/fleet/push-object",
)
_HOLD_SECONDS = 15.0  # less than the 30 s that a SuperNode waits for an answer
_HEARTBEAT_SECONDS = 3.0  # for which it waits 5 s
_SUPERLINK_SECONDS = 25.0
_AGAIN_SECONDS = 0.25  # between two tries to reach a SuperLink that is being started again


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node gets to hear; `whole` when with its request its answer to a message lies at the SuperLink."""

    status: int
    content_type: str = ""
    body: bytes = b""
    whole: bool = False


@dataclass(slots=True)
class Fleet:
    """The nodes' turns. `arrived` is told of each member whose answer has come whole, `returned` of each let in, `lost`
    of each that asks for a message while one that it was given is open.
    """

    superlink: SuperLink
    arrived: Callable[[str], None] = field(default=lambda _: None)
    returned: Callable[[str], None] = field(default=lambda _: None)
    lost: Callable[[str], None] = field(default=lambda _: None)
    _called: dict[str, threading.Event] = field(default_factory=dict)
    _pushed: Counter[str] = field(default_factory=Counter)
    _missing: Counter[str] = field(default_factory=Counter)
    _given: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wake(self, member: str) -> None:
        """There is a message for this member: its held question is asked again."""
        self._event(self.superlink.key_of(member)).set()

    def wait_for_message(self, key: str) -> None:
        """Wait until there may be a message for the node with this key, or it is time to answer."""
        event = self._event(key)
        event.wait(_HOLD_SECONDS)
        event.clear()

    def give(self, key: str) -> None:
        """The node with this key has, or may have, a message."""
        with self._lock:
            self._given.add(key)

    def take_back(self, key: str) -> bool:
        """Whether the node with this key had a message that was open; now it has none."""
        with self._lock:
            given = key in self._given
            self._given.discard(key)
            return given

    def too_much(self, path: str, key: str, size_bytes: int, limit_bytes: int) -> bool:
        """Whether a node sends more than one answer may be; it is not asked for that answer again."""
        with self._lock:
            if path == _PUSH_MESSAGE:
                self._pushed[key] = 0
            if path != _PUSH_OBJECT:
                return False
            self._pushed[key] += size_bytes
            if self._pushed[key] <= limit_bytes:
                return False
            self._given.discard(key)
            return True

    def is_whole(self, path: str, key: str, answer: bytes) -> bool:
        """Whether a node has now brought every object that the SuperLink asked it for."""
        from flwr.proto.fleet_pb2 import PushMessagesResponse

        if path not in (_PUSH_MESSAGE, _PUSH_OBJECT):
            return False
        with self._lock:
            if path == _PUSH_MESSAGE:
                self._missing[key] = len(PushMessagesResponse.FromString(answer).objects_to_push)
            else:
                self._missing[key] -= 1
            if self._missing[key] == 0:
                self._given.discard(key)
                return True
            return False

    def _event(self, key: str) -> threading.Event:
        return self._called.setdefault(key, threading.Event())


class Line:
    """One node's connection, led on to the SuperLink; `is_gone` tells whether the node has left it."""

    def __init__(self, fleet: Fleet, context: ssl.SSLContext, is_gone: Callable[[], bool]) -> None:
        self._fleet = fleet
        self._context = context
        self._is_gone = is_gone
        self._upstream: HTTPSConnection | None = None

    def close(self) -> None:
        """Close the connection to the SuperLink."""
        if self._upstream:
            self._upstream.close()
        self._upstream = None

    def ask(self, path: str, key: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """The answer to a request of the node with this key; None when the node has left meanwhile."""
        if path == _PULL:
            return self._pull(key, headers, body)
        answer = self._forward(path, headers, body)
        if path == ACTIVATE:
            answer = self._let_in(key, headers, body, answer)
        if answer.status == 403:  # the Flower run of its message has ended
            self._fleet.take_back(key)
        # Counted before the node hears of it: it may send the next object on another connection at once.
        whole = answer.status == 200 and self._fleet.is_whole(path, key, answer.body)
        return Answer(answer.status, answer.content_type, answer.body, whole)

    def _pull(self, key: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        fleet = self._fleet
        if fleet.take_back(key):
            fleet.lost(fleet.superlink.member_of(key))
        answer = self._forward(_PULL, headers, body)
        if answer.status == 200 and not answer.body:
            fleet.wait_for_message(key)
            if self._is_gone():  # a message that is taken for it now would be lost
                return None
            answer = self._forward(_PULL, headers, body)
        if (answer.status == 200 and answer.body) or answer.status == 504:
            fleet.give(key)
        return answer

    def _let_in(self, key: str, headers: Mapping[str, str], body: bytes, first: Answer) -> Answer:
        """The answer to a node that starts.

        Flower refuses a node that it still takes to be connected, up to a minute after it was killed. This one has just
        proved its key, so what was connected with that key is put out first, with the same proof.
        """
        link, answer = self._fleet.superlink, first
        if key not in link.keys:
            return answer
        member = link.member_of(key)
        if answer.status >= 400:
            put_out = self._forward(_DEACTIVATE, headers, _deactivation(link.members[member]))
            if put_out.status == 200:
                answer = self._forward(ACTIVATE, headers, body)
        if answer.status == 200:
            self._fleet.take_back(key)
            self._fleet.returned(member)
        return answer

    def _forward(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The SuperLink's answer; while it is being started again, it is waited for.

        503 where it cannot be reached or fails, 504 where it does not answer: a SuperNode takes both as a reason to try
        again, after a pause that grows, and every other 5xx as its end.
        """
        link = self._fleet.superlink
        sent = {name: value for name, value in headers.items() if name.startswith("flwr-")}
        sent |= {"content-type": headers.get("content-type", ""), SECRET_HEADER: link.secret}
        end = monotonic() + (_HEARTBEAT_SECONDS if path == _HEARTBEAT else _HOLD_SECONDS)
        while True:
            try:
                if self._upstream is None:
                    self._upstream = HTTPSConnection(
                        "127.0.0.1", link.port, timeout=_SUPERLINK_SECONDS, context=self._context
                    )
                self._upstream.request("POST", path, body, sent)
                response = self._upstream.getresponse()
                status = response.status if response.status < 500 else 503
                return Answer(status, response.headers.get("content-type", ""), response.read())
            except (OSError, HTTPException) as error:
                self.close()
                if isinstance(error, TimeoutError):
                    return Answer(504)
                if monotonic() > end or self._is_gone():
                    return Answer(503)
                sleep(_AGAIN_SECONDS)


def _deactivation(node: int) -> bytes:
    """Flower's request that ends a node's connection."""
    from flwr.proto.fleet_pb2 import DeactivateNodeRequest

    return bytes(DeactivateNodeRequest(node_id=node).SerializeToString())
