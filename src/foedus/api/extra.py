"""What an installation cannot do is refused with the command that adds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from foedus.core.errors import CallerError

__all__ = ["needs"]


@contextmanager
def needs(what: str, *, extra: str = "train") -> Iterator[None]:
    """A package that is absent in here is CallerError `api.extra-missing`; `what` needs it, the extra brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "foedus").partition(".")[0] == "foedus":
            raise
        raise CallerError("api.extra-missing", what=what, module=error.name, extra=extra) from error
