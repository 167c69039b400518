"""Runs: the list, up to five side by side, and one run with its rounds, members, losses and figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from foedus.core.errors import CallerError
from foedus.core.messages import say
from foedus.index.results import Asked, Point, RunRow
from foedus.web.boards import Told, told
from foedus.web.charts import Chart, Series, lines
from foedus.web.frame import page as render
from foedus.web.lists import Column, Row, answer, asked_page, paged, sorted_by
from foedus.web.pages.overview import results
from foedus.web.site import Site, site_of
from foedus.web.table import page
from foedus.web.tiles import head_of, tiles_of
from foedus.workspace.compared import compare as side_by_side

ORDERS = ("at", "run", "rounds", "loss", "federated", "difference", "closed_at")
STATES = ("open", "done", "stopped-early", "pruned", "failed")
MOST_COMPARED = 5

COLUMNS = (
    Column("run", link=lambda row: f"/runs/{row['run']}", sorts="run"),
    Column("outcome", "status", words="web.outcome"),
    Column("trial", "count"),
    Column("engine", "engine"),
    Column("members", "count"),
    Column("rounds", sorts="rounds"),
    Column("loss", "figure", sorts="loss"),
    Column("federated", "figure", sorts="federated"),
    Column("difference", "figure", sorts="difference"),
    Column("gates"),
    Column("elapsed"),
    Column("bytes", "size"),
    Column("opened_at", "instant", sorts="at"),
)


@page("/runs", title="web.title.runs", section="runs", twins=True)
def runs(request: Request) -> Response:
    """Every run, newest first; `?status=` and `?trials=` choose."""
    site = site_of(request)
    order, down = sorted_by(request, ORDERS, "-at")
    number, size = asked_page(request)
    status = request.query_params.get("status") or None
    if status and status not in STATES:
        raise CallerError("web.bad-choice", name="status", got=status[:80], known=", ".join(STATES))
    trials = {"yes": True, "no": False}.get(request.query_params.get("trials", ""))
    found = site.index.runs(status=status, trials=trials, order=order, descending=down, page=number, size=size)  # type: ignore[arg-type]  # one of ORDERS
    table = paged(request, "runs", COLUMNS, [_row(site, one) for one in found.items], found.total, sort="-at")
    return answer(request, "runs.html", table, states=STATES, chosen=status, trials=request.query_params.get("trials"))


@page("/runs/compare", title="web.title.compare", section="runs")
def compare(request: Request) -> Response:
    """Two to five runs side by side: `?run=…&run=…`; CallerError `web.too-many-runs`, `web.no-such-run`."""
    site = site_of(request)
    names = list(dict.fromkeys(request.query_params.getlist("run")))
    if not 2 <= len(names) <= MOST_COMPARED:
        raise CallerError("web.too-many-runs", most=MOST_COMPARED, got=len(names))
    for name in names:
        _run(site, name)
    found = side_by_side(site.state(), names, site.workspace.find)
    series = [Series(run.run, _points(site.index.losses(run.run))) for run in found.runs]
    members = sorted({member for run in found.runs for member in run.used})
    figures = list(dict.fromkeys((one.arm, one.metric) for run in found.runs for one in run.figures))
    by_run = [{(one.arm, one.metric): one for one in run.figures} for run in found.runs]
    return render(
        request,
        "compare.html",
        found=found,
        rows=[_row(site, _run(site, name)) for name in names],
        losses=_losses("compare-losses", series) if any(one.points for one in series) else None,
        members=members,
        figures=figures,
        by_run=by_run,
    )


@page("/runs/{name}", title="web.title.run", section="runs")
def run(request: Request, name: str) -> Response:
    """One run: where it stands, its members, its curve, what was measured; live while it goes on."""
    site = site_of(request)
    row = _run(site, name)
    live = told(site, name)
    opened = site.state().runs[name].opened
    goes_on = row.outcome == "open" and live is not None and live.board.ended is None
    return render(
        request,
        "run.html",
        run=row,
        row=_row(site, row),
        opened=opened,
        live=live,
        tiles=tiles_of(live.board) if live else tiles_from(site.index.asked(name, row.rounds) if row.rounds else ()),
        head=head_of(live.board, site.clock()) if goes_on and live else "",
        losses=losses(site, row, live),
        offset=live.offset if live else 0,
        goes_on=goes_on,
        results=results(site, name),
        figures=site.index.figures(name),
        verdicts=site.index.verdicts(run=name, size=200).items,
        credit=site.index.credit(name),
        refusals=site.index.refusals(run=name, size=20).items,
        last=site.index.asked(name, row.rounds) if row.rounds else (),
    )


@page("/runs/{name}/rounds", title="web.title.rounds", section="runs", twins=True)
def rounds(request: Request, name: str) -> Response:
    """The closed rounds of a run, first round first."""
    site = site_of(request)
    _run(site, name)
    number, size = asked_page(request)
    found, live = site.index.rounds(name, page=number, size=size), told(site, name)
    columns = (
        Column("round", "count", link=lambda row: f"/runs/{name}/rounds/{row['round']}"),
        Column("loss", "figure"),
        Column("used", "count"),
        Column("left_out", "count"),
        Column("late", "count"),
        Column("seconds", "figure"),
        Column("sent", "size"),
        Column("received", "size"),
        Column("recorded_at", "instant"),
        Column("state", "digest", head="web.column.state_digest", link=lambda row: f"/audit/{row['at']}"),
        Column("at", "count", head="web.column.entry", link=lambda row: f"/audit/{row['at']}"),
    )
    rows = []
    for one in found.items:
        sizes = live.bytes_by.get(one.round, (None, None)) if live else (None, None)
        rows.append(
            {
                "round": one.round, "loss": one.loss, "used": one.used, "left_out": one.left_out, "late": one.late,
                "seconds": live.spans.get(one.round) if live else None, "sent": sizes[0], "received": sizes[1],
                "recorded_at": one.recorded_at, "state": one.state, "at": one.at,
            }
        )  # fmt: skip
    return answer(request, "rounds.html", paged(request, "rounds", columns, rows, found.total), run=name)


@page("/runs/{name}/rounds/{number}", title="web.title.round", section="runs", twins=True)
def one_round(request: Request, name: str, number: int) -> Response:
    """What became of every member in a round."""
    site = site_of(request)
    row = _run(site, name)
    if not 1 <= number <= row.rounds:
        raise CallerError("web.no-such-round", run=name, rounds=row.rounds, got=number)
    columns = (
        Column("member", link=lambda row: f"/members/{row['member']}"),
        Column("part", "status", words="web.part"),
        Column("weight", "figure"),
        Column("late", "count"),
        Column("code", link=explained),
        Column("reply", "digest", link=lambda row: f"/audit/digest/{(row['reply'] or '')[7:]}"),
    )
    rows = [
        {
            "member": one.member, "part": one.part, "weight": one.weight, "late": one.late, "code": one.code or None,
            "reply": one.reply,
        }
        for one in site.index.asked(name, number)
    ]  # fmt: skip
    page_number, size = asked_page(request)
    cut = rows[(page_number - 1) * size : page_number * size]
    table = paged(request, "round", columns, cut, len(rows))
    return answer(request, "round.html", table, run=row, number=number)


def losses(site: Site, row: RunRow, live: Told | None) -> Chart | None:
    """The curve of the validation loss; from the ledger, with the start's from the events where they are here."""
    points = _points(site.index.losses(row.run))
    if live and 0 in live.board.losses:
        points = [(0.0, float(live.board.losses[0])), *points]
    return _losses("losses", [Series(row.run, points)]) if points else None


def explained(row: Row) -> str | None:
    """The page of an error code."""
    code = str(row["code"] or "").removeprefix("reply:")
    return f"/help/errors/{code}" if "." in code else None


def tiles_from(asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """Tiles of a run that was not carried here: what the ledger says of its last round."""
    order = {"left-out": 0, "late": 1, "used": 2, "measured": 3}
    chosen: dict[str, Asked] = {}
    for one in asked:
        if one.member not in chosen or order[one.part] < order[chosen[one.member].part]:
            chosen[one.member] = one
    return [
        {"member": name, "state": one.part, "text": say(f"web.part.{one.part}"), "code": one.code, "notes": ()}
        for name, one in sorted(chosen.items())
    ]


def _losses(name: str, series: Sequence[Series]) -> Chart:
    return lines(
        name,
        title=say("web.run.losses"),
        description=say("web.run.losses-text"),
        x_name=say("web.column.round"),
        y_name=say("web.column.loss"),
        series=series,
    )


def _points(curve: Sequence[Point]) -> list[tuple[float, float]]:
    return [(float(one.round), float(one.loss)) for one in curve if one.loss is not None]


def _run(site: Site, name: str) -> RunRow:
    found = site.index.run(name)
    if found is None:
        raise CallerError("web.no-such-run", got=name[:80])
    return found


def _row(site: Site, one: RunRow) -> dict[str, Any]:
    from foedus.web.words import seconds

    live = told(site, one.run)
    every = one.passed + one.failed + one.inconclusive
    return {
        "run": one.run, "outcome": one.outcome, "trial": one.trial, "engine": one.engine, "members": one.members,
        "rounds": f"{one.rounds}/{one.planned}", "loss": one.loss, "federated": one.federated,
        "difference": one.difference, "gates": f"{one.passed}/{every}" if every else None,
        "elapsed": seconds(live.elapsed) if live and live.elapsed is not None else None,
        "bytes": live.board.bytes_out + live.board.bytes_in if live else None, "opened_at": one.opened_at,
    }  # fmt: skip
