"""The sum's inner loop as machine code, by numba: optional (extra `fast`), equal to the bit, for large sums.

Compiling takes about a second of processor time in each process. After that a value costs a third of what it costs
torch, which widens, multiplies and adds in three passes through a cache. Multiply and add stay two instructions: LLVM
fuses them, or adds in another order, only where it is told that it may (`fastmath`), and it is not told here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch

__all__ = ["PAYS_FROM", "AddSpan", "compiled"]

Values = Sequence[tuple[float, torch.Tensor]]
AddSpan = Callable[[torch.Tensor, Values, int, int], None]
"""The step total[first:end] += Σ weight · delta[first:end], in the order given; `total` is float64, all are flat."""

PAYS_FROM = 1 << 29
"""Values, of all updates together, from which a sum is worth compiling for: by the third round at the latest."""

_BLOCK = 1 << 12
"""Sums that stay in a core's nearest cache (32 kB) while every update's values pass: only speed depends on it."""

_SIGNATURE = "void(CPointer(float64), CPointer(CPointer(float32)), CPointer(float64), intp, intp, intp, intp)"


@cache
def compiled() -> AddSpan | None:
    """The compiled step for updates in float32, which any thread may take; None where numba is not installed.

    Equal to the bit to what torch gives, subnormal numbers and signed zeros included: both are IEEE 754 in float64.
    """
    try:
        from numba import cfunc
    except ImportError:
        return None
    translate: Callable[..., Any] = cfunc(_SIGNATURE)
    code = translate(_add)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, *[ctypes.c_ssize_t] * 4)  # lets other threads run meanwhile

    def add_span(total: torch.Tensor, values: Values, first: int, end: int) -> None:
        deltas = (ctypes.c_void_p * len(values))(*(delta.data_ptr() for _, delta in values))
        weights = (ctypes.c_double * len(values))(*(weight for weight, _ in values))
        call(code.address)(total.data_ptr(), deltas, weights, len(values), first, end, _BLOCK)

    return add_span


def _add(total: Any, deltas: Any, weights: Any, members: int, first: int, end: int, block: int) -> None:
    """What is compiled: `total` and `weights` point to float64, `deltas` to `members` pointers to float32."""
    for start in range(first, end, block):
        stop = min(start + block, end)
        fours = members - members % 4
        for m in range(0, fours, 4):  # four at a time: a sum is read and written once for them; added left to right
            a, b, c, d = deltas[m], deltas[m + 1], deltas[m + 2], deltas[m + 3]
            u, v, w, x = weights[m], weights[m + 1], weights[m + 2], weights[m + 3]
            for at in range(start, stop):
                total[at] = total[at] + a[at] * u + b[at] * v + c[at] * w + d[at] * x
        for m in range(fours, members):
            delta, weight = deltas[m], weights[m]
            for at in range(start, stop):
                total[at] += delta[at] * weight
