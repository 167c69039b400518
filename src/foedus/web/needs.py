"""What waits for somebody: who has to sign, register, vote, publish, mend or resume; the visitor's own first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from foedus.core.clock import parse
from foedus.core.messages import say
from foedus.index.results import Overview
from foedus.ledger.consortium import Consortium
from foedus.serve.watch.show import shown_alerts
from foedus.web.boards import told
from foedus.web.site import Site

__all__ = ["Need", "needs"]


@dataclass(frozen=True, slots=True)
class Need:
    """Something that waits: in words, where to see it, and for whom (empty: for nobody in particular)."""

    text: str
    href: str
    who: tuple[str, ...] = ()


def needs(site: Site, state: Consortium, seen: Overview, visitor: str | None) -> tuple[Need, ...]:
    """All of it, what waits for the visitor first."""
    found = [
        *_agreeing(state),
        *_cards(state),
        *_votes(site, state),
        *_run(site, seen),
        *_release(site, state, seen),
        *_alerts(site),
    ]
    return tuple(sorted(found, key=lambda need: visitor not in need.who))


def _agreeing(state: Consortium) -> Iterator[Need]:
    proposed = list(state.accords.values())
    if proposed and proposed[-1].digest != state.accord_digest:
        newest = proposed[-1]
        if state.accord is None or newest.version > state.accord.version:
            who = state.unsigned(newest.digest)
            yield Need(_say("sign", who=_names(who), version=newest.version), "/accord", who)
    for name in state.frozen:
        yield Need(_say("frozen", who=name), f"/members/{name}", (name,))


def _cards(state: Consortium) -> Iterator[Need]:
    if state.accord is None:
        return
    members = {member.name for member in state.members}
    who = tuple(name for name in state.accord.contributors if name in members and name not in state.cards)
    if who:
        yield Need(_say("card", who=_names(who)), "/cards", who)


def _votes(site: Site, state: Consortium) -> Iterator[Need]:
    coordinator = state.accord.coordinator.name if state.accord else ""
    for vote in site.index.votes(is_open=True, size=20).items:
        tally = state.tally(vote.subject, matter=vote.matter)
        digits = vote.subject.removeprefix("sha256:")
        what = say(f"web.matter.{vote.matter}")
        if tally.outcome:
            yield Need(_say("close", what=what), f"/gates/{digits}", (coordinator,))
        else:
            who = tally.missing
            yield Need(_say("vote", what=what, who=_names(who)), f"/gates/{digits}", who)
    for one in site.index.proposals(status="approved", size=5).items:
        text = _say("publish", name=f"{one.name} {one.version}")
        yield Need(text, f"/gates/{one.proposal.removeprefix('sha256:')}", (coordinator,))


def _run(site: Site, seen: Overview) -> Iterator[Need]:
    run = seen.open_run or seen.last_run
    if run is None:
        return
    if run.outcome == "open" and (live := told(site, run.run)) and live.board.ended:
        yield Need(_say("resume", run=run.run, code=live.board.ended), f"/runs/{run.run}")
    if run.rounds:
        for one in site.index.asked(run.run, run.rounds):
            if one.part == "left-out":
                text = _say("left-out", who=one.member, run=run.run, round=one.round, code=one.code)
                yield Need(text, f"/runs/{run.run}", (one.member,))
    if run.failed or run.inconclusive:
        text = _say("gates", run=run.run, failed=run.failed, inconclusive=run.inconclusive)
        yield Need(text, f"/runs/{run.run}")


def _release(site: Site, state: Consortium, seen: Overview) -> Iterator[Need]:
    """A release that verifiers will soon call stale: the ledger has been silent for long."""
    if seen.release is None or state.accord is None or state.recorded_at is None:
        return
    left = parse(state.recorded_at) + timedelta(days=state.accord.release.fresh_days) - site.clock()
    if left < timedelta(days=14):
        yield Need(_say("stale", days=max(0, left.days)), f"/releases/{seen.release.proposal.removeprefix('sha256:')}")


def _alerts(site: Site) -> Iterator[Need]:
    for one in shown_alerts(site.workspace.folder):
        if one.state == "open":
            text = _say("alert", number=one.id, measure=say(f"monitor.measure.{one.measure}"))
            yield Need(text, "/monitoring", (site.workspace.party,))


def _names(names: tuple[str, ...], limit: int = 6) -> str:
    more = len(names) - limit
    listed = say("web.need.comma").join(names[:limit])
    return listed + (say("web.need.more", count=more) if more > 0 else "")


def _say(key: str, /, **fields: Any) -> str:
    return say(f"web.need.{key}", **fields)
