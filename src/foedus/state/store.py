"""A state's one byte form: a safetensors file that equal states write to equal bytes.

    8 bytes, header size, little-endian · canonical JSON header, padded with spaces to a multiple of 8 · tensors by name

The header's only metadata is `{"format": "pt"}`. Any safetensors library reads the file. Our own reader is stricter: it
takes only what the writer would have written, so two different files never hold one state.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import torch

from foedus.core import canonical
from foedus.core.errors import CallerError
from foedus.state.tensors import DTYPES, State, check_finite, dtype_name, raw

__all__ = ["HEADER_LIMIT", "from_bytes", "to_bytes"]

HEADER_LIMIT = 16 << 20
"""The largest header that is read, in bytes: some 100,000 tensors."""

_METADATA = {"format": "pt"}


def to_bytes(state: State) -> bytes:
    """The canonical safetensors bytes of a state.

    Raises:
        CallerError: `state.bad-dtype`, `state.bad-name`.
    """
    names = sorted(state)
    shapes = {name: (dtype_name(name, state[name].dtype), list(state[name].shape)) for name in names}
    header = _header(shapes)
    return b"".join([len(header).to_bytes(8, "little"), header, *(raw(state[name]) for name in names)])


def from_bytes(data: bytes | bytearray | memoryview, *, finite: bool = False) -> State:
    """The state in canonical safetensors bytes; `finite` also refuses NaN and infinities.

    Tensors are views of `data` where it is writable and they are aligned in it; else each is one copy.

    Raises:
        CallerError: `state.malformed` with the reason, `state.bad-dtype`, `state.bad-name`, `state.not-canonical`,
            `state.not-finite`.
    """
    view = memoryview(data).cast("B")
    shapes, start = _read_header(view)
    state = {}
    for name, (dtype, shape) in shapes.items():
        size = _size(dtype, shape)
        state[name] = _tensor(name, view[start : start + size], DTYPES[dtype], shape)
        start += size
    if finite:
        check_finite(state)
    return state


def _header(shapes: dict[str, tuple[str, list[int]]]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": _METADATA}
    start = 0
    for name, (dtype, shape) in shapes.items():
        if not name or name == "__metadata__":
            raise CallerError("state.bad-name", got=name)
        end = start + _size(dtype, shape)
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        start = end
    text = canonical.encode(entries)
    return text + b" " * (-len(text) % 8)


def _read_header(view: memoryview) -> tuple[dict[str, tuple[str, list[int]]], int]:
    """Dtype and shape by name, sorted, and where the tensors begin. Nothing is believed before it is checked."""
    # (1) The size of the header, before anything is read.
    size = int.from_bytes(view[:8], "little")
    if len(view) < 8 or size > HEADER_LIMIT or 8 + size > len(view):
        raise _malformed(f"a header of {size} bytes in {len(view)} bytes; at most {HEADER_LIMIT} are read")
    text = bytes(view[8 : 8 + size])
    try:
        header = json.loads(text, object_pairs_hook=_unique, parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"a header that is no JSON: {error!s:.100}") from error
    # (2) Every entry is well formed, and its size is that of its shape.
    if not isinstance(header, dict):
        raise _malformed("a header that is no JSON object")
    if header.pop("__metadata__", None) != _METADATA:
        raise _malformed("metadata other than {'format': 'pt'}")
    entries = sorted(_entry(name, value) for name, value in header.items())
    # (3) The tensors tile the rest: no gap, no overlap, nothing behind.
    reached = 0
    for begin, end, name in sorted((begin, end, name) for name, _, _, begin, end in entries):
        if begin != reached:
            raise _malformed(f"{name} at byte {begin} where {reached} is next: a gap or an overlap")
        reached = end
    if reached != len(view) - 8 - size:
        raise _malformed(f"{len(view) - 8 - size} bytes of tensors where {reached} are announced")
    # (4) These are the bytes that the writer gives: order, spelling and padding too.
    shapes = {name: (dtype, shape) for name, dtype, shape, _, _ in entries}
    if text != _header(shapes):
        raise CallerError("state.not-canonical", size_bytes=len(view))
    return shapes, 8 + size


def _entry(name: str, value: Any) -> tuple[str, str, list[int], int, int]:
    match value:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [begin, end]} if len(value) == 3:
            if dtype not in DTYPES:
                raise CallerError("state.bad-dtype", name=name, got=dtype, known=", ".join(DTYPES))
            if not all(type(number) is int and 0 <= number < 1 << 53 for number in (*shape, begin, end)):
                raise _malformed(f"{name} with a size or offset that is no count")
            if len(shape) > 16 or end - begin != _size(dtype, shape):
                raise _malformed(f"{name} with {end - begin} bytes for shape {str(shape)[:60]} of {dtype}")
            return name, dtype, shape, begin, end
    raise _malformed(f"the entry {name[:60]}: {str(value)[:60]}")


def _tensor(name: str, data: memoryview, dtype: torch.dtype, shape: list[int]) -> torch.Tensor:
    if not len(data):
        return torch.empty(shape, dtype=dtype)
    if dtype is torch.bool and not re.fullmatch(rb"[\x00\x01]*", data):
        raise _malformed(f"{name} with a truth value that is neither 0 nor 1")
    if not data.readonly:
        flat = torch.frombuffer(data, dtype=torch.uint8)
        if flat.data_ptr() % dtype.itemsize == 0:
            return flat.view(dtype).reshape(shape)
    # Python's bytes never change and tensors may, so what cannot be written to is copied once.
    tensor = torch.empty(shape, dtype=dtype)
    raw(tensor)[:] = data
    return tensor


def _size(dtype: str, shape: list[int]) -> int:
    return DTYPES[dtype].itemsize * math.prod(shape)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_float(text: str) -> None:
    raise ValueError(f"{text} is no integer")


def _malformed(got: str) -> CallerError:
    return CallerError("state.malformed", got=got)
