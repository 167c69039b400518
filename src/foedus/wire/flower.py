"""The engine that carries asks over Flower: letters to nodes, answers back, each within its step's deadline.

`carry` never waits beyond the deadline, and one member's trouble stays that member's: a node that is not connected,
dies, is silent or late ends as a code for that member in that step. What comes after the deadline is kept for `late`.
When the SuperLink or its ServerApp dies, `carry` starts it again, with a new Flower run (Flower does not resume one),
and sends again what is open; so it does with a message that a node lost on the way. That is safe because a node answers
the same ask with the same bytes.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Self

from foedus.core.errors import FoedusError, RunError
from foedus.wire import pipe
from foedus.wire.frame import pack, unpack
from foedus.wire.gateway import Gateway
from foedus.wire.process import Child
from foedus.wire.superlink import SuperLink

__all__ = ["Flower"]

_LATE, _UNREACHABLE, _GONE = "engine.late", "engine.unreachable", "engine.member-gone"
_HOLD_SECONDS = 2.0  # how long the ServerApp's question for work is held where there is none
_REVIVAL_SECONDS = 60.0  # the longest pause between two tries to start again what died
_LOST_TIMES = 3  # how often a message is sent again to a node that keeps losing it
_CHECK_SECONDS = 1.0
_LATE_FACTOR, _LATE_SECONDS = 3.0, 600.0  # an answer is taken until so long after its deadline


@dataclass(slots=True)
class _Letter:
    """A message on its way, its step and what has become of it."""

    number: str
    member: str
    body: Callable[[], bytes] | None
    deadline: float
    lasts: float
    ends: float
    answers: SimpleQueue[tuple[str, bytes | str]]
    sent: bool = False
    step_over: bool = False
    lost: int = 0


@dataclass(slots=True)
class Flower:
    """The engine. `folder` holds its socket and log."""

    folder: Path
    superlink: SuperLink
    gateway: Gateway
    patience_seconds: float
    _served: pipe.Served | None = None
    _child: Child | None = None
    _starts: int = 0
    _letters: dict[str, _Letter] = field(default_factory=dict)
    _late: list[tuple[str, bytes]] = field(default_factory=list)
    _online: frozenset[int] = frozenset()
    _known_at: float | None = None  # since when `_online` is known
    _left_at: dict[int, float] = field(default_factory=dict)  # when nodes left that were online since then
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _arrived_numbers: set[str] = field(default_factory=set)
    _news: threading.Event = field(default_factory=threading.Event)
    _restarting: threading.Lock = field(default_factory=threading.Lock)
    _revival: threading.Thread | None = None
    _stopping: bool = False

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        superlink: SuperLink,
        gateway: Gateway,
        patience_seconds: float = 60.0,
        start_seconds: float = 60.0,
    ) -> Self:
        """Submit the wire's own Flower run and start its ServerApp.

        Args:
            folder: for the socket between this process and the ServerApp; made, and closed to others. A short path.
            superlink: the running SuperLink.
            gateway: the running gateway, which is told when there are messages and tells when there are answers.
            patience_seconds: how long a node may have been away before a step ends without it. A step waits for it
                anyway while it waits for others.
            start_seconds: how long the start may take.

        Raises:
            CallerError: `wire.path-too-long`.
            RunError: `wire.run-refused`, `wire.superlink-died`, `wire.superlink-late`.
        """
        engine = cls(folder, superlink, gateway, patience_seconds)
        engine._served = pipe.serve(folder / "hub.sock", engine._handle)
        fleet = gateway.fleet
        fleet.arrived, fleet.returned, fleet.lost = engine._arrived, engine._returned, engine._lost
        try:
            engine.restart(start_seconds=start_seconds)
        except BaseException:
            engine.close()
            raise
        return engine

    def carry(self, messages: Mapping[str, bytes], *, deadline_seconds: float) -> Iterator[tuple[str, bytes | str]]:
        """Each member with its answer as it arrives, or with the code of why there is none.

        `engine.late` (no answer in time), `engine.unreachable` (its node is not connected), `engine.member-gone` (its
        node died in this step), or the code of the node's own error. A message is read from `messages` when its node is
        ready for it.
        """
        begun, answers = time.monotonic(), SimpleQueue[tuple[str, bytes | str]]()
        letters = {}
        for member in sorted(messages):
            letter = self._letter(member, messages, deadline_seconds, answers)
            letters[member] = letter
        with self._lock:
            self._letters |= {letter.number: letter for letter in letters.values()}
        self._news.set()
        end, revive_at, pause = begun + deadline_seconds, begun, 1.0
        try:
            while letters and (now := time.monotonic()) < end:
                try:
                    member, answer = answers.get(timeout=min(_CHECK_SECONDS, end - now))
                except Empty:
                    if now >= revive_at and not self.alive():
                        self._revive()
                        revive_at, pause = now + pause, min(2 * pause, _REVIVAL_SECONDS)
                    for member in self._absent(letters):
                        self._forget(letters.pop(member))
                        yield member, _UNREACHABLE
                    continue
                del letters[member]
                yield member, answer
            for member, letter in letters.items():
                yield member, _LATE if letter.sent else _UNREACHABLE
        finally:
            self._end_step(letters.values(), answers)

    def late(self) -> list[tuple[str, bytes]]:
        """Answers that came after their step's deadline, each once. Does not wait."""
        with self._lock:
            taken, self._late = self._late, []
        return taken

    def online(self) -> frozenset[str]:
        """The members whose nodes are connected."""
        return frozenset(member for member, node in self.superlink.members.items() if node in self._online)

    def alive(self) -> bool:
        """Whether SuperLink and ServerApp run."""
        return self.superlink.alive() and self._child is not None and self._child.alive()

    def restart(self, *, start_seconds: float = 60.0) -> None:
        """End the ServerApp and its Flower run, and begin anew; what is open in a step is sent again."""
        with self._restarting:
            if self._stopping:
                return
            if self._child:
                self._child.close()
            with self._lock:
                self._send_again(self._letters.values())
                self._online, self._known_at, self._starts = frozenset(), None, self._starts + 1
                self._left_at.clear()
            link = self.superlink
            settings = {"address": link.address, "ca": link.tls.ca, "secret_file": link.secret_file}
            self._child = Child("serverapp", self.folder, {**settings, "socket": self.folder / "hub.sock"})
            try:
                link.revive(start_seconds=start_seconds)  # both start at the same time; the app waits for its run
                link.submit()
            except BaseException:
                self._child.close()
                raise

    def close(self) -> None:
        """End the ServerApp and its run; SuperLink and gateway stay."""
        self._stopping = True
        self._news.set()
        with self._restarting:
            if self.superlink.alive():
                self.superlink.stop()
            if self._child:
                self._child.close()
        if self._served:
            self._served.close()

    def _letter(
        self,
        member: str,
        messages: Mapping[str, bytes],
        deadline_seconds: float,
        answers: SimpleQueue[tuple[str, bytes | str]],
    ) -> _Letter:
        lasts = deadline_seconds + max(_LATE_FACTOR * deadline_seconds, _LATE_SECONDS)
        now = time.time()
        deadline, ends = now + deadline_seconds, now + lasts
        return _Letter(secrets.token_hex(16), member, lambda: messages[member], deadline, lasts, ends, answers)

    def _end_step(self, letters: Iterable[_Letter], answers: SimpleQueue[tuple[str, bytes | str]]) -> None:
        """From here on, answers are late ones; those that nobody took are the first of them."""
        with self._lock:
            for letter in letters:
                letter.step_over, letter.body = True, None
                if not letter.sent:
                    self._forget(letter)
            while not answers.empty():
                member, answer = answers.get()
                if isinstance(answer, bytes):
                    self._late.append((member, answer))

    def _revive(self) -> None:
        """Begin to start again what died, unless that is being done; the step goes on meanwhile."""

        def revive() -> None:
            with contextlib.suppress(FoedusError):  # tried again after a pause
                self.restart()

        if self._revival is None or not self._revival.is_alive():
            self._revival = threading.Thread(target=revive, daemon=True)
            self._revival.start()

    def _absent(self, letters: Mapping[str, _Letter]) -> Iterable[str]:
        """These members, where all are away, each for long enough; a step that waits for others loses nothing by
        waiting for them too.
        """
        with self._lock:
            if self._known_at is None:
                return ()
            now, online = time.monotonic(), self.online()
            for member, letter in letters.items():
                since = self._left_at.get(self.superlink.members.get(member, 0), self._known_at)
                if letter.sent or member in online or now - since < self.patience_seconds:
                    return ()
            return tuple(letters)

    def _arrived(self, member: str) -> None:
        """A member's answer lies at the SuperLink, whole."""
        with self._lock:
            self._arrived_numbers |= {one.number for one in self._letters.values() if one.member == member and one.sent}
        self._news.set()

    def _returned(self, member: str) -> None:
        """A node that starts knows nothing of what it was sent before: what is open is sent again."""
        with self._lock:
            self._send_again(letter for letter in self._letters.values() if letter.member == member)
        self._news.set()

    def _lost(self, member: str) -> None:
        """A node asks for a message before it has answered the one it was given: what is open is sent again."""
        with self._lock:
            lost = [letter for letter in self._letters.values() if letter.member == member and letter.sent]
            for letter in lost:
                letter.lost += 1
            self._send_again(letter for letter in lost if letter.lost <= _LOST_TIMES)
        self._news.set()

    def _send_again(self, letters: Iterable[_Letter]) -> None:
        """Send these anew, under a new number: what still comes of the old one is not taken for an answer."""
        for letter in [letter for letter in letters if letter.sent]:
            self._forget(letter)
            if not letter.step_over:
                letter.number, letter.sent = secrets.token_hex(16), False
                self._letters[letter.number] = letter

    def _forget(self, letter: _Letter) -> None:
        with self._lock:
            self._letters.pop(letter.number, None)

    def _handle(self, data: bytes) -> bytes:
        """The ServerApp's side of the socket."""
        head, body = unpack(data)
        match head["kind"]:
            case "next":
                return pack(self._next(head))
            case "body":
                letter = self._letters.get(head["number"])
                read = letter.body if letter else None
                return pack({"gone": read is None}, read() if read else b"")
            case "sent":
                if letter := self._letters.get(head["number"]):
                    self.gateway.fleet.wake(letter.member)
                return pack({})
            case "answer":
                self._answered(str(head["number"]), str(head["code"]) or body)
                return pack({})
            case kind:
                raise RunError("wire.fault", got=str(kind))

    def _next(self, head: Mapping[str, Any]) -> dict[str, Any]:
        """What to send, and whose answers have come; held until there is something."""
        with self._lock:
            starts, now = self._starts, time.monotonic()
            online = frozenset(int(node) for node in head["online"])
            self._left_at = {n: at for n, at in self._left_at.items() if n not in online} | dict.fromkeys(
                self._online - online, now
            )
            self._online, self._known_at = online, self._known_at or now
            for letter in [letter for letter in self._letters.values() if letter.ends < time.time()]:
                self._forget(letter)
        self._news.wait(_HOLD_SECONDS)
        self._news.clear()  # before looking: what comes while looking is seen the next time
        with self._lock:
            if starts != self._starts:  # who asked is dead by now, and what it were told would be lost
                return {"stop": True, "take": [], "send": []}
            arrived, self._arrived_numbers = self._arrived_numbers, set()
            return {"stop": self._stopping, "take": sorted(arrived), "send": self._orders()}

    def _orders(self) -> list[dict[str, Any]]:
        nodes = self.superlink.members
        orders = []
        for letter in self._letters.values():
            node = nodes.get(letter.member, 0)
            if not letter.sent and not letter.step_over and node in self._online:
                letter.sent = True
                orders.append(
                    {"number": letter.number, "node": str(node), "deadline": letter.deadline, "lasts": letter.lasts}
                )
        return orders

    def _answered(self, number: str, answer: bytes | str) -> None:
        """An answer goes to its step, or to `late` where the step is over; an unknown one to nobody."""
        with self._lock:
            letter = self._letters.pop(number, None)
            if letter is None:
                return
            if not letter.step_over:
                letter.answers.put((letter.member, answer))
            elif isinstance(answer, bytes):
                self._late.append((letter.member, answer))
