"""`foedus run tune`: search for better settings, as the accord's clause `tune` allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from foedus.cli.passphrase import known
from foedus.cli.shell import shell
from foedus.cli.watch import watching

if TYPE_CHECKING:
    from foedus.search import Found
    from foedus.track.event import Report

__all__ = ["tune"]

_LOOK_SECONDS = 0.5


def tune(
    workers: Annotated[int | None, typer.Option(help="Processes to work on; by default one a core.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="inprocess (default), or flower: over many machines, by the hub.")
    ] = None,
) -> None:
    """Try settings across the federation, trial by trial; a search that was interrupted goes on with the next."""
    from foedus.core.errors import CallerError
    from foedus.core.messages import say
    from foedus.track.words import loss_text
    from foedus.workspace import open_workspace

    here = shell()
    hub = open_workspace(here.workspace)
    hub.require("coordinator")
    if engine not in (None, "inprocess", "flower"):
        raise CallerError("run.unknown-engine", got=engine)
    with watching() as report:
        found = _in_hub(report) if engine == "flower" else _here(workers, report)
    _table(found)
    best = found.best
    if best is not None:
        here.line()
        here.line(say("search.best", number=best.trial.number, loss=loss_text(best.loss)))
        for path, value in best.trial.settings.items():
            here.line(f"  {path}: {value}")
        here.say("search.amend", draft=hub.draft)
    else:
        here.say("search.none")
    trials = [
        {
            "number": one.trial.number, "run": one.run, "outcome": one.outcome, "settings": one.trial.settings,
            "losses": one.losses,
        }
        for one in found.trials
    ]  # fmt: skip
    here.result("run.tune", {"trials": trials, "best": best.trial.number if best else None})
    if best is not None:
        here.next(f"foedus accord amend {hub.draft}{here.at()}")


def _here(workers: int | None, report: Report) -> Found:
    """The search in this process, which holds every key."""
    from foedus.practice import open_practice, tune_here

    return tune_here(open_practice(shell().workspace, passphrase=known(None)), workers=workers, report=report)


def _in_hub(report: Report) -> Found:
    """The search in the hub's process; an interrupt here leaves it going there."""
    from time import sleep

    from foedus.core.messages import say
    from foedus.hub.follow import follow_search

    try:
        return follow_search(shell().workspace, report=report, pause=lambda: sleep(_LOOK_SECONDS))
    except KeyboardInterrupt:
        shell().note(say("search.follow"))
        raise


def _table(found: Found) -> None:
    from foedus.core.messages import say
    from foedus.track.words import loss_text

    paths = list(found.trials[0].trial.settings)
    head = [say("search.head-run"), *(path.rpartition(".")[2] for path in paths)]
    head += [say("search.head-rounds"), say("search.head-loss"), say("search.head-outcome")]
    rows = [
        [
            one.run,
            *(one.trial.settings[path] for path in paths),
            str(len(one.losses)),
            loss_text(one.loss),
            say(f"run.cli.outcome-{one.outcome}"),
        ]
        for one in found.trials
    ]
    shell().table(head, rows)
