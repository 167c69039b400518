"""`foedus run tune`: search for better settings, as the accord's clause `tune` allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from foedus.cli.passphrase import known
from foedus.cli.shell import shell
from foedus.cli.watch import watching

if TYPE_CHECKING:
    from foedus.search import Found

__all__ = ["tune"]


def tune(
    workers: Annotated[int | None, typer.Option(help="Processes to work on; by default one a core.")] = None,
) -> None:
    """Try settings across the federation, trial by trial; a search that was interrupted goes on with the next."""
    from foedus.core.messages import say
    from foedus.practice import open_practice, tune_here
    from foedus.track.words import loss_text
    from foedus.workspace import open_workspace

    here = shell()
    hub = open_workspace(here.workspace)
    hub.require("coordinator")
    practice = open_practice(here.workspace, passphrase=known(None))
    with watching() as report:
        found = tune_here(practice, workers=workers, report=report)
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
