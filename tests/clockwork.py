"""An event loop whose time is counted, not waited for: a sleep of an hour takes no time, and tests see the order."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _Selector(selectors.DefaultSelector):
    """Looks for what is ready, and instead of waiting lets the loop's time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits for something that will never come")
        if not ready and timeout:
            self.passed += timeout
        return ready


class Loop(asyncio.SelectorEventLoop):
    """Starts at time 0."""

    def __init__(self) -> None:
        self._counted = _Selector()
        super().__init__(self._counted)

    def time(self) -> float:
        return self._counted.passed


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """What the work gives, in counted time."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(work)
