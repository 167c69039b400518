"""What the base installation cannot do is refused with the command that adds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from foedus.core.errors import CallerError

__all__ = ["needs_training"]


@contextmanager
def needs_training(what: str) -> Iterator[None]:
    """A package that is absent in here is CallerError `api.extra-missing`; `what` needs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "foedus").partition(".")[0] == "foedus":
            raise
        raise CallerError("api.extra-missing", what=what, module=error.name) from error
