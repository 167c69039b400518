"""`run report`, `credit statement`, `release certificate`, `release audit`: what is read on paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.cli.shell import shell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from foedus.report import Released
    from foedus.track.event import Event
    from foedus.workspace import Workspace

__all__ = ["Anchor", "Named", "audit", "certificate", "report", "seen_with", "statement"]

Named = Annotated[str, typer.Argument(help="NAME-VERSION in this workspace, or a path.", show_default=False)]
Anchor = Annotated[
    str | None, typer.Option(help="Digest of the first accord, or a file with it; by default what is known here.")
]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="The page to write (.html, or .pdf to print it, too); its data: .json."),
]
Pdf = Annotated[bool, typer.Option("--pdf", help="Also print it as PDF, by Chromium.")]


def report(
    name: Annotated[str, typer.Argument(help="The run, such as run-1.", metavar="RUN")],
    *,
    out: Out = None,
    pdf: Pdf = False,
) -> None:
    """Write the report of a run: what was agreed, who entered each round, figures with n and interval, credit."""
    from foedus.core.clock import now
    from foedus.ledger import Ledger
    from foedus.report import run_report
    from foedus.workspace import consortium, open_workspace

    workspace = open_workspace(shell().workspace)
    made = run_report(
        consortium(workspace),
        name,
        find=workspace.find,
        leaves=tuple(Ledger(workspace.ledger).leaves()),
        at=now(),
        events=_events(workspace, name),
    )
    shell().result("run.report", _written(made, out or Path(f"{name}-report.html"), pdf=pdf))
    shell().next(f"foedus run show {name}{shell().at()}")


def statement(
    name: Named,
    *,
    member: Annotated[
        list[str] | None, typer.Option(help="Whose (repeat it); by default this member's, or everybody's.")
    ] = None,
    anchor: Anchor = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The page to write (.html); of several members, the folder.")
    ] = None,
    pdf: Pdf = False,
) -> None:
    """Write a member's contribution statement: one page a member and release."""
    from foedus.report import require_verified
    from foedus.report import statement as made_for

    here = shell()
    released, workspace = _look(name, anchor)
    require_verified(released)
    members = member or _whose(released, workspace)
    run = released.proposal.run if released.proposal else ""
    events = list(_events(workspace, run)) if workspace else []
    pages = [made_for(released, one, events=events) for one in members]
    if len(pages) == 1:
        target = out or Path(f"{released.name}-statement-{members[0]}.html")
        here.result("credit.statement", {"statements": [_written(pages[0], target, pdf=pdf)]})
        return
    folder = out or Path(f"{released.name}-statements")
    written = [_written(page, folder / f"{one}.html", pdf=pdf) for page, one in zip(pages, members, strict=True)]
    here.say("report.cli.statements", count=len(pages), folder=folder)
    here.result("credit.statement", {"statements": written})


def certificate(name: Named, *, anchor: Anchor = None, out: Out = None, pdf: Pdf = False) -> None:
    """Write the certificate of a release that verifies: one page with approvals, gates and validity."""
    from foedus.report import certificate as certified

    released, _ = _look(name, anchor)
    written = _written(certified(released), out or Path(f"{released.name}-certificate.html"), pdf=pdf)
    shell().result("release.certificate", written)
    shell().next(*_rerun(released, None))


def audit(
    name: Named,
    *,
    anchor: Anchor = None,
    auditor: Annotated[str, typer.Option(help="Who answers for the report.")] = "",
    replay: Annotated[Path | None, typer.Option(help="Recompute the run from these replies, too.")] = None,
    out: Out = None,
    pdf: Pdf = False,
) -> None:
    """Write the audit report of a release: findings, controls with evidence, lineage, and the whole verification.

    Exit code 6 when the release is refused or not decided; the report is written all the same.
    """
    from dataclasses import replace

    from foedus.cli.verify import replay_lines
    from foedus.release.verify import with_checks
    from foedus.report import audit as audited

    here = shell()
    released, _ = _look(name, anchor)
    if replay is not None and not released.seen.failures:
        released = replace(released, seen=with_checks(released.seen, replay_lines(released.path, replay)))
    rerun = _rerun(released, replay)
    made = audited(released, auditor=auditor, rerun=rerun)
    here.line(released.seen.headline)
    written = _written(made, out or Path(f"{released.name}-audit.html"), pdf=pdf)
    here.result("release.audit", {**written, "outcome": released.seen.outcome, "code": released.seen.code})
    here.next(*rerun)
    if released.seen.exit_code:
        raise typer.Exit(released.seen.exit_code)


def _written(made: Mapping[str, Any], target: Path, *, pdf: bool) -> dict[str, Any]:
    """Write a report, say where it is, and give that as data."""
    from foedus.core.messages import say
    from foedus.report import write

    done = write(made, target, pdf=pdf)
    for file in (done.page, done.pdf):
        if file:
            shell().say("report.cli.written", kind=say(f"report.kind.{made['kind']}"), file=file)
    files = {"file": str(done.page), "data": str(done.twin), "pdf": str(done.pdf) if done.pdf else None}
    return {**files, "digest": done.digest, "kind": made["kind"]}


def _look(name: str, anchor: str | None) -> tuple[Released, Workspace | None]:
    from foedus.core.clock import now
    from foedus.report import look

    path, options, workspace = seen_with(name, anchor)
    return look(path, at=now(), find=workspace.find if workspace else lambda _: None, **options), workspace


def seen_with(name: str, anchor: str | None) -> tuple[Path, dict[str, Any], Workspace | None]:
    """Where a release is, and what to verify it with: the anchor that is given, this workspace's, or the one taken up
    before; this party's ledger where it is newer; the heads seen before. And the workspace, if there is one.
    """
    from foedus.cli.release import _find
    from foedus.cli.verify import anchor_of, known_file
    from foedus.release.revoke import newer_ledger
    from foedus.release.verify import remembered_anchor
    from foedus.workspace import open_workspace

    here, known = shell(), known_file()
    workspace = open_workspace(here.workspace) if (here.workspace / "workspace.json").is_file() else None
    path = _find(name)
    held = anchor_of(anchor) if anchor else (workspace.page.anchor if workspace else None)
    held = held or remembered_anchor(path, known)
    ledger = newer_ledger(workspace, path) if workspace else None
    return path, {"anchor": held, "ledger": ledger, "known_heads": known.path}, workspace


def _whose(released: Released, workspace: Workspace | None) -> list[str]:
    """This workspace's member; at the coordinator's, and without a workspace, every member that credit was given."""
    if workspace is not None and not workspace.is_coordinator:
        return [workspace.party]
    state, proposal = released.seen.consortium, released.proposal
    return list(state.runs[proposal.run].opened.roster) if state and proposal else []


def _rerun(released: Released, replay: Path | None) -> list[str]:
    seen = released.seen
    anchor = f" --anchor {seen.consortium.anchor}" if seen.consortium and seen.consortium.anchor else ""
    return [f"foedus verify {released.path}{anchor}" + (f" --replay {replay}" if replay else "")]


def _events(workspace: Workspace, run: str) -> Iterable[Event]:
    from foedus.track.kept import EVENTS, read_events

    return read_events(workspace.folder / "runs" / run / EVENTS)[0]
