"""The frame of every page: navigation, language and theme, who is looking, and the template inside.

    page(request, "runs.html", runs=…) -> HTMLResponse

A template gets, beside its own values, `say` (the catalogue, in the request's language), the formatters of `words.py`,
`asset(name)` and `here(**changes)`, which is this page's address with other values in its query.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import HTMLResponse

from foedus.core.clock import spell
from foedus.core.messages import say
from foedus.core.version import version
from foedus.report.wording import numerics_text, threshold_text
from foedus.web import words
from foedus.web.door import csrf, who
from foedus.web.look import look_of
from foedus.web.site import site_of

__all__ = ["asset", "html", "page"]

_TAGS = {"en": "en", "zh": "zh-CN"}
_LIVE_KEYS = ("lang", "theme", "live")


@cache
def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("foedus.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    env.globals |= {"say": say, "asset": asset, "version": version(), "language_tag": _TAGS.__getitem__}
    env.globals |= {name: getattr(words, name) for name in words.__all__}
    env.globals |= {"numerics_text": numerics_text, "threshold_text": threshold_text}
    return env


@cache
def asset(name: str) -> str:
    """The address of a file in `static/`; it changes with the file, so that browsers may keep it for ever."""
    data = (files("foedus.web") / "static" / name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(data).hexdigest()[:12]}"


def html(request: Request, name: str, /, **values: Any) -> str:
    """A template as text: also a fragment that a page takes in later."""
    return _environment().get_template(name).render(**_shared(request), **values)


def page(request: Request, name: str, /, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A template in the frame, as a response."""
    return HTMLResponse(html(request, name, **values), status, headers={"cache-control": "private, no-cache"})


def _shared(request: Request) -> dict[str, Any]:
    """What every template may use."""
    from foedus.web.pages import navigation

    site, look = site_of(request), look_of(request)
    state = site.state()
    at = site.clock()

    def here(**changes: str | int | None) -> str:
        return _address(request.url, changes)

    return {
        "look": look,
        "here": here,
        "path": request.url.path,
        "query": request.query_params,
        "navigation": navigation(),
        "section": getattr(request.state, "section", ""),
        "visitor": who(request),
        "csrf": csrf(request),
        "consortium": state.accord.name if state.accord else site.workspace.page.consortium or site.workspace.party,
        "practice": site.workspace.page.custody == "one-process",
        "ledger_size": state.size,
        "at": at,
        "rendered_at": spell(at),
        "age": lambda instant: words.age(instant, at),
    }


def _address(url: URL, changes: dict[str, str | int | None]) -> str:
    """This address with these values in its query; None takes one out. The look stays what the cookies say."""
    kept = [(key, value) for key, value in parse_qsl(url.query) if key not in changes and key not in _LIVE_KEYS]
    kept += [(key, str(value)) for key, value in changes.items() if value is not None]
    return url.path + (f"?{urlencode(kept)}" if kept else "")
