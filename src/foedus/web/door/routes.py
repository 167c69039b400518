"""The door's own pages: how to sign in, the challenge and its answer, the one-time link, one's open sessions.

GET  /door               how to sign in, or who is signed in and where else
GET  /door/challenge     ?party=NAME → a `Challenge`
POST /door/login         a signed `Login` → {"token": …} for the one-time link
GET  /door/enter         ?token=… → the session's cookie, once
POST /door/end           end a session of one's own: this one, or another by its name
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from foedus.core.errors import CallerError, FoedusError, IdentityError, RunError
from foedus.core.messages import error_text, say
from foedus.hub.reception import Turnstile, told
from foedus.web.door.desk import SIGN_IN, Door
from foedus.web.door.guard import Rule, who
from foedus.web.door.places import Places
from foedus.web.door.roles import EVERYONE, PARTIES
from foedus.web.door.store import LIFE, LINK_LIFE

__all__ = ["RULES", "add_door", "end_cookie", "give_cookie"]

Show = Callable[..., Response]
"""`show(request, "name.html", status=…, **values)`: a template in the frame of the pages."""

RULES: dict[tuple[str, str], Rule] = {
    ("GET", SIGN_IN): Rule(EVERYONE),
    ("GET", f"{SIGN_IN}/challenge"): Rule(EVERYONE),
    ("POST", f"{SIGN_IN}/login"): Rule(EVERYONE, signed=True),
    ("GET", f"{SIGN_IN}/enter"): Rule(EVERYONE),
    ("POST", f"{SIGN_IN}/end"): Rule(PARTIES),
}
"""For whom each of these routes is."""

_LOGIN_BYTES = 1 << 14


def add_door(
    app: Any,
    door: Door,
    show: Show,
    *,
    turnstile: Turnstile | None = None,
    steady: Callable[[], float] = time.monotonic,
) -> None:
    """Add the door's routes to an application that `guard` stands before.

    `turnstile` lets each address through so many times; `steady` gives seconds that never go back.
    """
    gate = turnstile or Turnstile(burst=20, a_second=0.5)

    def admitted(request: Request) -> None:
        source = request.client.host if request.client else ""
        if not gate.admits(source, steady()):
            raise RunError("door.too-often")

    def sign_in(request: Request) -> Response:
        visitor = who(request)
        this = door.sessions.session(request.state.session) if request.state.session else None
        return show(
            request,
            "door/door.html",
            sessions=door.sessions.of(visitor.name) if visitor.name else [],
            this=this.name if this else None,
            roles=[say(f"door.role.{role}") for role in sorted(visitor.roles)],
            origin=request.state.origin,
            back=_back(request),
            minutes=int(LINK_LIFE.total_seconds() // 60),
        )

    def challenge(request: Request) -> Response:
        try:
            admitted(request)
            made = door.challenge(request.query_params.get("party", ""), request.state.origin)
        except FoedusError as error:
            return _error(error)
        return Response(made.to_bytes(), media_type="application/json")

    async def login(request: Request) -> Response:
        try:
            admitted(request)
            body = b""
            async for part in request.stream():
                body += part
                if len(body) > _LOGIN_BYTES:
                    raise CallerError("hub.too-large", expected=_LOGIN_BYTES, got=len(body))
            return JSONResponse({"token": door.admit(body)})
        except FoedusError as error:
            return _error(error)

    def enter(request: Request) -> Response:
        """The link. What another page led to is not followed: it could sign its reader in as somebody else."""
        try:
            admitted(request)
            if request.headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
                raise IdentityError("door.link-from-elsewhere")
            token = door.sessions.enter(request.query_params.get("token", ""))
            if token is None and who(request).name is None:
                raise IdentityError("door.link-used")
        except FoedusError as error:
            return show(request, "error.html", status=_status(error), error=error_text(error), number=_status(error))
        answer = RedirectResponse("/", 303)
        return give_cookie(answer, door.places, token) if token else answer

    async def end(request: Request) -> Response:
        name = str((await request.form()).get("session", ""))
        mine = door.sessions.session(request.state.session)
        party = who(request).name
        if party and mine:
            door.sessions.end(name or mine.name, party=party)
            if name in ("", mine.name):
                return end_cookie(RedirectResponse(SIGN_IN, 303), door.places)
        return RedirectResponse(SIGN_IN, 303)

    for path, call, method in (
        (SIGN_IN, sign_in, "GET"), (f"{SIGN_IN}/challenge", challenge, "GET"), (f"{SIGN_IN}/login", login, "POST"),
        (f"{SIGN_IN}/enter", enter, "GET"), (f"{SIGN_IN}/end", end, "POST"),
    ):  # fmt: skip
        app.router.add_route(path, call, methods=[method], include_in_schema=False)


def give_cookie(
    answer: Response, places: Places, token: str, *, samesite: Literal["lax", "strict"] = "lax"
) -> Response:
    """Put a session into the browser that asked."""
    life = int(LIFE.total_seconds())
    answer.set_cookie(
        places.cookie, token, max_age=life, path="/", secure=places.secure, httponly=True, samesite=samesite
    )
    return answer


def end_cookie(answer: Response, places: Places) -> Response:
    """Take the session out of the browser that asked."""
    answer.delete_cookie(places.cookie, path="/", secure=places.secure, httponly=True, samesite="lax")
    return answer


def _back(request: Request) -> str:
    """Where to go on after signing in: a path of ours, nothing else."""
    wish = request.query_params.get("next", "/")
    parts = urlsplit(wish)
    plain = wish.startswith("/") and not wish.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return wish if plain else "/"


def _status(error: FoedusError) -> int:
    return 429 if error.code == "door.too-often" else {2: 400, 3: 403}.get(error.exit_code, 409)


def _error(error: FoedusError) -> Response:
    return Response(told(error), _status(error), media_type="application/json")
