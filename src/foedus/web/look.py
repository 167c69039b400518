"""How one request wants to be answered: language, theme, and whether the page may change by itself.

The language is that of `?lang`, else of a cookie, else the first of `Accept-Language` that there is. The theme is that
of `?theme`, else of a cookie, else the browser's own. What a query names is kept in the cookie. `?live=0` asks for a
page that stays as it is: for printing and for pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foedus.core.messages import LANGUAGES, Language, set_language

__all__ = ["Look", "Looking", "Theme", "look_of"]

Theme = Literal["auto", "light", "dark"]
LANG_COOKIE, THEME_COOKIE = "foedus-lang", "foedus-theme"
_YEAR_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Look:
    """Language, theme, and whether the page may change by itself."""

    language: Language = "en"
    theme: Theme = "auto"
    live: bool = True


def look_of(request: HTTPConnection) -> Look:
    """What `Looking` found out of this request."""
    found: Look = request.scope["state"].get("look", Look())
    return found


class Looking:
    """Middleware: finds the look of each request, speaks its language meanwhile, and keeps what a query names."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request in its language."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        look = _look(request)
        scope.setdefault("state", {})["look"] = look
        set_language(look.language)
        kept = {LANG_COOKIE: look.language, THEME_COOKIE: look.theme}
        named = {LANG_COOKIE: "lang" in request.query_params, THEME_COOKIE: "theme" in request.query_params}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.add_vary_header("Accept-Language, Cookie")
                for name in (name for name, here in named.items() if here):
                    headers.append("set-cookie", _cookie(name, kept[name]))
            await send(message)

        await self.app(scope, receive, answer)


def _look(request: HTTPConnection) -> Look:
    query, cookies = request.query_params, request.cookies
    wished = [query.get("lang"), cookies.get(LANG_COOKIE), *_accepted(request.headers.get("accept-language", ""))]
    language: Language = next((one for wish in wished for one in LANGUAGES if wish == one), "en")
    themes = [query.get("theme"), cookies.get(THEME_COOKIE)]
    theme: Theme = next((one for wish in themes for one in get_args(Theme) if wish == one), "auto")
    return Look(language, theme, query.get("live") != "0")


def _accepted(header: str) -> list[str]:
    """The languages of an Accept-Language header, the most wanted first, without their regions."""
    weighed = []
    for part in header.split(","):
        name, _, weight = part.strip().partition(";q=")
        try:
            weighed.append((-float(weight or 1), name.partition("-")[0].lower()))
        except ValueError:
            continue
    return [name for _, name in sorted(weighed, key=lambda one: one[0])]


def _cookie(name: str, value: str) -> str:
    """One of our few known words: nothing in it needs quoting."""
    return f"{name}={value}; Path=/; Max-Age={_YEAR_SECONDS}; SameSite=Lax; HttpOnly"
