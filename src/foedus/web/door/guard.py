"""Every request before any page sees it, in this order; whatever is refused here has touched nothing.

(1) `Host` is ours, so no other name can be made to point here;
(2) the session's cookie says who asks;
(3) a request that changes something comes from our own page: `Origin`, and the session's CSRF token in the form or in
    the header `X-CSRF-Token`. A body that is signed by itself needs neither, and then the cookie does not count;
(4) the page table says that this route, with this method, is for one of the visitor's roles. A route that it does not
    name is for nobody.

On the way out: headers that let the page load nothing from elsewhere, run no script of a text, and stand in no frame.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, Protocol
from urllib.parse import parse_qs, quote

from foedus.core.errors import FoedusError, IdentityError
from foedus.web.door.places import Places
from foedus.web.door.roles import STRANGER, Role, Visitor

__all__ = ["CSRF_FIELD", "FORM_BYTES", "HEADERS", "Guard", "Keeper", "Rule", "csrf", "guard", "who"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

FORM_BYTES = 1 << 20
"""The largest form; larger ones are not read."""

CSRF_FIELD = "csrf"
_SAFE = frozenset({"GET", "HEAD"})
HEADERS: tuple[tuple[str, str], ...] = (
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
)


class Keeper(Protocol):
    """What the guard asks: a hub's `Door`, or a member's own node page."""

    @property
    def places(self) -> Places:
        """Where the pages are."""

    @property
    def sign_in(self) -> str:
        """The path where strangers are sent."""

    def visitor(self, token: str | None) -> Visitor:
        """Who has this session's token."""


@dataclass(frozen=True, slots=True)
class Rule:
    """For whom a route is. `signed`: its body is signed by itself, and no cookie counts for it."""

    roles: frozenset[Role]
    signed: bool = False


Rules = Callable[[Scope], tuple[bool, Rule | None]]
"""Whether there is such a route, and its rule; a route without a rule is for nobody."""

Told = Callable[[Scope, FoedusError, int], tuple[bytes, str]]
"""A refusal as body and content type."""


def guard(app: Any, keeper: Keeper, table: Mapping[tuple[str, str], Rule], *, told: Told | None = None) -> None:
    """Put the guard before a Starlette application. `table`: (method, path template) → rule; HEAD is as GET."""
    app.add_middleware(Guard, keeper=keeper, rules=_by_routes(app, table), told=told or _plain)


def who(request: Any) -> Visitor:
    """Who asks; set by the guard."""
    visitor: Visitor = request.scope.get("state", {}).get("visitor", STRANGER)
    return visitor


def csrf(request: Any) -> str:
    """What a form of this session sends along as `csrf`; empty for a stranger."""
    return str(request.scope.get("state", {}).get("csrf", ""))


class Guard:
    """ASGI middleware."""

    def __init__(self, app: App, keeper: Keeper, rules: Rules, told: Told) -> None:
        self.app, self.keeper, self.rules, self.told = app, keeper, rules, told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there is no websocket here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = _headers(scope)
        send = _dressed(send, secure=self.keeper.places.secure)
        # (1) Host.
        origin = self.keeper.places.here(headers.get("host", ""))
        if origin is None:
            got = headers.get("host", "")[:200]
            await self._refuse(scope, send, IdentityError("door.foreign-host", got=got), 421)
            return
        # (2) Who.
        token = _cookie(headers.get("cookie", ""), self.keeper.places.cookie)
        routed, rule = self.rules(scope)
        visitor = STRANGER if rule is not None and rule.signed else await self._visitor(token)
        state = scope.setdefault("state", {})  # pages read it as `request.state`
        state["visitor"], state["origin"] = visitor, origin
        state["session"], state["csrf"] = (token, csrf_of(token)) if token and visitor != STRANGER else (None, "")
        # (3) From our own page.
        if scope["method"] not in _SAFE and not (rule is not None and rule.signed):
            try:
                receive = await self._own_page(scope, headers, receive, origin)
            except IdentityError as error:
                await self._refuse(scope, send, error, 403)
                return
        # (4) Whose route.
        if routed and not (rule is not None and visitor.may(rule.roles)):
            await self._turn_away(scope, send, visitor)
            return
        await self.app(scope, receive, send)

    async def _visitor(self, token: str | None) -> Visitor:
        """Who asks, looked up beside the event loop: new entries of the ledger are folded for it."""
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(self.keeper.visitor, token)

    async def _own_page(self, scope: Scope, headers: Mapping[str, str], receive: Receive, origin: str) -> Receive:
        """Require that a form of ours sent this, and give its body again; IdentityError `door.foreign-origin`,
        `door.wrong-form`.
        """
        got = headers.get("origin", "")
        if got != origin or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise IdentityError("door.foreign-origin", expected=origin, got=got[:200] or "–")
        body = await _body(receive)
        sent, kind = headers.get("x-csrf-token", ""), headers.get("content-type", "").partition(";")[0].strip()
        if not sent and kind == "application/x-www-form-urlencoded":
            sent = parse_qs(body.decode("utf-8", "replace")).get(CSRF_FIELD, [""])[0]
        wanted = scope["state"]["csrf"]
        if not wanted or not hmac.compare_digest(sent.encode(), wanted.encode()):
            raise IdentityError("door.wrong-form")
        return _again(body, receive)

    async def _turn_away(self, scope: Scope, send: Send, visitor: Visitor) -> None:
        if visitor != STRANGER:
            await self._refuse(scope, send, IdentityError("door.not-your-role", got=visitor.name), 403)
        elif scope["method"] in _SAFE and "text/html" in _headers(scope).get("accept", "text/html"):
            back = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
            location = f"{self.keeper.sign_in}?next={quote(back, safe='')}"
            await send({"type": "http.response.start", "status": 303, "headers": [(b"location", location.encode())]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._refuse(scope, send, IdentityError("door.sign-in-first"), 401)

    async def _refuse(self, scope: Scope, send: Send, error: FoedusError, status: int) -> None:
        body, kind = self.told(scope, error, status)
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def csrf_of(token: str) -> str:
    """The CSRF token of a session: whoever reads it cannot open the session with it."""
    return hmac.digest(token.encode(), b"foedus csrf v1", "sha256").hex()


def _by_routes(app: Any, table: Mapping[tuple[str, str], Rule]) -> Rules:
    def rule(scope: Scope) -> tuple[bool, Rule | None]:
        from starlette.routing import Match

        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        for route in app.router.routes:
            match, _ = route.matches(scope)
            if match == Match.FULL:
                return True, table.get((method, route.path))
        return False, None

    return rule


def _plain(_: Scope, error: FoedusError, status: int) -> tuple[bytes, str]:
    return f"{status} {error}\n".encode(), "text/plain; charset=utf-8"


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _cookie(header: str, name: str) -> str | None:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return None
    return found.value if found and len(found.value) <= 200 else None


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise IdentityError("door.wrong-form")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > FORM_BYTES:
            raise IdentityError("door.wrong-form")
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read once more, then goes on as before."""
    left = [body]

    async def again() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return again


def _dressed(send: Send, *, secure: bool) -> Send:
    """A `send` that adds the headers that every answer has; what a page sets itself stays."""
    more = [*HEADERS, *([("strict-transport-security", "max-age=31536000")] if secure else [])]

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", []))
            names = {name.lower() for name, _ in given}
            added = [(n.encode(), v.encode()) for n, v in more if n.encode() not in names]
            if b"cache-control" not in names:
                added.append((b"cache-control", b"no-store"))
            message = {**message, "headers": given + added}
        await send(message)

    return dressed
