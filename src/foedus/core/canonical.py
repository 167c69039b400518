"""Canonical JSON (RFC 8785) without floats: one value, one byte string.

Decoding is as strict as encoding: whatever does not re-encode to the very same bytes is refused, so duplicate keys,
other spellings of a number or string, and white space cannot hide in a signed document.

Where every key is ASCII, the standard library's encoder writes the same bytes as RFC 8785 (keys sort alike, strings are
escaped alike, and there are no floats) and does so several times faster; any other value goes through `rfc8785`.
`tests/core/test_canonical.py` holds the two against each other.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import rfc8785

from foedus.core.errors import CallerError

__all__ = ["decode", "encode"]

_LARGEST = 2**53 - 1


def encode(value: Any) -> bytes:
    """The canonical bytes of a JSON value.

    Raises:
        CallerError: `canonical.not-json` for floats, integers beyond 2**53 - 1, or anything that JSON lacks.
    """
    try:
        if _has_ascii_keys(value):
            return _ENCODER.encode(value).encode()
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise CallerError("canonical.not-json", got=str(error)[:200]) from error


def decode(data: bytes) -> Any:
    """The JSON value of canonical bytes.

    Raises:
        CallerError: `canonical.not-json` when it is no JSON, `canonical.not-canonical` when the bytes are not the
            canonical ones of what they say.
    """
    try:
        value = _DECODER.decode(data.decode())
        # ASCII bytes that come back unchanged had ASCII keys only: no need to look at each of them.
        again = _ENCODER.encode(value).encode() if data.isascii() else encode(value)
    except (ValueError, RecursionError) as error:
        raise CallerError("canonical.not-json", got=str(error)[:200]) from error
    if again != data:
        raise CallerError("canonical.not-canonical", size_bytes=len(data))
    return value


def _has_ascii_keys(value: Any) -> bool:
    """Whether all keys are ASCII; CallerError for what canonical JSON without floats cannot say."""
    if value is None or isinstance(value, str | bool):
        return True
    if isinstance(value, int):
        if abs(value) > _LARGEST:
            raise CallerError("canonical.not-json", got=f"the integer {value}"[:200])
        return True
    if isinstance(value, dict):
        plain = True
        for key, item in value.items():
            if not isinstance(key, str):
                raise CallerError("canonical.not-json", got=f"the key {key!r}"[:200])
            plain = _has_ascii_keys(item) and plain and key.isascii()
        return plain
    if isinstance(value, list | tuple):
        plain = True
        for item in value:
            plain = _has_ascii_keys(item) and plain
        return plain
    kind = "the float" if isinstance(value, float) else type(value).__name__
    raise CallerError("canonical.not-json", got=f"{kind} {value!r}"[:200])


def _integer(text: str) -> int:
    value = int(text)
    if abs(value) > _LARGEST:
        raise ValueError(f"{text} is beyond 2**53 - 1")
    return value


def _no_float(text: str) -> NoReturn:
    raise ValueError(f"{text} is not an integer")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_no_float, parse_constant=_no_float)
