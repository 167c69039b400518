"""The hub's pages as one application: routes from the table of pages, strict headers, errors as pages.

build(Site(workspace, index)) -> FastAPI
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foedus.core.errors import CallerError, FoedusError, RunError
from foedus.core.messages import error_text
from foedus.core.version import version
from foedus.web import pages
from foedus.web.door import Door, guard
from foedus.web.door.guard import HEADERS
from foedus.web.door.routes import RULES, add_door
from foedus.web.frame import page
from foedus.web.look import Looking
from foedus.web.site import Site
from foedus.web.table import STATIC, Page, routes, rules
from foedus.web.unforeseen import Unforeseen

__all__ = ["Site", "build"]

_STATUS = {1: 503, 2: 400, 3: 403, 4: 504, 6: 409}
_ABSENT = (
    "web.no-such-page", "web.no-such-error", "web.no-such-accord", "web.no-such-member", "web.no-such-card",
    "web.no-such-run", "web.no-such-round", "web.no-such-vote", "web.no-such-release", "web.no-such-entry",
    "web.no-credit",
)  # fmt: skip
_CODES = {**dict.fromkeys(_ABSENT, 404), "web.bad-address": 422, "web.wrong-method": 405}


def build(site: Site, door: Door | None = None) -> FastAPI:
    """The application over a workspace; it writes nothing to it but the sessions of its `door`.

    Without a door nobody is asked who they are: for pictures and tests, never behind a port that others reach.
    """
    app = FastAPI(title="Foedus", version=version(), openapi_url=None, docs_url=None, redoc_url=None)
    app.state.site = site
    for path, one in routes():
        methods: list[str] = ["GET", "HEAD"] if one.method == "GET" else [one.method]
        app.add_api_route(
            path, _in_section(one), methods=methods, name=one.title, response_class=Response, response_model=None,
            include_in_schema=False,
        )  # fmt: skip
    app.mount(STATIC, StaticFiles(directory=Path(str(files("foedus.web") / "static"))), name="static")
    app.add_exception_handler(FoedusError, _refused)
    app.add_exception_handler(HTTPException, _absent)
    app.add_exception_handler(RequestValidationError, _wrong_kind)
    if door is not None:
        add_door(app, door, page)
        guard(app, door, {**rules(), **RULES}, told=_told)
    app.add_middleware(Unforeseen, told=_told)
    app.add_middleware(_Headers)
    app.add_middleware(Looking)
    return app


def _in_section(one: Page) -> Callable[..., Any]:
    """The page's function, which finds in the request to which entry of the navigation it belongs."""
    from functools import wraps

    @wraps(one.handler)
    def answer(request: Request, **named: Any) -> Any:
        request.state.section, request.state.title = one.section, one.title
        return one.handler(request, **named)

    return answer


def _refused(request: Request, error: Exception) -> Response:
    """An error that Foedus foresees: what was expected, what was got, what to do."""
    assert isinstance(error, FoedusError)  # noqa: S101 - registered for it alone
    status = _CODES.get(error.code) or _STATUS.get(error.exit_code, 500)
    text = error_text(_for_readers(error))
    if request.url.path.endswith((".json", ".csv")):
        body = {"error": {"code": text.code, "expected": text.expected, "got": text.got, "do": text.do}}
        return JSONResponse(body, status)
    return page(request, "error.html", status=status, error=text, number=status)


def _told(scope: Scope, error: FoedusError, status: int) -> tuple[bytes, str]:
    """What no page answered, as a page."""
    text = error_text(_for_readers(error))
    shown = page(Request(scope), "error.html", status=status, error=text, number=status)
    return bytes(shown.body), shown.headers["content-type"]


def _for_readers(error: FoedusError) -> FoedusError:
    """An error without what only the machine's own people should know: where the database is."""
    return RunError("web.index-away") if error.code == "index.away" else error


def _absent(request: Request, error: Exception) -> Response:
    """What no page answers."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    if error.status_code == 404:
        return _refused(request, CallerError("web.no-such-page", path=request.url.path))
    if error.status_code == 405:
        known = (error.headers or {}).get("allow", "")
        return _refused(request, CallerError("web.wrong-method", known=known, got=request.method[:20]))
    return Response(error.detail, error.status_code, media_type="text/plain; charset=utf-8")


def _wrong_kind(request: Request, error: Exception) -> Response:
    """An address that names a text where a number stands."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
    first = error.errors()[0]
    name, got = str(first["loc"][-1]), str(first["input"])[:100]
    return _refused(request, CallerError("web.bad-address", name=name, got=got))


class _Headers:
    """Middleware: the headers that every answer carries, and how long a browser may keep a static file."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS:
                    headers.setdefault(name, value)
                if scope["path"].startswith(f"{STATIC}/"):
                    headers["cache-control"] = "public, max-age=31536000, immutable"
            await send(message)

        await self.app(scope, receive, answer if scope["type"] == "http" else send)


_ = pages
