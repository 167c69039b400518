"""`foedus monitor`: watch a release in use, on the machine that serves it. Only what `report` writes may leave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.cli.party import caught_up
from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.serve.watch.book import Alert
    from foedus.serve.watch.watcher import Seen

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Watch a release in use: drift, feedback, alerts (where it is served).")

Release = Annotated[
    str | None, typer.Option("--release", metavar="NAME-VERSION", help="By default the one that answered last.")
]
Number = Annotated[
    int, typer.Argument(min=1, max=(1 << 63) - 1, help="The alert's number.", show_default=False, metavar="NUMBER")
]
_YEAR_HOURS, _MONTH_SECONDS = 366 * 24, 31 * 24 * 3600


@app.command()
def drift(
    *,
    release: Release = None,
    every: Annotated[
        int | None,
        typer.Option(
            "--every", min=1, max=_MONTH_SECONDS, metavar="SECONDS", help="Look again and again, until interrupted."
        ),
    ] = None,
) -> None:
    """Look at what was served since the last time, raise alerts, and send those that are due."""
    from time import sleep

    from foedus.core.clock import now
    from foedus.serve.watch.watcher import terms_of, watch
    from foedus.workspace import consortium

    here = shell()
    while True:
        workspace = caught_up()
        seen = watch(workspace.folder, terms_of(consortium(workspace)), clock=now, release=release)
        if every is None:
            break
        _tell(seen, quiet=True)
        sleep(every)
    newest = _newest(workspace.folder, seen.release)
    _tell(seen)
    if newest:
        _figures(newest["figures"])
    here.result(
        "monitor.drift",
        {
            "release": seen.release,
            "looks": len(seen.looks),
            "waiting": seen.waiting,
            "latest": newest,
            "alerts": [_alert(one) for one in seen.alerts],
            "sent": seen.sent,
        },
    )
    here.next(f"foedus monitor alerts{here.at()}" if seen.alerts else f"foedus monitor report{here.at()}")


@app.command()
def feedback(*, release: Release = None) -> None:
    """What users said of the answers: how many were wrong, and when that changed."""
    from foedus.serve.store import Traffic
    from foedus.serve.watch.watcher import judged
    from foedus.workspace import open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    name, stream = judged(workspace.folder, release)
    with Traffic.of(workspace.folder) as traffic:
        corrections = traffic.corrections(release=name)
    share = f"{stream.wrong / stream.judged:.1%}" if stream.judged else "–"
    here.say("monitor.cli.judged", release=name, judged=stream.judged, wrong=stream.wrong, share=share)
    for turn in stream.turns:
        fields = {"at": turn.at, "before": f"{turn.change.before:.1%}", "after": f"{turn.change.after:.1%}"}
        here.say(f"monitor.cli.{'rise' if turn.worse else 'fall'}", detector=turn.detector, **fields)
    here.say("monitor.cli.corrections", count=len(corrections))
    turns = [
        {"detector": one.detector, "at": one.at, "before": round(one.change.before, 4),
         "after": round(one.change.after, 4)}
        for one in stream.turns
    ]  # fmt: skip
    data = {"release": name, "judged": stream.judged, "wrong": stream.wrong, "turns": turns}
    here.result("monitor.feedback", {**data, "corrections": len(corrections)})
    if corrections:
        here.next(f"foedus data feedback data.yaml --consent TEXT{here.at()}")


@app.command()
def alerts(
    *,
    release: Release = None,
    over: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
) -> None:
    """The alerts that stand, and what of them is still to be delivered."""
    from foedus.core.messages import say
    from foedus.serve.watch.book import Book
    from foedus.workspace import open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    with Book.of(workspace.folder) as book:
        found = [one for one in book.alerts(release=release, size=1000) if over or one.state != "over"]
        waiting = [one for one in book.deliveries(size=1000) if one.state != "sent"]
        silences = book.silences()
    if found:
        head = [say(f"monitor.head.{name}") for name in ("alert", "level", "measure", "release", "state", "since")]
        here.table(
            head,
            [
                [str(one.id), say(f"monitor.level.{one.level}"), say(f"monitor.measure.{one.measure}"), one.release,
                 say(f"monitor.state.{one.state}"), one.opened_at]
                for one in found
            ],
        )  # fmt: skip
    else:
        here.say("monitor.cli.no-alert")
    for silence in silences:
        here.say("monitor.cli.silenced", measure=say(f"monitor.measure.{silence.measure}"), until=silence.until)
    for one in waiting:
        state = say(f"monitor.delivery.{one.state}")
        here.say("monitor.cli.undelivered", alert=one.alert, channel=one.channel, tries=one.tries, state=state,
                 error=one.error or "–")  # fmt: skip
    here.result(
        "monitor.alerts",
        {
            "alerts": [_alert(one) for one in found],
            "silences": [{"measure": one.measure, "until": one.until, "by": one.by} for one in silences],
            "undelivered": [
                {"alert": one.alert, "channel": one.channel, "tries": one.tries, "state": one.state, "due": one.due,
                 "error": one.error}
                for one in waiting
            ],
        },
    )  # fmt: skip
    if standing := [one for one in found if one.state == "open"]:
        here.next(f"foedus monitor ack {standing[0].id}{here.at()}", f"foedus monitor report{here.at()}")


@app.command()
def ack(number: Number, *, note: Annotated[str, typer.Option(help="What is being done.")] = "") -> None:
    """Take note of an alert: nobody is told of it again unless it grows more serious."""
    from foedus.core.messages import say
    from foedus.serve.watch.alerts import acknowledge
    from foedus.serve.watch.book import Book
    from foedus.workspace import open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    with Book.of(workspace.folder) as book:
        alert = acknowledge(book, number, by=workspace.party, note=note)
    here.say("monitor.cli.acknowledged", alert=number, measure=say(f"monitor.measure.{alert.measure}"))
    here.result("monitor.ack", _alert(alert))


@app.command()
def silence(
    measure: Annotated[str, typer.Argument(help="lengths, inputs, labels, confidence, quality, or all.")],
    *,
    hours: Annotated[int, typer.Option(min=0, max=_YEAR_HOURS, help="For how long; 0 ends a silence.")] = 24,
) -> None:
    """Tell nobody of a measure for some hours; its alerts are kept."""
    from datetime import timedelta

    from foedus.core.clock import now, spell
    from foedus.core.messages import say
    from foedus.serve.watch.alerts import silence as keep_silent
    from foedus.serve.watch.book import Book
    from foedus.workspace import open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    until = spell(now() + timedelta(hours=hours))
    with Book.of(workspace.folder) as book:
        found = keep_silent(book, measure, until=until, by=workspace.party)
    here.say("monitor.cli.silenced", measure=say(f"monitor.measure.{measure}"), until=until)
    here.result("monitor.silence", {"measure": found.measure, "until": found.until, "by": found.by})


@app.command()
def report(
    *,
    release: Release = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write the report here: evidence to propose with.")
    ] = None,
) -> None:
    """What may leave this machine: the figures of the last look and of quality, none over too few answers."""
    from foedus.core.files import write_atomic
    from foedus.core.messages import say
    from foedus.serve.watch.watcher import report as made
    from foedus.workspace import consortium

    here = shell()
    workspace = caught_up()
    found = made(workspace.folder, consortium(workspace), party=workspace.party, release=release)
    level = say(f"monitor.level.{found.level}") if found.level else say("monitor.cli.calm")
    here.say("monitor.cli.report", party=found.party, first=found.first, last=found.last, looks=found.looks,
             level=level)  # fmt: skip
    _figures([one.model_dump(mode="json") for one in found.figures])
    wrong = say("monitor.cli.withheld") if found.quality.wrong is None else str(found.quality.wrong)
    here.say("monitor.cli.report-quality", judged=found.quality.judged, wrong=wrong)
    if out:
        write_atomic(out, found.to_bytes())
        here.say("monitor.cli.written", file=out)
    here.result("monitor.report", {"report": found.model_dump(mode="json"), "digest": found.digest,
                                   "file": str(out) if out else None})  # fmt: skip
    if out:
        here.next(
            f"foedus run propose --evidence {out} --why WHY --metric accuracy --now 0.7 --expected 0.8{here.at()}"
        )
    else:
        here.next(f"foedus monitor report --out watch-report.json{here.at()}")


def _tell(seen: Seen, *, quiet: bool = False) -> None:
    from foedus.core.messages import say

    here = shell()
    if seen.looks or not quiet:
        here.say("monitor.cli.looked", release=seen.release, looks=len(seen.looks), waiting=seen.waiting)
    for one in seen.alerts:
        level, measure = say(f"monitor.level.{one.level}"), say(f"monitor.measure.{one.measure}")
        here.say("monitor.cli.alert", alert=one.id, level=level, measure=measure)


def _newest(workspace: Path, release: str) -> dict[str, Any] | None:
    """The last look as data."""
    from foedus.serve.watch.show import shown_looks

    looks = shown_looks(workspace, release=release, size=1)
    if not looks:
        return None
    one = looks[0]
    return {"at": one.at, "since": one.since, "until": one.until, "figures": one.figures, "labels": one.labels}


def _figures(figures: list[dict[str, Any]]) -> None:
    """A look's figures as a table."""
    from foedus.core.messages import say

    head = [say(f"monitor.head.{name}") for name in ("measure", "test", "n", "statistic", "p", "moved")]
    withheld = say("monitor.cli.withheld")
    shell().table(
        head,
        [
            [say(f"monitor.measure.{one['measure']}"), one["detector"], f"{one['reference']} · {one['recent']}",
             one["statistic"] or withheld, one["p"] or withheld,
             say("monitor.cli.moved" if one["moved"] else "monitor.cli.still")]
            for one in figures
        ],
    )  # fmt: skip


def _alert(one: Alert) -> dict[str, Any]:
    return {
        "id": one.id, "release": one.release, "measure": one.measure, "level": one.level, "state": one.state,
        "opened_at": one.opened_at, "last_at": one.last_at, "detail": one.detail, "by": one.by, "note": one.note,
        "silenced_until": one.silenced_until,
    }  # fmt: skip
