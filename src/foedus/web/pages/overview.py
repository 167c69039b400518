"""The overview: where the consortium stands, and what waits for somebody."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from foedus.index.results import FigureRow
from foedus.web.door import who
from foedus.web.frame import page as render
from foedus.web.loop import loop
from foedus.web.needs import needs
from foedus.web.site import Site, site_of
from foedus.web.table import page


@dataclass(frozen=True, slots=True)
class Results:
    """The three results that stand together, over all members, of the metric of the first gate on one; and the
    difference. Pooled is no part of a run: the ledger has none.
    """

    run: str
    metric: str
    federated: FigureRow | None
    alone: FigureRow | None
    difference: FigureRow | None


@page("/", title="web.title.overview", section="overview")
def overview(request: Request) -> Response:
    """The loop, what waits, the key figures, the latest acts."""
    site = site_of(request)
    state, seen = site.state(), site.index.overview()
    return render(
        request,
        "overview.html",
        seen=seen,
        state=state,
        steps=loop(site, state, seen),
        needs=needs(site, state, seen, who(request).name),
        results=results(site, seen.release.run if seen.release else seen.last_run.run if seen.last_run else None),
        head=site.index.head(),
        acts=site.index.acts(size=8).items,
        voting=site.index.proposals(status="voting", size=5),
    )


def results(site: Site, run: str | None) -> Results | None:
    """What was measured of a run over all members; None before it was."""
    figures = [one for one in site.index.figures(run) if one.member is None] if run else []
    if not run or not figures:
        return None
    row = site.index.run(run)
    metric = row.metric if row and row.metric else figures[0].metric
    by_arm = {one.arm: one for one in figures if one.metric == metric}
    return Results(run, metric, by_arm.get("federated"), by_arm.get("alone"), by_arm.get("difference"))
