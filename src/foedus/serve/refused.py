"""Errors on the wire: the status of each, and its body in the request's language and the form of its protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from foedus.core.errors import CallerError, FoedusError, IdentityError, LateError, VerifyError
from foedus.core.messages import Language, error_text

__all__ = ["error_body", "language_of", "refusal", "reply", "status_of"]

_STATUS = {
    "serve.body-too-large": 413,
    "serve.bug": 500,
    "serve.busy": 429,
    "serve.draining": 503,
    "serve.failed": 500,
    "serve.foreign-host": 403,
    "serve.foreign-origin": 403,
    "serve.method-not-allowed": 405,
    "serve.no-embeddings": 404,
    "serve.no-such-answer": 404,
    "serve.no-such-model": 404,
    "serve.no-such-path": 404,
    "serve.not-in-force": 503,
    "serve.not-in-review": 404,
    "serve.not-kept": 503,
    "serve.purpose-not-covered": 403,
    "serve.scope-missing": 403,
    "serve.text-too-long": 413,
    "serve.too-fast": 429,
    "serve.too-many-texts": 413,
    "serve.too-many-values": 413,
    "serve.wrong-field": 422,
}
_FAMILIES: tuple[tuple[type[FoedusError], int], ...] = (
    (IdentityError, 401),
    (LateError, 504),
    (CallerError, 400),
    (VerifyError, 503),
)


def status_of(error: FoedusError) -> int:
    """The HTTP status of an error."""
    if error.code in _STATUS:
        return _STATUS[error.code]
    return next((status for family, status in _FAMILIES if isinstance(error, family)), 503)


def language_of(headers: Mapping[str, str]) -> Language:
    """The language that a request prefers, of those that there are."""
    return "zh" if headers.get("accept-language", "").strip().lower().startswith("zh") else "en"


def reply(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(body, status, dict(headers or {}), "application/json")


def error_body(error: FoedusError, language: Language) -> dict[str, Any]:
    """An error as data, in words."""
    text = error_text(error, lang=language)
    return {
        "code": text.code,
        "message": f"{text.expected} / {text.got}",
        "expected": text.expected,
        "got": text.got,
        "do": text.do,
        "fields": {name: value if isinstance(value, int) else str(value) for name, value in error.fields.items()},
        "type": "foedus",
    }


def refusal(error: FoedusError, *, path: str, language: Language, request_id: str) -> Response:
    """The answer to a request that is refused, in the form that clients of this path expect."""
    body = error_body(error, language)
    data: dict[str, Any] = {"error": body, "request_id": request_id}
    if path.startswith("/v2"):
        data = {"error": body["message"], "code": body["code"], "request_id": request_id}
    elif path == "/invocations":
        data |= {"error_code": body["code"], "message": body["message"]}
    status = status_of(error)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if "retry_seconds" in error.fields:
        headers["Retry-After"] = str(error.fields["retry_seconds"])
    return reply(data, status, headers)
