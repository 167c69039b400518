"""Serving: what is served from this workspace, how sure its answers are, and each answer for who serves it.

No text is shown here: what was asked stays in the store. Shares of labels below the smallest cell are withheld.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from foedus.core.errors import RunError
from foedus.core.messages import say
from foedus.serve import control
from foedus.serve.store import FILE, Answer, Traffic
from foedus.web.charts import Bar, Chart, bars
from foedus.web.frame import page as render
from foedus.web.lists import Column, answer, asked_page, paged
from foedus.web.site import Site, site_of
from foedus.web.table import page

_LATEST, _SMALLEST, _BINS = 1000, 20, 10


@page("/serving", title="web.title.serving", section="serving")
def serving(request: Request) -> Response:
    """Which release answers, how much was asked, and how sure the latest answers were."""
    site = site_of(request)
    latest: Sequence[Answer] = ()
    counts: dict[str, int] = {}
    if is_served(site):
        with Traffic.of(site.workspace.folder) as traffic:
            latest, counts = traffic.answers(size=_LATEST), traffic.counts()
    return render(
        request,
        "serving.html",
        standing=_standing(site),
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


def _standing(site: Site) -> dict[str, Any] | None:
    """What the running server says of itself; None where none runs."""
    try:
        return control.ask(site.workspace.folder, "standing")
    except RunError:
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
