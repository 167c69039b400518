"""Credit: what each member's updates were worth, how it was computed, and whether it adds up."""

from __future__ import annotations

from fractions import Fraction

from starlette.requests import Request
from starlette.responses import Response

from foedus.core.errors import CallerError
from foedus.core.messages import say
from foedus.web.charts import Bar, bars
from foedus.web.lists import Column, answer, asked_page, listed, paged
from foedus.web.site import site_of
from foedus.web.table import page
from foedus.web.words import figure, percent


@page("/credit", title="web.title.credit", section="credit", twins=True)
def reports(request: Request) -> Response:
    """Every run that has a credit report, newest first."""
    site = site_of(request)
    number, size = asked_page(request)
    found = site.index.credits(page=number, size=size)
    columns = (
        Column("run", link=lambda row: f"/credit/{row['run']}"),
        Column("method", words="web.credit-method"),
        Column("start_loss", "figure"),
        Column("released_loss", "figure"),
        Column("total", "figure"),
        Column("residual", "figure"),
        Column("tolerance", "figure"),
        Column("members", "count"),
    )
    rows = [
        {
            "run": one.report.run, "method": one.report.method, "start_loss": one.report.start_loss,
            "released_loss": one.report.released_loss, "total": one.report.total, "residual": one.report.residual,
            "tolerance": one.report.tolerance, "members": one.members,
        }
        for one in found.items
    ]  # fmt: skip
    return answer(request, "credits.html", paged(request, "credit", columns, rows, found.total))


@page("/credit/{name}", title="web.title.credit-of", section="credit", twins=True)
def credit(request: Request, name: str) -> Response:
    """One run's credit: a bar a member, shares, the sum and its tolerance, and the method in words."""
    site = site_of(request)
    if site.index.run(name) is None:
        raise CallerError("web.no-such-run", got=name[:80])
    found = site.index.credit(name)
    if found is None:
        raise CallerError("web.no-credit", run=name)
    report, members = found
    total = sum((Fraction(one.value) for one in members), Fraction(0))
    columns = (
        Column("member", link=lambda row: f"/members/{row['member']}", sorts="member"),
        Column("credit", "figure", sorts="credit"),
        Column("share"),
        Column("rounds", "count"),
    )
    rows = [
        {
            "member": one.member, "credit": one.value, "share": percent(Fraction(one.value) / total) if total else None,
            "rounds": sum(1 for part in one.by_round if Fraction(part)),
        }
        for one in members
    ]  # fmt: skip
    chart = bars(
        "credit",
        title=say("web.credit.chart", run=name),
        description=say("web.credit.chart-text"),
        head=(say("web.column.member"), say("web.column.credit"), ""),
        rows=[
            Bar(
                one.member, float(one.value),
                text=f"{figure(one.value, 4)}" + (f" · {percent(Fraction(one.value) / total)}" if total else ""),
                colour=1 if Fraction(one.value) >= 0 else 5,
            )
            for one in members[:60]
        ],
    )  # fmt: skip
    rounds = max((len(one.by_round) for one in members), default=0)
    return answer(
        request,
        "credit.html",
        listed(request, "credit", columns, rows, sort="-credit"),
        run=name,
        report=report,
        members=members,
        drawn=chart,
        rounds=rounds,
        adds_up=abs(Fraction(report.residual)) <= Fraction(report.tolerance),
        terms=site.state().accords[site.state().runs[name].accord].credit,
    )
