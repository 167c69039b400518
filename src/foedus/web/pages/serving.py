"""Serving: what is served from this workspace, how it does, a box to try it, and each answer for who serves it.

No text is shown here but the one that its reader typed into the box: what was asked stays in the store, as long as the
accord says. Shares of labels below the smallest cell are withheld.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from foedus.core.errors import FoedusError, LateError, RunError
from foedus.core.messages import ErrorText, error_text, say
from foedus.serve import control
from foedus.serve.store import FILE, Answer, Traffic
from foedus.web.charts import Bar, Chart, bars
from foedus.web.door import Role, who
from foedus.web.frame import page as render
from foedus.web.lists import Column, answer, asked_page, paged
from foedus.web.site import Site, site_of
from foedus.web.table import page

_LATEST, _SMALLEST, _BINS = 1000, 20, 10
_LOOK_SECONDS, _ASK_SECONDS = 2.0, 45.0
TRIERS: frozenset[Role] = frozenset({"coordinator", "contributor", "consumer"})
"""Who may try the release: an auditor reads."""


@page("/serving", title="web.title.serving", section="serving")
def serving(request: Request) -> Response:
    """Which release answers, how it does, how sure the latest answers were, and a box to try it."""
    return _serving(request)


@page("/serving/try", title="web.title.serving", section="serving", roles=TRIERS, method="POST")
async def ask(request: Request) -> Response:
    """The answer to a text, on the page of the box; what was typed is kept by the server alone, as the accord says."""
    form = await request.form()
    text, purpose = str(form.get("text", "")), str(form.get("purpose", ""))
    return await run_in_threadpool(_asked, request, text, purpose)


def _asked(request: Request, text: str, purpose: str) -> Response:
    answered, error = None, None
    try:
        answered = control.ask(
            site_of(request).workspace.folder, "answer", timeout_seconds=_ASK_SECONDS, party=who(request).name or "",
            text=text, purpose=purpose,
        )  # fmt: skip
    except FoedusError as refused:
        error = error_text(refused)
    shown = _serving(request, text=text, purpose=purpose, answered=answered, error=error)
    shown.headers["cache-control"] = "no-store"
    return shown


def _serving(
    request: Request, *, text: str = "", purpose: str = "", answered: dict[str, Any] | None = None,
    error: ErrorText | None = None,
) -> Response:  # fmt: skip
    site = site_of(request)
    latest: Sequence[Answer] = ()
    counts: dict[str, int] = {}
    if is_served(site):
        with Traffic.of(site.workspace.folder) as traffic:
            latest, counts = traffic.answers(size=_LATEST), traffic.counts()
    return render(
        request,
        "serving.html",
        standing=_told(site, "standing"),
        pace=_told(site, "figures"),
        may_try=who(request).may(TRIERS),
        text=text,
        purpose=purpose,
        answered=answered,
        error=error,
        counts=counts,
        latest=latest,
        charts=[_confidence(latest), _labels(latest)] if len(latest) >= _SMALLEST else [],
        smallest=_SMALLEST,
        release=site.index.overview().release,
        anchor=site.state().anchor,
    )


@page("/serving/answers", title="web.title.answers", section="serving", roles=frozenset({"coordinator"}), twins=True)
def answers(request: Request) -> Response:
    """Every answer, newest first, without what was asked."""
    site = site_of(request)
    number, size = asked_page(request)
    columns = (
        Column("at", "instant", head="web.column.recorded_at"),
        Column("release"),
        Column("app"),
        Column("purpose"),
        Column("label"),
        Column("confidence", "figure"),
        Column("tokens", "count"),
        Column("state", "status", words="web.answer-state"),
    )
    found: Sequence[Answer] = ()
    total = 0
    if is_served(site):
        with Traffic.of(site.workspace.folder) as traffic:
            found, total = traffic.answers(page=number, size=size), traffic.counts()["answers"]
    rows = [
        {
            "at": one.at, "release": one.release, "app": one.app or None, "purpose": one.purpose or None,
            "label": one.label, "confidence": f"{one.confidence_bp / 10_000:.4f}", "tokens": one.tokens,
            "state": one.state,
        }
        for one in found
    ]  # fmt: skip
    return answer(request, "answers.html", paged(request, "answers", columns, rows, total))


def is_served(site: Site) -> bool:
    """Whether anything was ever answered from this workspace."""
    return (site.workspace.folder / FILE).is_file()


def _told(site: Site, what: str) -> dict[str, Any] | None:
    """What the running server says of itself; None where none runs, or it does not answer at once."""
    try:
        return control.ask(site.workspace.folder, what, timeout_seconds=_LOOK_SECONDS)
    except (RunError, LateError):
        return None


def _confidence(latest: Sequence[Answer]) -> Chart:
    """How many of the latest answers were how sure, in tenths."""
    bins = Counter(min(one.confidence_bp * _BINS // 10_000, _BINS - 1) for one in latest)
    rows = [
        Bar(f"{number / _BINS:.1f} – {(number + 1) / _BINS:.1f}", bins[number], text=f"{bins[number]:,}")
        for number in range(_BINS)
    ]
    return bars(
        "confidence",
        title=say("web.serving.confidence", count=len(latest)),
        description=say("web.serving.confidence-text"),
        head=(say("web.column.confidence"), say("web.column.answers"), ""),
        rows=rows,
    )


def _labels(latest: Sequence[Answer]) -> Chart:
    """The commonest labels of the latest answers; what is rarer than the smallest cell is withheld."""
    shown = [(label, number) for label, number in Counter(one.label for one in latest).most_common(15)]
    rows = [
        Bar(label, number if number >= _SMALLEST else None, text=f"{number:,}" if number >= _SMALLEST else hidden)
        for hidden in (say("web.card.withheld"),)
        for label, number in shown
    ]
    return bars(
        "labels",
        title=say("web.serving.labels", count=len(latest)),
        description=say("web.serving.labels-text", cell=_SMALLEST),
        head=(say("web.column.label"), say("web.column.answers"), ""),
        rows=rows,
    )
