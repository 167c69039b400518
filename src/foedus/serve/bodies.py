"""What a body may hold, seen before it is read as JSON: few bytes can spell millions of values, and reading those would
keep everybody else waiting.
"""

from __future__ import annotations

from foedus.core.errors import CallerError

__all__ = ["MOST_VALUES", "require_modest"]

MOST_VALUES = 100_000
"""As many values a body may hold, lists and objects among them: 1,024 rows of 90 cells are fewer."""


def require_modest(body: bytes) -> None:
    """CallerError `serve.too-many-values` for a body of more values; `serve.not-json` for one that is not UTF-8."""
    if b"\0" in body:  # UTF-16 and UTF-32 hold it, and JSON in UTF-8 never does
        raise CallerError("serve.not-json", got="NUL")
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    found = unescaped.count(b'"') // 4  # a value is one text, or two where it has a name: no fewer values than this
    if found <= MOST_VALUES:
        spelt = b"".join(unescaped.split(b'"')[::2])  # what stands outside of texts
        found = sum(spelt.count(mark) for mark in (b",", b"[", b"{"))
    if found > MOST_VALUES:
        raise CallerError("serve.too-many-values", got=found, limit=MOST_VALUES)
