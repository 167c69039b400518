"""ADWIN: a window over a stream that keeps as many of the latest values as have one mean.

A. Bifet and R. Gavaldà, Learning from Time-Changing Data with Adaptive Windowing, SDM 2007: ADWIN2, with the window in
an exponential histogram of at most `per_row` buckets of each size (§4). Whenever two parts of the window differ in mean
by more than the bound of §3.3 for confidence `delta`, the older part is dropped, and that is a change.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Adwin", "Change"]


class Change(NamedTuple):
    """The means of the part that was dropped and of the part that was kept."""

    before: float
    after: float


class _Bucket(NamedTuple):
    total: float
    squares: float
    """The sum of squared distances from the bucket's own mean."""


@dataclass(slots=True)
class Adwin:
    """The detector, for values from 0 to 1. `delta`: how probable a false alarm may be at one value.

    It looks for a change at every `clock`-th value, once it holds `least` and each part at least `part`.
    """

    delta: float = 0.002
    clock: int = 32
    per_row: int = 5
    least: int = 10
    part: int = 5
    count: int = 0
    _seen: int = 0
    _rows: list[deque[_Bucket]] = field(default_factory=lambda: [deque()])
    """Row i holds buckets of 2**i values, the oldest first."""
    _total: float = 0.0
    _squares: float = 0.0

    @property
    def mean(self) -> float:
        """The mean of the values in the window."""
        return self._total / self.count if self.count else 0.0

    def update(self, value: float) -> Change | None:
        """Take the next value; the change that it shows, if it shows one."""
        self._insert(value)
        self._seen += 1
        if self._seen % self.clock or self.count <= self.least:
            return None
        before, dropped, size = self.mean, 0.0, 0
        whole, total = self.count, self._total
        while self._cut():
            bucket, held = self._drop()
            dropped, size = dropped + bucket.total, size + held
        if not size:
            return None
        return Change(dropped / size, (total - dropped) / (whole - size)) if whole > size else Change(before, 0.0)

    def _insert(self, value: float) -> None:
        self._rows[0].append(_Bucket(value, 0.0))
        if self.count:
            self._squares += self.count * (value - self.mean) ** 2 / (self.count + 1)
        self._total += value
        self.count += 1
        for i, row in enumerate(self._rows):
            if len(row) <= self.per_row:
                break
            first, second, held = row.popleft(), row.popleft(), 2**i
            apart = (first.total - second.total) / held
            merged = _Bucket(first.total + second.total, first.squares + second.squares + held * apart**2 / 2)
            if i + 1 == len(self._rows):
                self._rows.append(deque())
            self._rows[i + 1].append(merged)

    def _drop(self) -> tuple[_Bucket, int]:
        """Take the oldest bucket out of the window."""
        row, held = self._rows[-1], 2 ** (len(self._rows) - 1)
        bucket = row.popleft()
        self.count -= held
        self._total -= bucket.total
        apart = bucket.total / held - self.mean
        self._squares -= bucket.squares + held * self.count * apart**2 / (held + self.count)
        while len(self._rows) > 1 and not self._rows[-1]:
            self._rows.pop()
        return bucket, held

    def _cut(self) -> bool:
        """Whether some division of the window into older and newer buckets shows a change."""
        if self.count <= self.least:
            return False
        older, old_total = 0, 0.0
        for i in reversed(range(len(self._rows))):
            for bucket in self._rows[i]:
                older, old_total = older + 2**i, old_total + bucket.total
                newer = self.count - older
                if newer < self.part:
                    return False
                if older >= self.part and abs(old_total / older - (self._total - old_total) / newer) > self._bound(
                    older, newer
                ):
                    return True
        return False

    def _bound(self, older: int, newer: int) -> float:
        """How far the means of two parts of these sizes may lie apart by chance."""
        shares = 1 / (older - self.part + 1) + 1 / (newer - self.part + 1)
        spread = self._squares / self.count
        confidence = math.log(2 * math.log(self.count) / self.delta)
        return math.sqrt(2 * shares * spread * confidence) + 2 / 3 * confidence * shares
