"""`foedus run simulate`: many invented members on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.track.event import Event


def simulate(
    accord: Annotated[Path, typer.Argument(metavar="ACCORD", help="An accord with `members: {simulated: N}`.")],
    data: Annotated[Path, typer.Option("--data", help="A mapping such as a member's data.yaml; all draw from it.")],
    folder: Annotated[Path, typer.Option("-o", "--output", help="Where it keeps what it needs to go on.")],
    workers: Annotated[int | None, typer.Option(help="Processes to work on; by default one a core.")] = None,
) -> None:
    """Try an accord with many simulated members: nothing is signed, nothing can be released."""
    from foedus.accord import open_accord
    from foedus.core.digest import short
    from foedus.core.messages import say
    from foedus.simulate import simulate as carry

    here = shell()
    with here.progress(say("simulate.cli.progress")) as bar:
        asked, answered = 0, 0

        def report(event: Event) -> None:
            nonlocal asked, answered
            if event.kind == "asked":
                asked, answered = len(event.fields["members"]), 0
            elif event.kind in ("answered", "refused", "failed", "late", "gone"):
                answered += 1
                if answered == asked or answered % max(1, asked // 10) == 0:
                    bar.advance(answered, asked, say("simulate.cli.round", round=event.fields["round"]))

        done = carry(open_accord(accord).accord, data, folder, workers=workers, report=report)
    here.say("simulate.cli.done", members=done.members, rounds=done.rounds, state=short(done.state))
    figures = done.examination.figures if done.examination else ()
    for figure in figures:
        here.line(f"  {figure.metric}  {figure.estimate}  ({figure.low} – {figure.high}, n = {figure.n})")
    here.result(
        "run.simulate",
        {
            "members": done.members,
            "rounds": done.rounds,
            "state": done.state,
            "figures": [figure.model_dump(mode="json") for figure in figures],
        },
    )
