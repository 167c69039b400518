"""How `foedus run` speaks with the hub: short requests over a Unix socket that only the hub's own user can open.

What happens in a run is not sent over it: that stands in the run's `events.jsonl`, whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from foedus.core import canonical
from foedus.core.errors import CallerError, FoedusError, IdentityError, LateError, RunError, VerifyError
from foedus.wire import pipe
from foedus.workspace import socket_folder

__all__ = ["ask", "serve", "told_error"]

_ANSWER_SECONDS = 60.0
_LIMIT_BYTES = 1 << 16
_FAMILIES: dict[int, type[FoedusError]] = {1: RunError, 2: CallerError, 3: IdentityError, 4: LateError, 6: VerifyError}

Handle = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def serve(workspace: Path, handle: Handle) -> pipe.Served:
    """Answer requests about this workspace until closed; RunError `hub.already-up` where another hub does."""

    def answer(data: bytes) -> bytes:
        try:
            return canonical.encode(dict(handle(canonical.decode(data))))
        except FoedusError as error:
            return canonical.encode({"error": error_of(error)})

    try:
        return pipe.serve(_socket(workspace), answer, limit_bytes=_LIMIT_BYTES)
    except RunError as error:
        if error.code != "wire.socket-taken":
            raise
        raise RunError("hub.already-up", folder=str(workspace)) from error


def ask(workspace: Path, what: str, /, **fields: Any) -> dict[str, Any]:
    """The hub's answer to a request.

    Raises:
        RunError: `hub.not-up` when no hub answers for this workspace.
        FoedusError: what the hub itself raised.
    """
    try:
        data = pipe.call(_socket(workspace), canonical.encode({"ask": what, **fields}), timeout_seconds=_ANSWER_SECONDS)
    except RunError as error:
        if error.code not in ("wire.pipe-absent", "wire.pipe-broken"):
            raise
        raise RunError("hub.not-up", folder=str(workspace)) from error
    value: dict[str, Any] = canonical.decode(data)
    if "error" in value:
        raise told_error(value["error"])
    return value


def error_of(error: FoedusError) -> dict[str, Any]:
    """An error as data."""
    fields = {name: str(value) for name, value in error.fields.items()}
    return {"code": error.code, "fields": fields, "exit": error.exit_code}


def told_error(value: Mapping[str, Any]) -> FoedusError:
    """The error that `error_of` wrote."""
    return _FAMILIES.get(value["exit"], FoedusError)(value["code"], **value["fields"])


def _socket(workspace: Path) -> Path:
    return socket_folder(workspace) / "hub.sock"
