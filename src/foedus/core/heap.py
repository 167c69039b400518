"""The heap of the C library, where that is glibc: what is free in it goes back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

__all__ = ["give_back"]


def give_back() -> bool:
    """Give the free pages of the heap to the system, wherever in the heap they lie; whether there were any.

    glibc itself gives back only what is free at the heap's end. Tensors of many sizes leave holes before it, and a
    process that goes on from one piece of work to another would hold the holes of all of them. False where the C
    library is another.
    """
    trim = _trim()
    return trim is not None and bool(trim(0))


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return found
