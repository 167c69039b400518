"""What stands before every route: who asks, from where, how much; and what stands on every answer.

Without tokens the server believes whoever reaches it, so only this machine's own programs may: a request whose `Host`
or `Origin` is another is refused, which keeps out pages that a browser on this machine shows. With tokens each request
shows one, of the scope that its path asks for; the paths in `OPEN` tell machines whether the server is there.

Every answer carries `X-Request-Id`, `X-Foedus-Release`, `X-Foedus-Standing`, `Server-Timing`, and in practice
`X-Foedus-Practice`.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Asked

from foedus.core.errors import CallerError, FoedusError, IdentityError, RunError
from foedus.core.messages import Language
from foedus.serve.bodies import require_modest
from foedus.serve.desk import Desk
from foedus.serve.given import Caller
from foedus.serve.refused import language_of, refusal
from foedus.serve.tokens import Rate, Scope, Token, Tokens

__all__ = ["OPEN", "Gate", "Trace", "scope_of", "trace_of"]

OPEN = frozenset(
    {"/health", "/healthz", "/readyz", "/ping", "/openapi.json", "/v2", "/v2/health/live", "/v2/health/ready"}
)
"""Paths for which no token is asked: they tell how the server is, and nothing of its traffic."""

_SCOPES: tuple[tuple[str, Scope], ...] = (
    ("/metrics", "metrics"),
    ("/v1/embeddings", "embed"),
    ("/v1/feedback", "feedback"),
    ("/v1/reviews", "review"),
)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

log = logging.getLogger("foedus.serve")


def scope_of(path: str) -> Scope:
    """The scope that a path asks for; all that ask the model ask for `predict`."""
    return next((scope for start, scope in _SCOPES if path == start or path.startswith(start + "/")), "predict")


@dataclass(slots=True)
class Trace:
    """A request on its way: its id and language, who asks, and what its answer will tell in headers. `charge` counts
    its texts against the token's rate (RunError `serve.too-fast`).
    """

    id: str
    language: Language
    caller: Caller = field(default_factory=Caller)
    token: Token | None = None
    release: str = ""
    standing: str = ""
    practice: bool = False
    queue_seconds: float | None = None
    infer_seconds: float = 0.0
    charge: Callable[[int], None] = lambda _texts: None


def trace_of(request: Request) -> Trace:
    """The trace of a request that came through the gate."""
    trace: Trace = request.scope["foedus"]
    return trace


class Gate:
    """ASGI middleware around the routes. `local`: further names under which this machine is reached without tokens;
    `closed`: tokens are asked for whatever becomes of their file. Once they were asked for, they are.
    """

    def __init__(
        self,
        app: ASGIApp,
        desk: Desk,
        tokens: Tokens,
        *,
        local: frozenset[str] = frozenset(),
        closed: bool = False,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app, self.desk, self.tokens = app, desk, tokens
        self.local, self.closed = _LOOPBACK | local, closed
        self.rate, self.steady = Rate(), steady

    async def __call__(self, scope: Asked, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it here."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, headers = self.steady(), Headers(scope=scope)
        given = headers.get("x-request-id", "")
        trace = Trace(given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8), language_of(headers))
        trace.charge = partial(self._charge, trace)
        scope["foedus"] = trace
        if (loaded := self.desk.current) is not None:
            trace.release, trace.practice = loaded.release.name, loaded.release.practice
            trace.standing = loaded.standing.at(self.desk.clock())
        status = 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._mark(MutableHeaders(scope=message), trace, began)
            await send(message)

        try:
            self._enter(scope["path"], headers, trace)
            _take_as_json(scope, headers)
            await self.app(scope, self._bounded(receive), told)
        except FoedusError as error:
            answer = refusal(error, path=scope["path"], language=trace.language, request_id=trace.id)
            await answer(scope, receive, told)
        except Exception:
            log.exception("request %s", trace.id)
            if not status:
                bug = RunError("serve.bug", request=trace.id)
                answer = refusal(bug, path=scope["path"], language=trace.language, request_id=trace.id)
                await answer(scope, receive, told)
        asks_model = scope["path"] not in OPEN and scope_of(scope["path"]) in ("predict", "embed")
        took = self.steady() - began
        self.desk.meters.request(trace.caller.app, trace.release, status, took, asks_model=asks_model)

    def _charge(self, trace: Trace, texts: int) -> None:
        """Count texts against the token's rate; RunError `serve.too-fast` with `retry_seconds`."""
        if trace.token is None or trace.token.per_minute is None:
            return
        wait = self.rate.wait_seconds(trace.token.name, trace.token.per_minute, texts, at=self.steady())
        if wait:
            raise RunError("serve.too-fast", per_minute=trace.token.per_minute, retry_seconds=ceil(wait))

    def _enter(self, path: str, headers: Headers, trace: Trace) -> None:
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self.desk.options.body_bytes:
            raise CallerError("serve.body-too-large", limit_bytes=self.desk.options.body_bytes)
        self.closed = self.closed or self.tokens.asked_for
        if not self.closed:
            self._require_local(headers)
            return
        if path in OPEN:
            return
        kind, _, secret = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not secret.strip():
            raise IdentityError("serve.token-missing")
        today = self.desk.clock().date().isoformat()
        token = self.tokens.holder(secret.strip(), today=today)
        trace.token, trace.caller = token, Caller(token.name, token.purposes)
        if (scope := scope_of(path)) not in token.scopes:
            raise IdentityError("serve.scope-missing", scope=scope, scopes=", ".join(token.scopes) or "–")

    def _require_local(self, headers: Headers) -> None:
        if _name(f"//{headers.get('host', '')}") not in self.local:
            raise IdentityError("serve.foreign-host", got=headers.get("host", "")[:100])
        origin = headers.get("origin")
        if origin is not None and _name(origin) not in self.local:
            raise IdentityError("serve.foreign-origin", got=origin[:100])

    def _bounded(self, receive: Receive) -> Receive:
        """The body as it comes, up to its limits: of bytes, and in the end of the values that it holds."""
        limit, got = self.desk.options.body_bytes, bytearray()

        async def bounded() -> Message:
            message = await receive()
            if message["type"] != "http.request":
                return message
            got.extend(message.get("body", b""))
            if len(got) > limit:
                raise CallerError("serve.body-too-large", limit_bytes=limit)
            if not message.get("more_body", False):
                require_modest(bytes(got))
            return message

        return bounded

    def _mark(self, headers: MutableHeaders, trace: Trace, began: float) -> None:
        headers["X-Request-Id"] = trace.id
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Cache-Control"] = "no-store"
        if trace.release:
            headers["X-Foedus-Release"] = trace.release
            headers["X-Foedus-Standing"] = trace.standing
        if trace.practice:
            headers["X-Foedus-Practice"] = "one-process"
        timing = [f"total;dur={(self.steady() - began) * 1000:.1f}"]
        if trace.queue_seconds is not None:
            timing = [
                f"queue;dur={trace.queue_seconds * 1000:.1f}", f"infer;dur={trace.infer_seconds * 1000:.1f}", *timing
            ]  # fmt: skip
        headers["Server-Timing"] = ", ".join(timing)


def _take_as_json(scope: Asked, headers: Headers) -> None:
    """A body of which nothing is said, or what `curl -d` says of any, is JSON: no path here takes another."""
    if headers.get("content-type", "application/x-www-form-urlencoded") == "application/x-www-form-urlencoded":
        kept = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
        scope["headers"] = [*kept, (b"content-type", b"application/json")]


def _name(url: str) -> str:
    """The host of a URL, in small letters, without port; empty for what is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
