"""Texts of many requests put together for one model: a line that is kept by length, and one batch at a time.

- Nothing is waited for: while the model is idle the first text goes at once; a batch is whatever came meanwhile.
- The text that has waited longest is in the next batch, those of like length with it, as far as the limits on items
  and on tokens allow (a batch costs its longest text times its items, as if padded).
- The line is bounded: what does not fit is turned away with the seconds after which to come again. A request is
  taken whole or not at all.
- A text whose deadline passes leaves the line; its request is told so at that moment.
- When a batch fails, it is halved until the one that fails is alone: no text harms another.

Time is the event loop's, the model a function that is awaited: tests bring their own of both.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from foedus.core.errors import CallerError, LateError, RunError

__all__ = ["Batcher", "Done", "Limits", "Line", "Waiting"]

T = TypeVar("T")
R = TypeVar("R")

_FIRST_GUESS_SECONDS = 0.01
"""A text's share of a batch, before one was measured."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`items` and `tokens`: the largest batch; one longer text goes alone. `waiting`: the longest line, in texts."""

    items: int = 64
    tokens: int = 8192
    waiting: int = 1024


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """A result, or the error of this text alone; how long it stood in line, how long its batch took, how large it
    was.
    """

    result: R | Exception
    queue_seconds: float
    infer_seconds: float
    batch: int


@dataclass(eq=False, slots=True)
class Waiting(Generic[T, R]):
    """A text in line: at most `size` tokens long, there since `since`."""

    item: T
    size: int
    since: float
    done: asyncio.Future[Done[R]]
    number: int = -1


@dataclass(slots=True)
class Line(Generic[T, R]):
    """What waits, in the order in which it came, and by length: a bucket holds sizes up to twice the least."""

    limits: Limits
    _buckets: dict[int, dict[int, Waiting[T, R]]] = field(default_factory=dict)
    _count: int = 0
    _next: int = 0

    def __len__(self) -> int:
        return self._count

    def add(self, one: Waiting[T, R]) -> None:
        """Put a text at the end."""
        one.number, self._next = self._next, self._next + 1
        self._buckets.setdefault(one.size.bit_length(), {})[one.number] = one
        self._count += 1

    def remove(self, one: Waiting[T, R]) -> None:
        """Take a text out, wherever it stands; nothing where it is gone already."""
        key = one.size.bit_length()
        if self._buckets.get(key, {}).pop(one.number, None) is not None:
            self._count -= 1
            if not self._buckets[key]:
                del self._buckets[key]

    def take(self) -> list[Waiting[T, R]]:
        """Take the next batch out: the text that has waited longest, then its like. Empty only for an empty line."""
        batch: list[Waiting[T, R]] = []
        longest = 0
        for one in self._nearest():
            if batch and max(longest, one.size) * (len(batch) + 1) > self.limits.tokens:
                continue
            batch.append(one)
            longest = max(longest, one.size)
            if len(batch) == self.limits.items:
                break
        for one in batch:
            self.remove(one)
        return batch

    def _nearest(self) -> Iterator[Waiting[T, R]]:
        """The first in line, then all others by likeness of length, each length in order."""
        if not self._count:
            return
        first = min((next(iter(bucket.values())) for bucket in self._buckets.values()), key=lambda one: one.number)
        own = first.size.bit_length()
        yield first
        for key in sorted(self._buckets, key=lambda key: (abs(key - own), key)):
            for one in self._buckets[key].values():
                if one is not first:
                    yield one


class Batcher(Generic[T, R]):
    """A line before a model. `call`: items → a result or an exception each, in order; it is awaited, one at a time.

    `observe` hears of every batch: how many items, how long each stood in line, how long the model took.
    """

    def __init__(
        self,
        call: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        limits: Limits | None = None,
        *,
        observe: Callable[[Sequence[float], float], None] = lambda _waited, _took: None,
    ) -> None:
        self.limits = limits or Limits()
        self._call, self._observe = call, observe
        self._line: Line[T, R] = Line(self.limits)
        self._wake = asyncio.Event()
        self._closing = False
        self._worker: asyncio.Task[None] | None = None
        self._seconds_each = _FIRST_GUESS_SECONDS

    def __len__(self) -> int:
        """How many texts stand in line."""
        return len(self._line)

    async def ask(self, items: Sequence[T], sizes: Sequence[int], *, seconds: float) -> list[Done[R]]:
        """The results of these items, in their order. `sizes`: at most how many tokens each has.

        Raises:
            CallerError: `serve.too-many-texts` for more than the line can ever hold.
            LateError: `serve.too-late` after so many seconds.
            RunError: `serve.busy` with `retry_seconds` when the line is full; `serve.draining` once it is closed.
        """
        if len(items) > self.limits.waiting:
            raise CallerError("serve.too-many-texts", got=len(items), limit=self.limits.waiting)
        if self._closing:
            raise RunError("serve.draining")
        if len(self._line) + len(items) > self.limits.waiting:
            raise RunError("serve.busy", waiting=len(self._line), retry_seconds=self._retry_seconds())
        loop = asyncio.get_running_loop()
        now = loop.time()
        waiting = [
            Waiting[T, R](item, size, now, loop.create_future()) for item, size in zip(items, sizes, strict=True)
        ]
        for one in waiting:
            self._line.add(one)
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        self._wake.set()
        try:
            async with asyncio.timeout(seconds):
                return [await one.done for one in waiting]
        except TimeoutError as error:
            raise LateError("serve.too-late", seconds=f"{seconds:g}") from error
        finally:
            for one in waiting:  # of a request that ended early nothing is computed any more
                self._line.remove(one)
                one.done.cancel()

    async def drain(self) -> None:
        """Take nothing more, answer what stands in line, and end."""
        self._closing = True
        self._wake.set()
        if self._worker is not None:
            await self._worker

    def _retry_seconds(self) -> int:
        return max(1, math.ceil(len(self._line) * self._seconds_each))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = self._line.take()
            if not batch:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            began = loop.time()
            results = await self._results([one.item for one in batch])
            took = loop.time() - began
            self._seconds_each += 0.2 * (took / len(batch) - self._seconds_each)
            for one, result in zip(batch, results, strict=True):
                if not one.done.done():
                    one.done.set_result(Done(result, began - one.since, took, len(batch)))
            self._observe([began - one.since for one in batch], took)

    async def _results(self, items: Sequence[T]) -> list[R | Exception]:
        """A result or an error for each item, whatever the model does."""
        try:
            results = list(await self._call(items))
            if len(results) != len(items):
                raise RuntimeError(f"{len(results)} results for {len(items)} items")
        except Exception as error:  # noqa: BLE001 - one text's error must not be another's
            if len(items) == 1:
                return [error]
            half = len(items) // 2
            return [*await self._results(items[:half]), *await self._results(items[half:])]
        return results
