"""The whole loop at a glance: accord → members → cards → run → credit → gates → release → serving → drift → next.

Each step says how it stands, in words and with a tone, and since when. A step about which nothing here knows anything
says that, never that all is well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from foedus.core.messages import say
from foedus.index.results import Overview, RunRow
from foedus.ledger.consortium import Consortium
from foedus.serve.store import Traffic
from foedus.serve.watch.show import proposed_runs, shown_alerts, shown_looks
from foedus.web.boards import told
from foedus.web.pages.serving import is_served
from foedus.web.site import Site
from foedus.web.words import figure, metric_name

__all__ = ["Step", "loop"]


@dataclass(frozen=True, slots=True)
class Step:
    """A step: where its page is (empty: nowhere yet), its tone and state, a detail, and the instant it stands since."""

    name: str
    href: str
    tone: str
    state: str
    detail: str = ""
    at: str | None = None


def loop(site: Site, state: Consortium, seen: Overview) -> tuple[Step, ...]:
    """The steps in order. `seen` is the index's overview."""
    run = seen.open_run or seen.last_run
    return (
        _accord(site, state), _members(site), _cards(site, state), _run(site, run), _credit(state, seen.last_run),
        _gates(seen.last_run), _release(site, state, seen), *_after(site, state),
    )  # fmt: skip


def _accord(site: Site, state: Consortium) -> Step:
    accords = site.index.accords()
    if not accords:
        return Step("accord", "/accord", "wait", _say("accord-none"))
    newest = accords[0]
    signed = _say("signed", signed=newest.signed, members=newest.members)
    if newest.in_force_at is None and state.accord is not None and newest.version > state.accord.version:
        return Step("accord", "/accord", "wait", _say("amending", version=newest.version), signed, newest.proposed_at)
    if newest.in_force_at is None and state.accord is None:
        return Step("accord", "/accord", "wait", _say("signing"), signed, newest.proposed_at)
    force = next(one for one in accords if one.digest == state.accord_digest)
    detail = _say("version", version=force.version, signed=force.signed, members=force.members)
    return Step("accord", "/accord", "ok", _say("in-force"), detail, force.in_force_at)


def _members(site: Site) -> Step:
    members = site.index.members()
    here = [one for one in members if one.state == "member"]
    frozen = [one.name for one in members if one.state == "frozen"]
    last = max((one.last_at for one in members if one.last_at), default=None)
    if not members:
        return Step("members", "/members", "wait", _say("members-none"))
    if frozen:
        return Step("members", "/members", "bad", _say("frozen", count=len(frozen)), ", ".join(frozen), last)
    detail = _say("members-of", here=len(here), all=len(members))
    tone = "ok" if len(here) == len(members) else "wait"
    return Step("members", "/members", tone, _say("members", count=len(here)), detail, last)


def _cards(site: Site, state: Consortium) -> Step:
    wanted = {*(state.accord.contributors if state.accord else ()), *state.cards}  # an auditor may have one, too
    have = list(state.cards.values())
    last = next((card.recorded_at for card in site.index.cards(in_force=True, size=1).items), None)
    detail = _say("examples", count=f"{sum(card.act.examples for card in have):,}")
    if not have:
        return Step("cards", "/cards", "wait", _say("cards-none"))
    tone = "ok" if len(have) == len(wanted) else "wait"
    return Step("cards", "/cards", tone, _say("cards", have=len(have), all=len(wanted)), detail, last)


def _run(site: Site, run: RunRow | None) -> Step:
    if run is None:
        return Step("run", "/runs", "off", _say("run-none"))
    href, detail = f"/runs/{run.run}", run.run
    if run.outcome == "open":
        live = told(site, run.run)
        if live and live.board.ended:
            return Step("run", href, "bad", _say("run-ended"), f"{detail} · {live.board.ended}", live.ended)
        state = _say("round", round=min(run.rounds + 1, run.planned), rounds=run.planned)
        return Step("run", href, "run", state, detail, live.last if live else run.opened_at)
    tone = "bad" if run.outcome == "failed" else "ok"
    return Step("run", href, tone, say(f"web.outcome.{run.outcome}"), detail, run.closed_at)


def _credit(state: Consortium, run: RunRow | None) -> Step:
    if state.accord and state.accord.credit.name == "none":
        return Step("credit", "/credit", "off", _say("credit-off"))
    if run is None or run.credit is None:
        return Step("credit", "/credit", "off", _say("credit-none"))
    return Step("credit", f"/credit/{run.run}", "ok", _say("credit"), run.run, run.closed_at)


def _gates(run: RunRow | None) -> Step:
    if run is None or run.verdicts is None:
        return Step("gates", "/gates", "off", _say("gates-none"))
    every = run.passed + run.failed + run.inconclusive
    tone = "bad" if run.failed else "warn" if run.inconclusive else "ok"
    detail = _say("gates-not", failed=run.failed, inconclusive=run.inconclusive) if tone != "ok" else run.run
    return Step("gates", "/gates", tone, _say("gates", passed=run.passed, all=every), detail, run.closed_at)


def _release(site: Site, state: Consortium, seen: Overview) -> Step:
    voting = site.index.proposals(status="voting", size=1).items
    if voting:
        one = voting[0]
        tally = state.tally(one.proposal, matter="release")
        detail = f"{one.name} {one.version} · " + _say("votes", approved=len(tally.approved), needed=tally.needed)
        return Step("release", f"/gates/{_digits(one.proposal)}", "run", _say("voting"), detail, one.proposed_at)
    if seen.release is None:
        return Step("release", "/releases", "off", _say("release-none"))
    one = seen.release
    href = f"/releases/{_digits(one.proposal)}"
    return Step("release", href, "ok", _say("released"), f"{one.name} {one.version}", one.published_at)


def _after(site: Site, state: Consortium) -> Iterator[Step]:
    """What comes after a release. Where no traffic is kept here, nothing is known of it."""
    if is_served(site):
        with Traffic.of(site.workspace.folder) as traffic:
            answers, latest = traffic.counts()["answers"], traffic.answers(size=1)
        last = latest[0].at if latest else None
        yield Step("serving", "/serving", "ok" if answers else "off", _say("answers", count=f"{answers:,}"), "", last)
    else:
        yield Step("serving", "/serving", "off", _say("serving-none"))
    alerts = [one for one in shown_alerts(site.workspace.folder) if one.state != "over"]
    looks = shown_looks(site.workspace.folder, size=1)
    if alerts:
        yield Step("drift", "/monitoring", "warn", _say("drift", count=len(alerts)), "", alerts[0].opened_at)
    elif looks:
        yield Step("drift", "/monitoring", "ok", _say("drift-same"), looks[0].release, looks[0].at)
    else:
        yield Step("drift", "/monitoring", "off", _say("drift-none"))
    proposed = [one for one in proposed_runs(state) if one.standing in ("open", "approved", "running")]
    if proposed:
        gain = proposed[0].gain
        detail = _say(
            "next-gain", metric=metric_name(gain.metric), now=figure(gain.now), expected=figure(gain.expected)
        )
        yield Step("next", "/monitoring", "run", say(f"web.proposed.{proposed[0].standing}"), detail)
    else:
        yield Step("next", "/monitoring", "off", _say("next-none"))


def _digits(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _say(key: str, /, **fields: Any) -> str:
    return say(f"web.loop.{key}", **fields)
