"""Loading large packages without looking for garbage in them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["uncollected"]


@contextmanager
def uncollected() -> Iterator[None]:
    """What is made in here stays for the life of the process: the cyclic garbage collector passes it by, now and later.

    Loading transformers makes millions of objects, and the collector would go over them again and again: a tenth of
    the time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
