"""A state is a dictionary of named tensors. Functions here give new states and leave their arguments as they were.

Everything is element by element or in one fixed order, so that equal inputs give equal bits on every processor.
"""

from __future__ import annotations

import hashlib
import math
from typing import Protocol

import torch

from foedus.core import canonical
from foedus.core.errors import CallerError

__all__ = [
    "DTYPES",
    "State",
    "add",
    "check_alike",
    "check_finite",
    "digest",
    "dot",
    "hash_tensor",
    "norm",
    "raw",
    "scale",
    "subtract",
    "zeros_like",
]

State = dict[str, torch.Tensor]

DTYPES: dict[str, torch.dtype] = {
    "BF16": torch.bfloat16,
    "BOOL": torch.bool,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I32": torch.int32,
    "I64": torch.int64,
    "U8": torch.uint8,
}
"""The tensor types that a state may hold, under the names that safetensors gives them."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Hasher(Protocol):
    """What `hashlib` gives."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in more bytes."""


def dtype_name(name: str, dtype: torch.dtype) -> str:
    """A dtype's safetensors name; CallerError `state.bad-dtype` for one that a state may not hold."""
    if dtype not in _NAMES:
        raise CallerError("state.bad-dtype", name=name, got=str(dtype), known=", ".join(DTYPES))
    return _NAMES[dtype]


def raw(tensor: torch.Tensor) -> memoryview:
    """A tensor's bytes in row order: a view where it is contiguous, else a copy. Little-endian machines only."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def hash_tensor(hasher: Hasher, name: str, tensor: torch.Tensor) -> None:
    """Feed one tensor to a hash: canonical JSON `[name, dtype, [shape…]]`, a line feed, the bytes."""
    hasher.update(canonical.encode([name, dtype_name(name, tensor.dtype), list(tensor.shape)]) + b"\n")
    hasher.update(raw(tensor))


def digest(state: State) -> str:
    """The SHA-256 over name, dtype, shape and bytes of each tensor, sorted by name; no file layout enters it."""
    hasher = hashlib.sha256()
    for name in sorted(state):
        hash_tensor(hasher, name, state[name])
    return "sha256:" + hasher.hexdigest()


def check_alike(expected: State, got: State, *, dtypes: bool = True) -> None:
    """See that two states have the same names, shapes and, unless told otherwise, dtypes.

    Raises:
        CallerError: `state.names-differ`, `state.shape-differs` or `state.dtype-differs`.
    """
    if expected.keys() != got.keys():
        missing, extra = sorted(expected.keys() - got.keys()), sorted(got.keys() - expected.keys())
        raise CallerError("state.names-differ", missing=_some(missing), extra=_some(extra))
    for name in sorted(expected):
        if expected[name].shape != got[name].shape:
            raise CallerError(
                "state.shape-differs", name=name, expected=list(expected[name].shape), got=list(got[name].shape)
            )
        if dtypes and expected[name].dtype != got[name].dtype:
            raise CallerError("state.dtype-differs", name=name, expected=expected[name].dtype, got=got[name].dtype)


def check_finite(state: State) -> None:
    """See that no value is NaN or infinite; CallerError `state.not-finite` names the first tensor that holds one."""
    for name in sorted(state):
        tensor = state[name]
        if tensor.is_floating_point() and tensor.numel():
            # The extremes are NaN if any value is; finding them reads the tensor once and allocates nothing.
            low, high = torch.aminmax(tensor)
            if not (math.isfinite(low) and math.isfinite(high)):
                raise CallerError("state.not-finite", name=name)


def zeros_like(state: State, *, dtype: torch.dtype | None = None) -> State:
    """Zeros of the same names and shapes, in `dtype` or each tensor's own."""
    return {name: torch.zeros_like(tensor, dtype=dtype) for name, tensor in state.items()}


def add(a: State, b: State) -> State:
    """The sum a + b, name by name; the errors of `check_alike`."""
    check_alike(a, b)
    return {name: a[name] + b[name] for name in a}


def subtract(a: State, b: State) -> State:
    """The difference a - b, name by name; the errors of `check_alike`."""
    check_alike(a, b)
    return {name: a[name] - b[name] for name in a}


def scale(state: State, factor: float) -> State:
    """The state times a factor, computed in float64 and rounded once to each tensor's dtype."""
    return {name: (tensor.to(torch.float64) * factor).to(tensor.dtype) for name, tensor in state.items()}


def dot(a: State, b: State) -> float:
    """The inner product of two states with equal names and shapes (dtypes may differ): float64, in a fixed order."""
    check_alike(a, b, dtypes=False)
    return math.fsum(_total(a[name].to(torch.float64) * b[name].to(torch.float64)) for name in sorted(a))


def norm(state: State) -> float:
    """The Euclidean norm over all tensors, in float64."""
    return math.sqrt(dot(state, state))


def _total(values: torch.Tensor) -> float:
    """The sum of all elements, halves added onto each other: a library's own reduction differs between processors."""
    values = values.reshape(-1)
    while len(values) > 1:
        half = (len(values) + 1) // 2
        folded = values[:half].clone()
        folded[: len(values) - half] += values[half:]
        values = folded
    return float(values[0]) if len(values) else 0.0


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f", … ({len(names)})" if len(names) > 3 else "") if names else "–"
