"""`foedus run`: carry a run, see where it stands, and keep the replies that a replay needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.records.evidence import Examination
    from foedus.run import Event

app = typer.Typer(no_args_is_help=True, help="Start, resume and look at runs (coordinator).")

Run = Annotated[str, typer.Argument(help="The run, such as run-1.")]


@app.command()
def start(
    name: Annotated[str | None, typer.Option(help="A name for the run; by default the next number.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes to work on; by default one a core.")] = None,
) -> None:
    """Carry a run from its opening to its evidence; one that was interrupted goes on."""
    from foedus.practice import open_practice, run_here

    here = shell()
    practice = open_practice(here.workspace, passphrase=here.passphrase)
    if name is not None:
        (practice.hub.folder / "runs" / name / "stop").unlink(missing_ok=True)
    outcome = run_here(practice, name=name, workers=workers, report=_tell)
    _figures(outcome.examination)
    here.result(
        "run.start",
        {
            "run": outcome.run,
            "state": outcome.state,
            "rounds": outcome.rounds,
            "released_round": outcome.released_round,
            "evidence": outcome.evidence,
            "figures": [figure.model_dump(mode="json") for figure in outcome.examination.figures],
        },
    )
    here.next("foedus credit show", f"foedus release build --run {outcome.run} --version 1.0")


@app.command()
def resume(
    name: Run, workers: Annotated[int | None, typer.Option(help="Processes to work on; by default one a core.")] = None
) -> None:
    """Carry on with a run that was stopped or interrupted, from its last closed round."""
    start(name=name, workers=workers)


@app.command()
def stop(name: Run) -> None:
    """Ask a run to stop after the round that it is in; `resume` carries on."""
    from foedus.core.errors import CallerError
    from foedus.core.files import write_atomic
    from foedus.workspace import consortium, open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    known = consortium(workspace).runs
    if name not in known:
        raise CallerError("run.unknown", got=name, known=", ".join(known) or "–")
    write_atomic(workspace.folder / "runs" / name / "stop", b"")
    here.say("run.cli.stopping", run=name)
    here.result("run.stop", {"run": name})


@app.command("list")
def list_runs() -> None:
    """The runs of this consortium and where each stands."""
    from foedus.core.messages import say
    from foedus.workspace import consortium, open_workspace

    here = shell()
    state = consortium(open_workspace(here.workspace))
    rows = [_summary(name, run) for name, run in state.runs.items()]
    if rows:
        head = [say(f"run.cli.head-{column}") for column in ("run", "round", "members", "outcome")]
        here.table(head, [[r["run"], str(r["round"]), ", ".join(r["roster"]), r["outcome"]] for r in rows])
    else:
        here.say("run.cli.none")
    here.result("run.list", {"runs": rows})


@app.command()
def show(name: Run) -> None:
    """A run round by round: who entered with what weight, who was left out and why, the loss."""
    from foedus.core.errors import CallerError
    from foedus.core.messages import say
    from foedus.records.evidence import Examination
    from foedus.workspace import consortium, open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    state = consortium(workspace)
    if name not in state.runs:
        raise CallerError("run.unknown", got=name, known=", ".join(state.runs) or "–")
    run = state.runs[name]
    for close in run.closes:
        used = ", ".join(f"{one.member} ({float(one.weight):.3f})" for one in close.used)
        here.line(say("run.cli.round", round=close.round, loss=close.validation_loss or "–", used=used))
        for one in close.left_out:
            here.line("  " + say("run.cli.left-out", member=one.member, code=one.code))
    figures = []
    for entered in state.evidence.values():
        if entered.run == name and (data := workspace.find(entered.evidence)):
            examination = Examination.from_bytes(data)
            _figures(examination)
            figures = [figure.model_dump(mode="json") for figure in examination.figures]
    rounds = [close.model_dump(mode="json") for close in run.closes]
    here.result("run.show", {**_summary(name, run), "rounds": rounds, "figures": figures})


@app.command("export-replies")
def export_replies(
    name: Run, folder: Annotated[Path, typer.Argument(help="Where to put them; a new or empty folder.")]
) -> None:
    """Write what `foedus verify BUNDLE --replay FOLDER` recomputes a release from. It is never part of a bundle."""
    from foedus.core.digest import sha256
    from foedus.replay import export_replies as export
    from foedus.workspace import consortium, open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    asks = {}
    for path in sorted((workspace.folder / "runs" / name / "asks").glob("*/*.json")):
        data = path.read_bytes()
        asks[sha256(data)] = data
    count = export(consortium(workspace), name, asks=asks, store=workspace.objects, target=folder)
    here.say("run.cli.exported", count=count, folder=folder)
    here.result("run.export-replies", {"run": name, "replies": count, "folder": str(folder)})
    here.next(f"foedus verify BUNDLE --replay {folder}")


def _summary(name: str, run: Any) -> dict[str, Any]:
    outcome = run.close.outcome if run.close else "open"
    return {"run": name, "round": run.round, "roster": list(run.opened.roster), "outcome": outcome}


def _tell(event: Event) -> None:
    """An event of a run as a line on stderr: a round with who was in it, and what became of the others."""
    from foedus.core.messages import say

    fields, here = event.fields, shell()
    if event.kind == "opened":
        here.note(
            say("run.cli.opened", run=fields["run"], members=", ".join(fields["roster"]), rounds=fields["rounds"])
        )  # type: ignore[arg-type]  # a tuple of names
    elif event.kind == "resumed":
        here.note(say("run.cli.resumed", run=fields["run"], round=fields["round"]))
    elif event.kind == "answered":
        key = "run.cli.failed" if fields["code"] else "run.cli.answered"
        here.note(say(key, **dict(fields)))
    elif event.kind == "round":
        here.note(say("run.cli.closed", round=fields["round"], loss=fields["loss"] or "–"))


def _figures(examination: Examination) -> None:
    """The figures as a table: each metric of each arm, for all members and for each, with n and interval."""
    from foedus.core.messages import say

    head = [say(f"run.cli.head-{column}") for column in ("member", "arm", "metric", "n", "estimate", "interval")]
    rows = [
        [
            figure.member or say("run.cli.all"),
            say(f"run.cli.arm-{figure.arm}"),
            figure.metric,
            str(figure.n),
            f"{float(figure.estimate):.3f}",
            f"{float(figure.low):.3f} – {float(figure.high):.3f}",
        ]
        for figure in examination.figures
    ]
    shell().table(head, rows)
