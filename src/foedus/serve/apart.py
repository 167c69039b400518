"""Loading a model where it leaves no threads behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["apart"]

T = TypeVar("T")


def apart(call: Callable[[], T]) -> T:
    """What a call gives or raises, made in a thread that ends with it.

    OpenMP keeps a team of threads for each thread that ever computed with torch, as long as that thread lives. Once
    there are more of them than processors, libgomp has them sleep at the end of each step instead of wait: a model's
    hundred small steps a text then take half as long again. So the model's own thread must be the only one that lives.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="loader") as thread:
        return thread.submit(call).result()
