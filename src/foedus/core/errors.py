"""One tree of errors, two families: the caller's mistake, and what the world or a peer did.

    FoedusError
    ├── CallerError      wrong use: a bad argument, file or accord          exit 2
    └── WorldError
        ├── RunError       it ran and failed: disk full, too few members     exit 1
        ├── IdentityError  connection or identity: wrong key or passphrase   exit 3
        ├── LateError      a deadline passed                                 exit 4
        └── VerifyError    verification or a gate refused                    exit 6

Any other exception is a bug in Foedus and ends with exit 5.

An error is a code and typed fields. What a person reads (expected, got, what to do) stands in the catalogue of
messages under that code, in each language; so an error can travel as data and be read in another language.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = ["CallerError", "FoedusError", "IdentityError", "LateError", "RunError", "VerifyError", "WorldError"]


class FoedusError(Exception):
    """An error with a stable code (`room.what-happened`) and the fields that its message needs."""

    exit_code: ClassVar[int] = 5

    def __init__(self, code: str, /, **fields: object) -> None:
        super().__init__(code, fields)
        self.code = code
        self.fields = fields

    def __str__(self) -> str:
        from foedus.core.messages import error_text

        return str(error_text(self))

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.code, self.fields))


def _rebuild(kind: type[FoedusError], code: str, fields: dict[str, object]) -> FoedusError:
    return kind(code, **fields)


class CallerError(FoedusError):
    """The caller's mistake: a wrong argument, file or accord."""

    exit_code = 2


class WorldError(FoedusError):
    """What the world or a peer did."""

    exit_code = 1


class RunError(WorldError):
    """It ran and failed."""

    exit_code = 1


class IdentityError(WorldError):
    """No connection, or not who it should be."""

    exit_code = 3


class LateError(WorldError):
    """A deadline passed."""

    exit_code = 4


class VerifyError(WorldError):
    """Verification or a gate refused."""

    exit_code = 6
