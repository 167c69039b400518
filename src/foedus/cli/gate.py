"""`foedus gate`: what the gates say of a draft, and what its members say of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from foedus.cli.party import caught_up, coordinators
from foedus.cli.passphrase import known
from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.ledger.consortium import Tally
    from foedus.records.evidence import Verdict
    from foedus.release.verify import Verification

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Judge a draft; approve it, object to it, waive a gate.")

Draft = Annotated[Path, typer.Argument(help="A draft or release: its folder or zip.", show_default=False)]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Where the vote is written.")]
Reason = Annotated[str, typer.Option(help="Why; everyone can read it.")]


@app.command()
def check(path: Draft) -> None:
    """Judge a draft or release anew by the accord's gates. Exit code 6 unless all are clear."""
    from foedus.gates import all_clear, cleared, judge
    from foedus.records.accord import Accord
    from foedus.records.evidence import Examination
    from foedus.records.release import Proposal
    from foedus.release.bundle import opened
    from foedus.release.propose import inspected

    here = shell()
    with opened(path) as folder:
        accord = Accord.from_bytes((folder / "accord/accord.json").read_bytes())
        proposal = Proposal.from_bytes((folder / "report/proposal.json").read_bytes())
        whole = folder / "objects" / f"{proposal.evidence.removeprefix('sha256:')}.json"
        evidence = whole if whole.is_file() else folder / "report/examination.json"
        examination = Examination.from_bytes(evidence.read_bytes())
        verdicts = judge(accord, examination, inspected(accord, folder / "model"))
    lines = cleared(accord, verdicts, set())
    _table(verdicts)
    here.line()
    blocked = [f"{line.gate} ({line.outcome})" for line in lines if not line.clear]
    here.say("release.cli.not-clear" if blocked else "release.cli.clear", gates=", ".join(blocked))
    data = {"verdicts": [v.model_dump(mode="json") for v in verdicts], "clear": all_clear(lines)}
    here.result("gate.check", data)
    if blocked:
        raise typer.Exit(6)


@app.command("list")
def list_() -> None:
    """The gates of the accord in force, with their thresholds."""
    from foedus.core.errors import CallerError
    from foedus.workspace import consortium, open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    accord = consortium(workspace).accord
    if accord is None:
        raise CallerError("workspace.no-accord", party=workspace.party)
    gates = [gate.model_dump(mode="json") for gate in accord.gates]
    for gate in gates:
        settings = ", ".join(f"{key} {value}" for key, value in gate.items() if key != "name")
        here.line(f"{gate['name']}: {settings}")
    here.result("gate.list", {"gates": gates})


@app.command()
def approve(
    path: Draft,
    votes: Annotated[list[Path] | None, typer.Argument(help="With --collect: the members' .vote files.")] = None,
    *,
    collect: Annotated[bool, typer.Option("--collect", help="As coordinator: enter these votes.")] = False,
    out: Out = None,
    reason: Reason = "",
) -> None:
    """Verify a draft, see what is signed, and sign: vote, model and ledger head. Or collect such votes."""
    if collect:
        _collect(path, votes or [])
    else:
        _vote(path, "approve", reason, out)


@app.command("object")
def object_(
    path: Draft, *, reason: Annotated[str, typer.Option(help="Why; everyone can read it.")], out: Out = None
) -> None:
    """Sign an objection to a draft."""
    _vote(path, "object", reason, out)


@app.command()
def waive(
    path: Draft,
    gate: Annotated[str, typer.Argument(help="The gate's name.", show_default=False)],
    *,
    reason: Annotated[str, typer.Option(help="Why; everyone can read it.")],
    out: Out = None,
) -> None:
    """Sign a vote to let one gate of a draft pass in public."""
    from foedus.core.errors import CallerError
    from foedus.core.files import write_atomic
    from foedus.release.desk import waive_gate

    here = shell()
    workspace = caught_up()
    if not here.confirm("release.cli.ask"):
        raise CallerError("release.needs-confirmation")
    data = waive_gate(workspace, path, gate, reason=reason, passphrase=known(None))
    target = out or Path(f"{workspace.party}.{gate}.vote")
    write_atomic(target, data)
    here.say("release.cli.vote-written", member=workspace.party, file=target)
    here.result("gate.waive", {"member": workspace.party, "gate": gate, "file": str(target)})
    here.next(f"foedus gate approve {path} --collect {target}{coordinators(workspace)}")


def _vote(path: Path, choice: Literal["approve", "object"], reason: str, out: Path | None) -> None:
    from foedus.core.clock import now
    from foedus.core.errors import CallerError
    from foedus.core.files import write_atomic
    from foedus.release.desk import approve_draft
    from foedus.release.verify import verify_bundle

    here = shell()
    workspace = caught_up()
    workspace.require("member")
    seen = verify_bundle(path, anchor=workspace.page.anchor, at=now(), draft=True)
    _show_signed(path, seen, workspace.party, choice)
    if not here.confirm("release.cli.ask"):
        raise CallerError("release.needs-confirmation")
    data, _ = approve_draft(workspace, path, choice=choice, reason=reason, passphrase=known(None))
    target = out or Path(f"{workspace.party}.vote")
    write_atomic(target, data)
    here.say("release.cli.vote-written", member=workspace.party, file=target)
    proposal = seen.proposal.digest if seen.proposal else None
    here.result("gate.vote", {"member": workspace.party, "choice": choice, "proposal": proposal, "file": str(target)})
    here.next(f"foedus gate approve {path} --collect {target}{coordinators(workspace)}")


def _show_signed(path: Path, seen: Verification, member: str, choice: str) -> None:
    """Failures first, then the figures, then what the keys will sign."""
    from foedus.core.digest import short
    from foedus.records.evidence import Verdicts
    from foedus.release.bundle import opened

    here = shell()
    if seen.practice:
        here.say("release.practice")
    here.line(seen.headline)
    for failure in seen.failures:
        here.line(str(failure.why or failure.text))
    if seen.proposal is None:
        return
    with opened(path) as folder:
        if (folder / "report/verdicts.json").is_file():
            here.line()
            _table(Verdicts.from_bytes((folder / "report/verdicts.json").read_bytes()).verdicts)
    _show_change(seen)
    here.line()
    here.say("release.cli.signs", member=member)
    here.say("release.cli.signs-vote", choice=choice, digest=short(seen.proposal.digest))
    if choice == "approve":
        here.say("release.cli.signs-model", digest=short(seen.proposal.model))
        here.say("release.cli.signs-head", size=seen.consortium.size if seen.consortium else 0)


def _show_change(seen: Verification) -> None:
    """What differs from the release that this one would replace."""
    from foedus.core.digest import short

    here, proposal = shell(), seen.proposal
    before = seen.consortium.proposals.get(proposal.previous or "") if seen.consortium and proposal else None
    if proposal is None or before is None:
        return
    old = before.proposal
    here.line()
    here.say("release.cli.against-previous", name=f"{old.name} {old.version}")
    for field in ("accord", "base", "run", "model", "evidence", "credit"):
        was, now = getattr(old, field), getattr(proposal, field)
        if was != now:
            here.line(f"  {field}: {short(was or '')} → {short(now or '')}")


def _collect(path: Path, votes: list[Path]) -> None:
    from foedus.core.files import read_bytes
    from foedus.release.desk import collect_ballots, find_release
    from foedus.workspace import open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    folder = find_release(workspace, str(path))
    tally = collect_ballots(workspace, folder, [read_bytes(vote) for vote in votes], passphrase=known(None))
    here.result("gate.collect", tell_count(tally))
    if tally.outcome == "approved":
        here.next(f"foedus release build {folder.name}{here.at()}")


def tell_count(tally: Tally) -> dict[str, object]:
    """Say how a vote stands, and give it as data."""
    from foedus.core.messages import say

    nobody = say("release.cli.nobody")
    shell().say(
        "release.cli.counted",
        approved=len(tally.approved),
        needed=tally.needed,
        objected=", ".join(tally.objected) or nobody,
        missing=", ".join(tally.missing) or nobody,
    )
    return {
        "needed": tally.needed,
        "approved": tally.approved,
        "objected": tally.objected,
        "missing": tally.missing,
        "outcome": tally.outcome,
    }


def _table(verdicts: tuple[Verdict, ...]) -> None:
    """Verdicts, failures first."""
    from foedus.core.messages import say

    here = shell()
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    columns = ("outcome", "gate", "member", "figure", "n", "interval", "threshold", "why")
    rows = []
    for verdict in sorted(verdicts, key=lambda v: order[v.outcome]):
        interval = f"{verdict.low} – {verdict.high}" if verdict.low is not None else ""
        figure = f"{verdict.metric} {verdict.estimate or ''}" if verdict.metric else ""
        rows.append(
            [
                say(f"gates.outcome.{verdict.outcome}"),
                verdict.gate,
                verdict.member or "",
                figure.strip(),
                str(verdict.n),
                interval,
                verdict.threshold,
                _why(verdict.reason),
            ]
        )
    here.table([say(f"release.cli.head-{column}") for column in columns], rows)


def _why(reason: str) -> str:
    from foedus.core.messages import say

    try:
        return say(f"gates.reason.{reason}")
    except KeyError:
        return reason
