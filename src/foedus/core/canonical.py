"""Canonical JSON (RFC 8785) without floats: one value, one byte string.

Decoding is as strict as encoding: whatever does not re-encode to the very same bytes is refused, so duplicate keys,
other spellings of a number or string, and white space cannot hide in a signed document.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import rfc8785

from foedus.core.errors import CallerError

__all__ = ["decode", "encode"]


def encode(value: Any) -> bytes:
    """The canonical bytes of a JSON value.

    Raises:
        CallerError: `canonical.not-json` for floats, integers beyond 2**53 - 1, or anything that JSON lacks.
    """
    _refuse_floats(value)
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise CallerError("canonical.not-json", got=str(error)) from error


def decode(data: bytes) -> Any:
    """The JSON value of canonical bytes.

    Raises:
        CallerError: `canonical.not-json` when it is no JSON, `canonical.not-canonical` when the bytes are not the
            canonical ones of what they say.
    """
    try:
        value = json.loads(data, parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as error:
        raise CallerError("canonical.not-json", got=str(error)[:200]) from error
    if encode(value) != data:
        raise CallerError("canonical.not-canonical", size_bytes=len(data))
    return value


def _no_float(text: str) -> NoReturn:
    raise ValueError(f"{text} is not an integer")


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise CallerError("canonical.not-json", got=f"the float {value!r}")
    if isinstance(value, dict):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
