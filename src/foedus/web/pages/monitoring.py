"""Monitoring and feedback: what moved in a release in use, what users said, and the runs that were proposed for it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from foedus.serve.store import Traffic
from foedus.serve.watch.show import proposed_runs, shown_alerts, shown_looks
from foedus.web.frame import page as render
from foedus.web.lists import Column, answer, asked_page, paged
from foedus.web.pages.serving import is_served
from foedus.web.site import site_of
from foedus.web.table import page


@page("/monitoring", title="web.title.monitoring", section="monitoring")
def monitoring(request: Request) -> Response:
    """The newest look, the alerts that stand, feedback in numbers, proposed runs."""
    site = site_of(request)
    counts: dict[str, int] = {}
    if is_served(site):
        with Traffic.of(site.workspace.folder) as traffic:
            counts = traffic.counts()
    looks = shown_looks(site.workspace.folder, size=20)
    alerts = [one for one in shown_alerts(site.workspace.folder, size=50) if one.state != "over"]
    state = site.state()
    return render(
        request,
        "monitoring.html",
        counts=counts,
        looks=looks,
        alerts=alerts,
        proposed=proposed_runs(state),
        terms=state.accord.monitoring if state.accord else None,
    )


@page("/monitoring/alerts", title="web.title.alerts", section="monitoring", twins=True)
def alerts(request: Request) -> Response:
    """Every alert, newest first."""
    site = site_of(request)
    number, size = asked_page(request)
    columns = (
        Column("alert", "count"),
        Column("level", "status", words="monitor.level"),
        Column("measure", words="monitor.measure"),
        Column("release"),
        Column("state", "status", words="monitor.state"),
        Column("opened_at", "instant"),
        Column("last_at", "instant", head="web.column.last_seen"),
        Column("by"),
        Column("note"),
    )
    found = shown_alerts(site.workspace.folder, page=number, size=size)
    rows = [
        {
            "alert": one.id, "level": one.level, "measure": one.measure, "release": one.release, "state": one.state,
            "opened_at": one.opened_at, "last_at": one.last_at, "by": one.by, "note": one.note,
        }
        for one in found
    ]  # fmt: skip
    more = len(shown_alerts(site.workspace.folder, page=number + 1, size=size))
    return answer(
        request, "alerts.html", paged(request, "alerts", columns, rows, (number - 1) * size + len(rows) + more)
    )
