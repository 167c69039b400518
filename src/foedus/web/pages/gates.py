"""Gates and votes: what is voted on, candidate against current release, and how to vote on one's own machine."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from foedus.core.errors import CallerError
from foedus.index.results import ReleaseRow
from foedus.release.paper import side_by_side
from foedus.web.digits import digest_of, digits
from foedus.web.door import who
from foedus.web.frame import page as render
from foedus.web.lists import Column, answer, asked_page, paged
from foedus.web.site import Site, site_of
from foedus.web.table import page

_COMPARED = ("accord", "base", "run", "model", "evidence", "credit")


@page("/gates", title="web.title.gates", section="gates", twins=True)
def votes(request: Request) -> Response:
    """What is or was voted on, open votes first asked for by `?open=yes`."""
    site = site_of(request)
    number, size = asked_page(request)
    wish = request.query_params.get("open", "")
    found = site.index.votes(is_open={"yes": True, "no": False}.get(wish), page=number, size=size)
    state = site.state()
    columns = (
        Column("subject", "digest", link=lambda row: f"/gates/{digits(row['subject'])}"),
        Column("about"),
        Column("matter", "status", words="web.matter"),
        Column("outcome", "status", words="web.vote-outcome"),
        Column("approve", "count"),
        Column("object", "count"),
        Column("needed", "count"),
        Column("opened_at", "instant"),
        Column("closed_at", "instant"),
    )
    rows = []
    for one in found.items:
        proposal = state.proposals.get(one.subject)
        rows.append(
            {
                "subject": one.subject, "matter": one.matter, "outcome": one.outcome or "voting",
                "about": f"{proposal.proposal.name} {proposal.proposal.version}" if proposal else None,
                "approve": one.approve, "object": one.object,
                "needed": state.tally(one.subject, matter=one.matter).needed, "opened_at": one.opened_at,
                "closed_at": one.closed_at,
            }
        )  # fmt: skip
    voting = [
        {"row": one, "tally": state.tally(one.proposal, matter="release")}
        for one in site.index.proposals(status="voting", size=5).items
    ]
    latest = next((run for run in site.index.runs(size=20).items if run.verdicts), None)
    return answer(
        request,
        "gates.html",
        paged(request, "votes", columns, rows, found.total),
        voting=voting,
        open=wish,
        latest=latest,
        verdicts=site.index.verdicts(run=latest.run, size=200).items if latest else (),
    )


@page("/gates/{name}", title="web.title.vote", section="gates")
def vote(request: Request, name: str) -> Response:
    """One subject of a vote: what it is about, the count, who voted how and why, and how to vote."""
    site = site_of(request)
    subject = digest_of(name)
    proposal = site.index.release(subject)
    state = site.state()
    ballots = [one for one in state.ballots.values() if one.subject == subject]
    if proposal is None and not ballots and subject not in state.replacements:
        raise CallerError("web.no-such-vote", got=name[:80])
    ballot = next((one for one in ballots if one.outcome is None), ballots[-1] if ballots else None)
    matter = ballot.matter if ballot else state.matter_of(subject)
    me = who(request).name
    cast = site.index.cast(subject)
    mine = next((one for one in reversed(cast) if one.member == me and one.counts), None)
    tally = state.tally(subject, matter=matter)
    return render(
        request,
        "vote.html",
        subject=subject,
        matter=matter,
        outcome=ballot.outcome if ballot else None,
        tally=tally,
        voters=state.voters(matter, subject),
        cast=cast,
        mine=mine,
        may_vote=me in tally.missing or mine is not None,
        mention=next(iter(site.index.mentions(subject)), None),
        candidate=_candidate(site, proposal) if proposal else None,
    )


def _candidate(site: Site, row: ReleaseRow) -> dict[str, Any]:
    """A proposed release with its evidence, beside the release that it would replace."""
    previous = site.index.release(row.previous) if row.previous else None
    figures = site.index.figures(row.run)
    state = site.state()
    return {
        "row": row,
        "previous": previous,
        "beside": side_by_side(figures, site.index.figures(previous.run) if previous else ()),
        "figures": figures,
        "verdicts": site.index.verdicts(run=row.run, size=200).items,
        "changed": [
            (field, getattr(previous, field) if previous else None, getattr(row, field))
            for field in _COMPARED
            if previous is None or getattr(previous, field) != getattr(row, field)
        ],
        "tally": state.tally(row.proposal, matter="release"),
        "waiver": state.ballots.get(("waive", row.verdicts)),
    }
