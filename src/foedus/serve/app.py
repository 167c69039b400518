"""The web application of a server: the routes of all protocols, what tells how it is, and one form of refusal."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from foedus.core.errors import CallerError, FoedusError
from foedus.core.version import version
from foedus.serve import kserve, mlflow, native, openai
from foedus.serve.asking import notices
from foedus.serve.desk import Desk
from foedus.serve.gate import Gate, trace_of
from foedus.serve.health import health as told_health
from foedus.serve.health import measure
from foedus.serve.refused import refusal, reply
from foedus.serve.shapes import Refusal
from foedus.serve.tokens import Tokens

__all__ = ["build"]

_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "The request cannot be read, or names what is not there"},
    401: {"model": Refusal, "description": "No token, or one that is not (or no longer) good"},
    403: {"model": Refusal, "description": "The token's scope, the purpose or the origin does not allow it"},
    404: {"model": Refusal, "description": "No such thing"},
    413: {"model": Refusal, "description": "Too large"},
    422: {"model": Refusal, "description": "A field is missing, unknown or of the wrong kind"},
    429: {"model": Refusal, "description": "Too much at once; `Retry-After` says when to come again"},
    503: {"model": Refusal, "description": "The release may not answer, or the server is closing"},
    504: {"model": Refusal, "description": "The deadline passed"},
}


def build(desk: Desk, tokens: Tokens, *, local: frozenset[str] = frozenset(), closed: bool = False) -> ASGIApp:
    """The application over a desk. `local`, `closed`: as `Gate`."""
    app = FastAPI(
        title="Foedus: a verified release",
        version=version(),
        description="Answers of a release that its consortium signed. A bearer token is asked for where any was made.",
        docs_url=None,
        redoc_url=None,
        responses=_REFUSALS,
        redirect_slashes=False,
    )
    for room in (native, openai, kserve, mlflow):
        app.include_router(room.routes(desk))
    _tell(app, desk)

    @app.exception_handler(FoedusError)
    async def known(request: Request, error: FoedusError) -> Response:
        return _refused(request, error)

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Request, error: RequestValidationError) -> Response:
        return _refused(request, _wrong_field(error))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, FoedusError):  # raised while the body was read
            return _refused(request, error.__cause__)
        path = f"{request.method} {request.url.path}"[:200]
        code = {404: "serve.no-such-path", 405: "serve.method-not-allowed"}.get(error.status_code, "serve.not-json")
        return _refused(request, CallerError(code, got=path), dict(error.headers or {}))

    _describe(app)
    return Gate(app, desk, tokens, local=local, closed=closed)


def _tell(app: FastAPI, desk: Desk) -> None:
    """The routes for those who watch over the server."""

    @app.get("/health", tags=["state"], summary="What is served, and how it stands")
    async def health(request: Request) -> Response:
        return reply(told_health(desk, notices(desk.serving(), trace_of(request))))

    @app.get("/healthz", tags=["state"], summary="Whether it runs")
    async def healthz() -> Response:
        return reply({"live": True})

    @app.get("/readyz", tags=["state"], summary="Whether it answers")
    async def readyz() -> Response:
        is_ready = desk.is_ready
        return reply({"ready": is_ready}, 200 if is_ready else 503)

    @app.get("/metrics", tags=["state"], summary="Counters, for Prometheus", response_class=Response)
    async def metrics() -> Response:
        measure(desk)
        return Response(desk.meters.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _refused(request: Request, error: FoedusError, headers: dict[str, str] | None = None) -> Response:
    trace = trace_of(request)
    answer = refusal(error, path=request.url.path, language=trace.language, request_id=trace.id)
    answer.headers.update(headers or {})
    return answer


def _wrong_field(error: RequestValidationError) -> FoedusError:
    """The first thing that is wrong with a body or a parameter. What was sent is not said back: it may be large."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return CallerError("serve.not-json", got=str(first.get("ctx", {}).get("error", ""))[:200])
    where = ".".join(str(part) for part in first["loc"] if part != "body")[:200] or "(whole)"
    return CallerError("serve.wrong-field", where=where, reason=str(first["msg"])[:300])


def _describe(app: FastAPI) -> None:
    """Say in the OpenAPI document that tokens may be asked for."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{}, {"token": []}]
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to add to the document
