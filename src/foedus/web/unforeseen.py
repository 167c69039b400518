"""What nobody foresaw, told as a page: the fault goes to the log under a number, and its reader gets the number."""

from __future__ import annotations

import logging
import secrets

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foedus.core.errors import FoedusError, RunError
from foedus.web.door.guard import Told

__all__ = ["Unforeseen"]

log = logging.getLogger("foedus.web")


class Unforeseen:
    """ASGI middleware around all that answers. `told` makes a page of an error; where it cannot, the error is told as
    plain text.
    """

    def __init__(self, app: ASGIApp, told: Told) -> None:
        self.app, self.told = app, told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except FoedusError as error:  # raised before any page was asked
            if begun:
                raise
            await self._tell(scope, send, error, 503)
        except Exception:
            number = secrets.token_hex(4)
            log.exception("request %s: %s %r", number, scope.get("method", ""), scope.get("path", ""))
            if begun:
                raise
            await self._tell(scope, send, RunError("web.bug", request=number), 500)

    async def _tell(self, scope: Scope, send: Send, error: FoedusError, status: int) -> None:
        try:
            body, kind = await run_in_threadpool(self.told, scope, error, status)
        except Exception as other:  # noqa: BLE001 - where not even that page can be made
            log.error("no page of %s can be made: %r", error.code, other)
            body, kind = f"{status} {error.code}\n".encode(), "text/plain; charset=utf-8"
        headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
