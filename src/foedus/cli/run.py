"""`foedus run`: carry a run, see where it stands, and keep the replies that a replay needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.cli.passphrase import known
from foedus.cli.shell import shell
from foedus.cli.simulate import simulate
from foedus.cli.watch import watching

if TYPE_CHECKING:
    from foedus.ledger.consortium import RunState
    from foedus.records.evidence import Examination
    from foedus.run import Outcome
    from foedus.track.event import Report

app = typer.Typer(no_args_is_help=True, help="Start, resume and look at runs (coordinator).")

Run = Annotated[str, typer.Argument(help="The run, such as run-1.")]
Log = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME:FOLDER",
        envvar="FOEDUS_LOG",
        help="Log to tensorboard, mlflow, wandb (offline) or trackio too (repeat it).",
    ),
]
Engine = Annotated[str | None, typer.Option(help="inprocess (default), or flower: over many machines, by the hub.")]
Proposal = Annotated[
    str | None,
    typer.Option(help="An approved proposal, or `last`: start from the release that it names instead of the base."),
]
_LOOK_SECONDS = 0.5


@app.command()
def start(
    name: Annotated[str | None, typer.Option(help="A name for the run; by default the next number.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes to work on; by default one a core.")] = None,
    engine: Engine = None,
    log: Log = None,
    proposal: Proposal = None,
) -> None:
    """Carry a run from its opening to its evidence; one that was interrupted goes on."""
    from foedus.core.digest import short
    from foedus.core.errors import CallerError
    from foedus.records.acts import run_name
    from foedus.workspace import consortium, open_workspace
    from foedus.workspace.proposing import find_proposal

    here = shell()
    hub = open_workspace(here.workspace)
    hub.require("coordinator")
    if name is not None:
        run_name(name)
    carried_out = find_proposal(consortium(hub), proposal) if proposal else None
    if engine not in (None, "inprocess", "flower"):
        raise CallerError("run.unknown-engine", got=engine)
    if engine is None and name is not None and (before := consortium(hub).runs.get(name)):
        engine = before.opened.engine
    with watching(log or ()) as report:
        outcome = (
            _in_hub(name, carried_out, report) if engine == "flower" else _here(name, carried_out, workers, report)
        )
    released = f"{outcome.released_round}"
    here.say("run.cli.ended", run=outcome.run, state=short(outcome.state), released=released, rounds=outcome.rounds)
    here.say("run.cli.examined")
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
    credit = [f"foedus credit show{here.at()}"] if outcome.credit else []
    here.next(*credit, f"foedus release build --run {outcome.run} --version 1.0{here.at()}")


def _here(name: str | None, proposal: str | None, workers: int | None, report: Report) -> Outcome:
    """The run in this process, which holds every key."""
    from foedus.practice import open_practice, run_here

    practice = open_practice(shell().workspace, passphrase=known(None))
    return run_here(practice, name=name, proposal=proposal, workers=workers, report=report)


def _in_hub(name: str | None, proposal: str | None, report: Report) -> Outcome:
    """The run in the hub's process; an interrupt here leaves it going there."""
    from time import sleep

    from foedus.core.messages import say
    from foedus.hub.follow import begin, follow

    folder = shell().workspace
    begun = begin(folder, name, proposal=proposal)
    try:
        return follow(folder, begun, report=report, pause=lambda: sleep(_LOOK_SECONDS))
    except KeyboardInterrupt:
        shell().note(say("hub.cli.follow", run=begun.run, at=shell().at()))
        raise


@app.command()
def resume(
    name: Run,
    workers: Annotated[int | None, typer.Option(help="Processes to work on; by default one a core.")] = None,
    engine: Engine = None,
    log: Log = None,
) -> None:
    """Carry on with a run that was stopped or interrupted, from its last closed round."""
    from foedus.core.errors import CallerError
    from foedus.hub.marker import marked
    from foedus.workspace import consortium, open_workspace

    hub = open_workspace(shell().workspace)
    hub.require("coordinator")
    runs, carried = consortium(hub).runs, marked(hub.folder)
    if name not in runs and (carried is None or carried.run != name):
        raise CallerError("run.unknown", got=name, known=", ".join(runs) or "–")
    start(name=name, workers=workers, engine=engine, log=log)


@app.command()
def stop(name: Run) -> None:
    """Ask a run to stop after the round that it is in; `resume` carries on."""
    from foedus.core.errors import CallerError, RunError
    from foedus.core.files import write_atomic
    from foedus.workspace import consortium, open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    workspace.require("coordinator")
    runs = consortium(workspace).runs
    if name not in runs:
        raise CallerError("run.unknown", got=name, known=", ".join(runs) or "–")
    if runs[name].close is not None:
        raise RunError("run.over", run=name)
    write_atomic(workspace.folder / "runs" / name / "stop", b"")
    here.say("run.cli.stopping", run=name)
    here.result("run.stop", {"run": name})
    here.next(f"foedus run resume {name}{here.at()}")


app.command()(simulate)


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
        here.table(
            head,
            [[one, str(r.round), ", ".join(r.opened.roster), _outcome_text(r)] for one, r in state.runs.items()],
        )
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
    standing, state_now = _outcome_text(run), run.close.state if run.close else "–"
    here.line(say("run.cli.standing", run=name, outcome=standing, state=state_now))
    if run.opened.proposal:
        found = state.run_proposals[run.opened.proposal]
        release = state.proposals[found.act.release].proposal
        here.say("run.cli.from-release", release=f"{release.name}-{release.version}", by=found.by, why=found.act.why)
    for close in run.closes:
        used = ", ".join(f"{one.member} ({float(one.weight):.3f})" for one in close.used)
        here.line(say("run.cli.round", round=close.round, loss=_loss(close.validation_loss), used=used))
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
    from foedus.core.clock import now
    from foedus.core.digest import sha256
    from foedus.records.acts import run_name
    from foedus.release.desk import releases
    from foedus.replay import export_replies as export
    from foedus.workspace import consortium, open_workspace, prune_when_idle

    here = shell()
    workspace = open_workspace(here.workspace)
    workspace.require("coordinator")
    asks = {}
    for path in sorted((workspace.folder / "runs" / run_name(name) / "asks").glob("*/*.json")):
        data = path.read_bytes()
        asks[sha256(data)] = data
    state, at = consortium(workspace), now()
    prune_when_idle(workspace, at=at)
    count = export(state, name, asks=asks, store=workspace.objects, target=folder, at=at)
    here.say("run.cli.exported", count=count, folder=folder)
    here.result("run.export-replies", {"run": name, "replies": count, "folder": str(folder)})
    published = [one for one in releases(workspace) if one.proposal.run == name and one.standing == "published"]
    anchor = state.anchor or ""
    here.next(*(f"foedus verify {one.folder} --anchor {anchor} --replay {folder}" for one in published))


def _summary(name: str, run: RunState) -> dict[str, Any]:
    return {
        "run": name,
        "round": run.round,
        "roster": list(run.opened.roster),
        "outcome": _outcome(run),
        "proposal": run.opened.proposal,
    }


def _outcome(run: RunState) -> str:
    return run.close.outcome if run.close else "open"


def _outcome_text(run: RunState) -> str:
    from foedus.core.messages import say

    return say(f"run.cli.outcome-{_outcome(run)}")


def _loss(loss: str | None) -> str:
    return f"{float(loss):.4f}" if loss else "–"


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
