"""Engines carry bytes to members and bytes back. They see members' names, messages and a deadline, and nothing else.

`InProcess` calls one function for each member, on worker processes forked from this one, so that the base model is in
memory once and each worker is single-threaded. A member always goes to the same worker, which keeps what it prepared.
A worker that dies takes nothing with it: the member that it worked for is left out of the step, and a new worker takes
the next one. A message that a node refuses as a whole comes back as the code of its error.

Who is late at a deadline is ended with its worker; or, with `keep_late`, goes on working beside the others until its
reply is there, and is asked nothing in between.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Protocol

from foedus.core.errors import FoedusError
from foedus.core.heap import give_back

__all__ = ["Deliver", "Engine", "InProcess"]

Deliver = Callable[[str, bytes], bytes]
"""`deliver(member, message)` gives the member's reply: on one machine `node.handle`, elsewhere a wire."""


class Engine(Protocol):
    """Carries one step's messages."""

    def carry(self, messages: Mapping[str, bytes], *, deadline_seconds: float) -> Iterator[tuple[str, bytes | str]]:
        """Each member with its reply as it arrives, or with the code of why there is none.

        `messages[member]` may be built when it is read: an engine reads each once, when it sends it, and keeps no more
        of them than it is sending.
        """

    def late(self) -> list[tuple[str, bytes]]:
        """Replies that came after the deadline of their step, each once. Never waits for one."""

    def close(self) -> None:
        """Let go of processes and connections."""


_GIVES_WAY = 5
"""A worker computes for minutes: who waits for a page or an answer on the same machine goes first."""


@dataclass(slots=True)
class _Worker:
    process: ForkProcess
    pipe: Connection
    busy: str | None = None

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


@dataclass(slots=True)
class InProcess:
    """Members in this process (`workers=0`), or on forked workers that share this process's memory.

    In this process nobody is late but who was not reached: the one at work is waited for.
    """

    deliver: Deliver
    workers: int = 0
    keep_late: bool = False
    _pool: dict[int, _Worker] = field(default_factory=dict)
    _homes: dict[str, int] = field(default_factory=dict)
    _aside: list[_Worker] = field(default_factory=list)

    def carry(self, messages: Mapping[str, bytes], *, deadline_seconds: float) -> Iterator[tuple[str, bytes | str]]:
        """Each member with its reply, or `engine.late`, `engine.busy` while it still works on an earlier message,
        `engine.member-gone`, or the code of the node's error.
        """
        end = time.monotonic() + deadline_seconds
        if not self.workers:
            for member in sorted(messages):
                now = time.monotonic()
                yield member, _delivered(self.deliver, member, messages[member]) if now < end else "engine.late"
            return
        busy = {worker.busy for worker in self._aside}
        yield from ((member, "engine.busy") for member in sorted(messages) if member in busy)
        free = [member for member in sorted(messages) if member not in busy]
        yield from self._carry_on_workers(free, messages, end)

    def _carry_on_workers(
        self, members: Sequence[str], messages: Mapping[str, bytes], end: float
    ) -> Iterator[tuple[str, bytes | str]]:
        queues = self._queues(members)
        for slot in queues:
            self._send_next(slot, queues, messages)
        while any(worker.busy for worker in self._pool.values()):
            pipes = {worker.pipe: slot for slot, worker in self._pool.items() if worker.busy}
            ready = wait(list(pipes), timeout=max(0.0, end - time.monotonic()))
            if not ready:
                break
            for pipe in ready:
                slot = pipes[pipe]  # type: ignore[index]  # wait gives back the pipes it was given
                worker = self._pool[slot]
                member, worker.busy = worker.busy or "", None
                if (reply := _received(worker)) is None:
                    reply = "engine.member-gone"
                    self._pool.pop(slot).end()
                if time.monotonic() < end:
                    self._send_next(slot, queues, messages)
                yield member, reply
                del reply  # or it would lie beside the next one while that is received
        for slot, worker in list(self._pool.items()):
            if worker.busy:
                yield worker.busy, "engine.late"
                self._put_aside(slot)
        for queue in queues.values():
            for member in queue:
                yield member, "engine.late"

    def _queues(self, members: Sequence[str]) -> dict[int, list[str]]:
        queues: dict[int, list[str]] = {}
        for member in members:
            slot = self._homes.setdefault(member, len(self._homes) % self.workers)
            queues.setdefault(slot, []).append(member)
        return queues

    def _send_next(self, slot: int, queues: dict[int, list[str]], messages: Mapping[str, bytes]) -> None:
        if not queues.get(slot):
            return
        if slot in self._pool and not self._pool[slot].process.is_alive():
            self._pool.pop(slot).end()  # it died between two steps
        if slot not in self._pool:
            self._pool[slot] = self._start()
        member = queues[slot].pop(0)
        message = messages[member]
        worker = self._pool[slot]
        worker.busy = member
        with contextlib.suppress(OSError):  # it died just now: reading from its pipe will say so
            _send(worker.pipe, member, message)

    def _put_aside(self, slot: int) -> None:
        """A late worker makes room for a new one. As many are kept as there are slots: beyond, the oldest ends."""
        worker = self._pool.pop(slot)
        if not self.keep_late:
            worker.end()
            return
        self._aside.append(worker)
        if len(self._aside) > self.workers:
            self._aside.pop(0).end()

    def late(self) -> list[tuple[str, bytes]]:
        """Replies of members whose worker was kept at the deadline; a message that a node refused has none."""
        came = []
        for worker in list(self._aside):
            if worker.pipe.poll():
                if isinstance(reply := _received(worker), bytes):
                    came.append((worker.busy or "", reply))
                self._aside.remove(worker)
                worker.end()
        return sorted(came)

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, ours, self.deliver), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def close(self) -> None:
        """End the workers."""
        for worker in (*self._pool.values(), *self._aside):
            worker.end()
        self._pool.clear()
        self._aside.clear()


def _received(worker: _Worker) -> bytes | str | None:
    """A worker's answer: the reply's bytes or a code; None when the worker is gone."""
    try:
        code, reply = _receive(worker.pipe)
        return code or reply
    except (EOFError, OSError):
        return None


def _send(pipe: Connection, word: str, data: bytes = b"") -> None:
    pipe.send((word, len(data)))
    with open(pipe.fileno(), "wb", closefd=False) as stream:
        stream.write(data)


def _receive(pipe: Connection) -> tuple[str, bytes]:
    """A word and bytes, which are in memory once: `recv_bytes` gathers them in a buffer that grows, up to twice their
    size. Nothing else may be under way in the pipe, as the stream may read ahead: who asked waits for the answer.
    """
    word, size = pipe.recv()
    with open(pipe.fileno(), "rb", closefd=False) as stream:
        data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return word, data


def _serve(pipe: Connection, other: Connection, deliver: Deliver) -> None:
    """A worker: messages in, replies out, until the pipe closes."""
    other.close()
    gc.freeze()  # a collection here would write to every object's page, and each worker hold them all for itself
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the coordinator's to handle
    os.nice(_GIVES_WAY)
    while True:
        try:
            reply = _delivered(deliver, *_receive(pipe))
        except EOFError:
            return
        if isinstance(reply, str):
            _send(pipe, reply)
        else:
            _send(pipe, "", reply)
        del reply
        give_back()


def _delivered(deliver: Deliver, member: str, message: bytes) -> bytes | str:
    try:
        return deliver(member, message)
    except FoedusError as error:
        return error.code
