"""Members: who takes part, with which keys, what each did; and a page for each."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from foedus.core.errors import CallerError
from foedus.hub.nodes import node_keys
from foedus.records.membership import NodeKey
from foedus.track.advice import advice
from foedus.web.boards import told
from foedus.web.frame import page as render
from foedus.web.lists import Column, Row, answer, asked_page, listed, paged
from foedus.web.site import Site, site_of
from foedus.web.table import page


@page("/members", title="web.title.members", section="members", twins=True)
def members(request: Request) -> Response:
    """Every member of the accord, with what it did so far."""
    site = site_of(request)
    columns = (
        Column("member", link=_member, sorts="member"),
        Column("state", "status", words="web.member-state", sorts="state"),
        Column("roles", "names", words="door.role"),
        Column("examples", "count", sorts="examples"),
        Column("used", "count", sorts="used"),
        Column("left_out", "count", sorts="left_out"),
        Column("credit", "figure", sorts="credit"),
        Column("acts", "count", link=lambda row: f"/audit?actor={row['member']}", sorts="acts"),
        Column("last_at", "instant", sorts="last_at"),
    )
    rows = [
        {
            "member": one.name, "state": one.state, "roles": one.roles, "examples": one.examples, "used": one.used,
            "left_out": one.left_out, "credit": one.credit, "acts": one.acts, "last_at": one.last_at,
        }
        for one in site.index.members()
    ]  # fmt: skip
    state = site.state()
    left = [name for name in sorted(state.left) if name not in {row["member"] for row in rows}]
    return answer(request, "members.html", listed(request, "members", columns, rows, sort="member"), left=left)


@page("/members/{name}", title="web.title.member", section="members")
def member(request: Request, name: str) -> Response:
    """One member; CallerError `web.no-such-member`."""
    site = site_of(request)
    known = _known(site, name)
    state = site.state()
    cards = site.index.cards(member=name, size=20).items
    runs = site.index.runs(size=10).items
    shares = [
        (run.run, row.value, row.by_round)
        for run in runs
        if (found := site.index.credit(run.run))
        for row in found[1]
        if row.member == name
    ]
    failures = [
        (run.run, event, advice(event.fields["code"], event.fields["fields"], refused=event.kind == "refused"))
        for run in runs[:3]
        if (live := told(site, run.run))
        for event in reversed(live.problems)
        if event.fields["member"] == name
    ][:12]
    return render(
        request,
        "member.html",
        known=known,
        accord_member=state.accord.member(name) if state.accord else None,
        frozen=state.frozen.get(name),
        keys=site.index.keys(name),
        cards=cards,
        credits=shares,
        failures=failures,
        node=_node(site, name),
        acts=site.index.acts(actor=name, size=8).items,
    )


@page("/members/{name}/rounds", title="web.title.member-rounds", section="members", twins=True)
def rounds(request: Request, name: str) -> Response:
    """What became of a member in each round, newest first."""
    site = site_of(request)
    _known(site, name)
    number, size = asked_page(request)
    found = site.index.replies(name, page=number, size=size)
    columns = (
        Column("run", link=lambda row: f"/runs/{row['run']}"),
        Column("round", "count"),
        Column("part", "status", words="web.part"),
        Column("weight", "figure"),
        Column("late", "count"),
        Column("code", link=_explained),
        Column("reply", "digest", link=lambda row: f"/audit/digest/{(row['reply'] or '')[7:]}"),
    )
    rows = [
        {
            "run": one.run, "round": one.round, "part": one.part, "weight": one.weight, "late": one.late,
            "code": one.code or None, "reply": one.reply,
        }
        for one in found.items
    ]  # fmt: skip
    return answer(
        request, "member-rounds.html", paged(request, "member-rounds", columns, rows, found.total), member=name
    )


def _known(site: Site, name: str) -> object:
    found = next((one for one in site.index.members() if one.name == name), None)
    if found is None:
        raise CallerError("web.no-such-member", got=name[:80])
    return found


def _node(site: Site, name: str) -> NodeKey | None:
    """By which program the member's node connected last; None where it never did."""
    if not site.workspace.is_coordinator:
        return None
    return next((one for one in node_keys(site.workspace) if one.member == name), None)


def _member(row: Row) -> str:
    return f"/members/{row['member']}"


def _explained(row: Row) -> str | None:
    code = str(row["code"] or "").removeprefix("reply:")
    return f"/help/errors/{code}" if "." in code else None
