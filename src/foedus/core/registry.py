"""What the accord can name is declared in `records/terms.py`; rooms implement a declaration.

    @implements(Mean)
    def mean(settings: Mean, …): …

Rooms are imported where they are used, so that naming a thing never loads the machine that does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Implementations"]

F = TypeVar("F", bound=Callable[..., Any])


class Implementations(Generic[F]):
    """The functions of one room, by the type of the declaration that each implements."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._by_type: dict[type, F] = {}

    def __call__(self, declaration: type) -> Callable[[F], F]:
        """Register a function for a declaration; a second one for the same declaration is a bug."""

        def register(function: F) -> F:
            if declaration in self._by_type:
                raise ValueError(f"{self.what} {declaration.__name__} is implemented twice")
            self._by_type[declaration] = function
            return function

        return register

    def of(self, settings: object) -> F:
        """The function that implements the declaration of these settings."""
        try:
            return self._by_type[type(settings)]
        except KeyError:
            known = ", ".join(sorted(kind.__name__ for kind in self._by_type))
            raise LookupError(f"no {self.what} implements {type(settings).__name__}; known: {known}") from None

    def declared(self) -> frozenset[type]:
        """The declarations that have an implementation."""
        return frozenset(self._by_type)
