"""`foedus gate`: what the gates say of a draft, and what its members say of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from foedus.cli.party import caught_up, coordinators, delivered
from foedus.cli.passphrase import known
from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.ledger.consortium import Tally
    from foedus.records.evidence import Verdict
    from foedus.release.paper import Paper
    from foedus.resident.link import Link
    from foedus.workspace import Workspace

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Judge a draft; approve it, object to it, waive a gate.")

Draft = Annotated[Path, typer.Argument(help="A draft or release: its folder or zip.", show_default=False)]
Voted = Annotated[
    str,
    typer.Argument(
        metavar="DRAFT",
        help="A draft's folder or zip; or what the hub has: NAME-VERSION or digest.",
        show_default=False,
    ),
]
Hub = Annotated[str | None, typer.Option("--hub", metavar="HOST:PORT", help="Where the hub is, if it has moved.")]
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
    path: Voted,
    votes: Annotated[list[Path] | None, typer.Argument(help="With --collect: the members' .vote files.")] = None,
    *,
    collect: Annotated[bool, typer.Option("--collect", help="As coordinator: enter these votes.")] = False,
    hub: Hub = None,
    out: Out = None,
    reason: Reason = "",
) -> None:
    """Verify a draft, see what is signed, and sign: vote, model and ledger head. Or collect such votes."""
    if collect:
        _collect(path, votes or [])
    else:
        _vote(path, "approve", reason, out, hub)


@app.command("object")
def object_(
    path: Voted,
    *,
    reason: Annotated[str, typer.Option(help="Why; everyone can read it.")],
    hub: Hub = None,
    out: Out = None,
) -> None:
    """Sign an objection to a draft."""
    _vote(path, "object", reason, out, hub)


@app.command()
def waive(
    path: Voted,
    gate: Annotated[str, typer.Argument(help="The gate's name.", show_default=False)],
    *,
    reason: Annotated[str, typer.Option(help="Why; everyone can read it.")],
    hub: Hub = None,
    out: Out = None,
) -> None:
    """Sign a vote to let one gate of a draft pass in public."""
    from foedus.core.errors import CallerError
    from foedus.release.desk import waive_gate

    here = shell()
    workspace, link = _at_desk(hub)
    draft = _draft(workspace, link, path)
    if not here.confirm("release.cli.ask"):
        raise CallerError("release.needs-confirmation")
    secret = known(None)
    data = waive_gate(workspace, draft, gate, reason=reason, passphrase=secret)
    said = _hand_on(workspace, link, data, out, secret, name=f"{workspace.party}.{gate}.vote", draft=draft)
    here.result("gate.waive", {"member": workspace.party, "gate": gate, **said})


def _vote(path: str, choice: Literal["approve", "object"], reason: str, out: Path | None, hub: str | None) -> None:
    from foedus.core.clock import now
    from foedus.core.errors import CallerError
    from foedus.release.desk import approve_draft
    from foedus.release.own_figures import with_own_figures
    from foedus.release.paper import paper_of

    here = shell()
    workspace, link = _at_desk(hub)
    workspace.require("member")
    draft = _draft(workspace, link, path)
    compare = with_own_figures(workspace)
    paper = paper_of(draft, anchor=workspace.page.anchor, at=now(), find=workspace.find, compare=compare)
    _show(paper, workspace.party, choice)
    if not here.confirm("release.cli.ask"):
        raise CallerError("release.needs-confirmation")
    secret = known(None)  # asked for again at a terminal: what was shown is what it unlocks the keys for
    data, _ = approve_draft(workspace, draft, choice=choice, reason=reason, passphrase=secret)
    said = _hand_on(workspace, link, data, out, secret, name=f"{workspace.party}.vote", draft=draft)
    proposal = paper.proposal.digest if paper.proposal else None
    here.result("gate.vote", {"member": workspace.party, "choice": choice, "proposal": proposal, **said})


def _at_desk(hub: str | None) -> tuple[Workspace, Link | None]:
    """This party's workspace, and the line to its hub, where there is one."""
    from foedus.core.clock import now
    from foedus.resident.join import line_of

    workspace = caught_up()
    return workspace, line_of(workspace, now, at=hub)


def _draft(workspace: Workspace, link: Link | None, name: str) -> Path:
    """The draft at a path; else the one that this party's ledger knows by that name, fetched from the hub."""
    from foedus.core.errors import CallerError
    from foedus.core.messages import say
    from foedus.resident.candidate import fetch_candidate, find_proposal
    from foedus.resident.join import sync
    from foedus.workspace import private_key

    path = Path(name)
    if path.exists():
        return path
    if link is None:
        raise CallerError("files.missing", path=name)
    secret = known(None)
    state = sync(workspace, link, passphrase=secret)
    proposal = find_proposal(state, name)
    act = private_key(workspace, "act", public=state.key(workspace.party, "act"), passphrase=secret)
    with shell().progress(say("release.cli.fetching")) as bar:
        told = -1

        def advance(done: int, total: int) -> None:
            nonlocal told
            if (tenth := 10 * done // max(total, 1)) > told:
                told = tenth
                bar.advance(done >> 10, total >> 10, "KiB")

        return fetch_candidate(workspace, link, proposal.digest, act=act, progress=advance)


def _hand_on(
    workspace: Workspace,
    link: Link | None,
    vote: bytes,
    out: Path | None,
    secret: str | None,
    *,
    name: str,
    draft: Path,
) -> dict[str, object]:
    """Send a vote to the hub, or write it to a file; what became of it, as data."""
    from foedus.core.files import write_atomic

    here = shell()
    sent = link is not None and delivered(workspace, secret, link)
    if sent:
        here.say("release.cli.vote-sent", member=workspace.party)
    if sent and out is None:
        return {"sent": True, "file": None}
    target = out or Path(name)
    write_atomic(target, vote)
    here.say("release.cli.vote-written", member=workspace.party, file=target)
    if not sent:
        here.next(f"foedus gate approve {draft} --collect {target}{coordinators(workspace)}")
    return {"sent": sent, "file": str(target)}


def _show(paper: Paper, member: str, choice: Literal["approve", "object"]) -> None:
    """Failures first, then the figures, then what changes, then what the keys will sign."""
    here, seen = shell(), paper.seen
    if seen.practice:
        here.say("release.practice")
    here.line(seen.headline)
    for failure in seen.failures:
        here.line(str(failure.why or failure.text))
    for line in paper.own:
        here.line(line)
    if paper.proposal is None:
        return
    if paper.verdicts:
        here.line()
        _table(paper.verdicts)
    if paper.previous:
        here.line()
        here.say("release.cli.against-previous", name=paper.previous)
        _compare(paper)
    here.line()
    here.say("release.cli.signs", member=member)
    for line in paper.signs(choice):
        here.line(f"  {line}")


def _compare(paper: Paper) -> None:
    """What the draft reaches beside the release in force, then which of their parts differ."""
    from foedus.core.messages import say

    here = shell()
    rows = [
        [
            one.member or say("web.evidence.all"),
            one.metric,
            one.draft.estimate,
            one.current.estimate if one.current else "",
            f"{float(one.change):+.4f}" if one.change is not None else "",
        ]
        for one in paper.beside
    ]
    words = ("release.cli.head-member", "release.cli.head-figure", "web.gates.candidate", "web.gates.current",
             "web.gates.change")  # fmt: skip
    here.table([say(word) for word in words], rows)
    for change in paper.changes:
        here.line(f"  {say(f'node_page.field.{change.field}')}: {change.old} → {change.new}")


def _collect(path: str, votes: list[Path]) -> None:
    from foedus.core.files import read_bytes
    from foedus.release.desk import collect_ballots, find_release
    from foedus.workspace import open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    folder = find_release(workspace, path)
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
    from foedus.release.paper import reason_text

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
                reason_text(verdict.reason),
            ]
        )
    here.table([say(f"release.cli.head-{column}") for column in columns], rows)
