"""Time as the records write it: UTC, whole seconds, `2026-11-22T00:50:37Z`. Functions take a `Clock`, never call
one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

__all__ = ["INSTANT", "Clock", "now", "parse", "spell"]

Clock = Callable[[], datetime]
INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}Z")


def now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


def spell(instant: datetime) -> str:
    """An instant as the records write it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(text: str) -> datetime:
    """The instant of a text that `spell` wrote; ValueError for any other spelling."""
    if not INSTANT.fullmatch(text):
        raise ValueError(f"expected an instant such as 2026-11-22T00:50:37Z, got {text!r}")
    return datetime.fromisoformat(text)
