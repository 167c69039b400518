"""How `foedus serve swap` and `foedus release rollback` speak with a running server: short requests over a Unix socket
that only the server's own user can open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from foedus.core import canonical
from foedus.core.errors import CallerError, FoedusError, IdentityError, LateError, RunError, VerifyError
from foedus.wire import pipe
from foedus.workspace import socket_folder

__all__ = ["Handle", "ask", "listen"]

_ANSWER_SECONDS = 600.0
"""Verifying and loading a large release takes its time."""
_LIMIT_BYTES = 1 << 16
_FAMILIES: dict[int, type[FoedusError]] = {1: RunError, 2: CallerError, 3: IdentityError, 4: LateError, 6: VerifyError}

Handle = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def listen(workspace: Path, handle: Handle) -> pipe.Served:
    """Answer requests about the server of this workspace until closed; RunError `serve.already-up` where another
    does.
    """

    def answer(data: bytes) -> bytes:
        try:
            return canonical.encode(dict(handle(canonical.decode(data))))
        except FoedusError as error:
            fields = {name: str(value) for name, value in error.fields.items()}
            return canonical.encode({"error": {"code": error.code, "fields": fields, "exit": error.exit_code}})

    try:
        return pipe.serve(_socket(workspace), answer, limit_bytes=_LIMIT_BYTES)
    except RunError as error:
        if error.code != "wire.socket-taken":
            raise
        raise RunError("serve.already-up", folder=str(workspace)) from error


def ask(workspace: Path, what: str, /, *, timeout_seconds: float = _ANSWER_SECONDS, **fields: Any) -> dict[str, Any]:
    """The running server's answer to a request, waited for so long.

    Raises:
        RunError: `serve.not-up` when no server answers for this workspace.
        LateError: `wire.pipe-late`.
        FoedusError: what the server itself raised.
    """
    request = canonical.encode({"ask": what, **fields})
    try:
        data = pipe.call(_socket(workspace), request, timeout_seconds=timeout_seconds)
    except RunError as error:
        if error.code not in ("wire.pipe-absent", "wire.pipe-broken"):
            raise
        raise RunError("serve.not-up", folder=str(workspace)) from error
    value: dict[str, Any] = canonical.decode(data)
    if "error" in value:
        told = value["error"]
        raise _FAMILIES.get(told["exit"], FoedusError)(told["code"], **told["fields"])
    return value


def _socket(workspace: Path) -> Path:
    return socket_folder(workspace) / "serve.sock"
