"""`foedus run log` and `foedus run compare`: what happened in a run, and runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.cli.shell import shell
from foedus.cli.watch import logging_to

if TYPE_CHECKING:
    from foedus.track.event import Event
    from foedus.workspace.compared import Compared, Comparison

__all__ = ["compare", "log"]


def log(
    name: Annotated[str, typer.Argument(help="The run, such as run-1.")],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until the run ends.")] = False,
    member: Annotated[str | None, typer.Option(help="Only what is about this member.")] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--log",
            metavar="NAME:FOLDER",
            help="Also log what is not logged there yet to tensorboard, mlflow, wandb or trackio (repeat it).",
        ),
    ] = None,
) -> None:
    """What happened in a run, line by line, whether it goes on in another terminal or is long over."""
    import time

    from foedus.core.errors import CallerError
    from foedus.records.acts import run_name
    from foedus.track.kept import EVENTS, read_events, tail
    from foedus.track.words import line_of
    from foedus.workspace import consortium, open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    workspace.require("coordinator")
    path = workspace.folder / "runs" / run_name(name) / EVENTS
    if not path.exists():
        known = consortium(workspace).runs
        raise CallerError("run.no-log" if name in known else "run.unknown", got=name, known=", ".join(known) or "–")
    shown = []
    with logging_to(targets or ()) as feed:
        for event in tail(path, wait=lambda: time.sleep(0.5)) if follow else read_events(path)[0]:
            feed(event)
            if member is None or _is_about(event, member):
                shown.append(event)
                if text := line_of(event):
                    here.line(f"{event.at}  {text}")
    here.result("run.log", {"run": name, "events": [event.to_json() for event in shown]})


def _is_about(event: Event, member: str) -> bool:
    fields = event.fields
    named = (fields.get("member"), *fields.get("members", ()), *fields.get("used", ()), *fields.get("left_out", ()))
    return member in named


def compare(
    names: Annotated[list[str], typer.Argument(help="Two runs or more.", metavar="RUN...")],
) -> None:
    """Runs side by side: what was agreed otherwise, rounds, losses, figures, who was used, whether the state is one."""
    from dataclasses import asdict

    from foedus.workspace import consortium, open_workspace
    from foedus.workspace.compared import compare as side_by_side

    here = shell()
    workspace = open_workspace(here.workspace)
    found = side_by_side(consortium(workspace), names, workspace.find)
    _show(found)
    runs = [{**asdict(run), "figures": [one.model_dump(mode="json") for one in run.figures]} for run in found.runs]
    data = {"runs": runs, "settings": found.settings, "same_state": found.same_state}
    here.result("run.compare", data)


def _show(found: Comparison) -> None:
    from foedus.core.digest import short
    from foedus.core.messages import say
    from foedus.track.words import loss_text

    here = shell()
    rows: list[list[str]] = []

    def row(key: str, values: list[Any], **fields: Any) -> None:
        rows.append([say(f"run.compare.{key}", **fields), *("–" if v in (None, "") else str(v) for v in values)])

    runs = found.runs
    row("outcome", [say(f"run.cli.outcome-{run.outcome}") for run in runs])
    row("rounds", [run.rounds for run in runs])
    row("released", [run.released_round for run in runs])
    row("start", [short(run.start) for run in runs])
    row("state", [short(run.state) if run.state else None for run in runs])
    for number in range(max(run.rounds for run in runs)):
        losses = [loss_text(run.losses[number]) if number < run.rounds else None for run in runs]
        row("loss", losses, round=number + 1)
    for arm, metric in dict.fromkeys((one.arm, one.metric) for run in runs for one in run.figures):
        row("figure", [_figure(run, arm, metric) for run in runs], arm=say(f"run.cli.arm-{arm}"), metric=metric)
    for member in sorted({member for run in runs for member in run.used}):
        row("used", [f"{run.used[member]}/{run.rounds}" if member in run.used else None for run in runs], member=member)
    here.table(["", *(run.run for run in runs)], rows)
    here.line()
    if found.settings:
        here.say("run.compare.settings")
        width = 60
        cells = [[path, *(_cell(value, width) for value in values)] for path, values in found.settings.items()]
        here.table(["", *(run.run for run in runs)], cells)
    else:
        here.say("run.compare.no-settings")
    closed = all(run.state for run in runs)
    here.say("run.compare.same" if found.same_state else "run.compare.other" if closed else "run.compare.open")


def _figure(run: Compared, arm: str, metric: str) -> str | None:
    for one in run.figures:
        if (one.arm, one.metric) == (arm, metric):
            return f"{float(one.estimate):.3f} ({float(one.low):.3f} – {float(one.high):.3f})"
    return None


def _cell(value: Any, width: int) -> str:
    import json

    text = value if isinstance(value, str) else "–" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= width else text[: width - 1] + "…"
