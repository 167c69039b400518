"""Loading large packages without looking for garbage in them, and without what they bring along for others."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

__all__ = ["put_off", "uncollected"]


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


@contextmanager
def put_off(name: str) -> Iterator[None]:
    """What imports functions of this module in here gets ones that load the module when they are called.

    For a module that a package asks for at its start and uses in a corner. Not for one whose classes or values are
    used: all that is imported of it is taken for a function. A module that is loaded already stays as it is.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = _Later(name)
    try:
        yield
    finally:
        del sys.modules[name]


class _Later(ModuleType):
    def __getattr__(self, function: str) -> Callable[..., Any]:
        if function.startswith("__"):
            raise AttributeError(function)

        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(importlib.import_module(self.__name__), function)(*args, **kwargs)

        return call
