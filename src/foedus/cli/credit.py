"""`foedus credit`: what each member's updates were worth."""

from __future__ import annotations

from typing import Annotated

import typer

from foedus.cli.shell import shell

app = typer.Typer(no_args_is_help=True, help="What each member's updates were worth.")


@app.callback()
def group() -> None:
    """What each member's updates were worth."""


@app.command()
def show(
    run: Annotated[str | None, typer.Argument(help="The run; by default the newest that was examined.")] = None,
) -> None:
    """The credit of a run: each member's share of the fall in validation loss, by round, and the check of the sum."""
    from fractions import Fraction

    from foedus.core.errors import CallerError
    from foedus.core.messages import say
    from foedus.records.evidence import CreditReport
    from foedus.workspace import consortium, open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    state = consortium(workspace)
    entered = [one for one in state.evidence.values() if one.credit and run in (None, one.run)]
    if not entered:
        raise CallerError("run.no-credit", run=run or "–", known=", ".join(state.runs) or "–")
    report = CreditReport.from_bytes(workspace.objects.get(str(entered[-1].credit)))
    total = sum((Fraction(one.value) for one in report.credits), Fraction(0))
    head = [say(f"run.cli.head-{column}") for column in ("member", "credit", "share", "rounds")]
    rows = []
    for one in report.credits:
        share = f"{float(100 * Fraction(one.value) / total):.1f} %" if total else "–"
        rows.append([one.member, f"{float(one.value):.4f}", share, "  ".join(f"{float(v):.4f}" for v in one.by_round)])
    here.table(head, rows)
    here.line(
        say(
            "run.cli.credit",
            start=f"{float(report.start_loss):.4f}",
            end=f"{float(report.released_loss):.4f}",
            total=f"{float(report.total):.4f}",
            residual=report.residual,
            tolerance=report.tolerance,
            method=report.method,
        )
    )
    if report.note:
        here.say("run.cli.preconditioner")
    here.result("credit.show", {"report": report.model_dump(mode="json"), "digest": report.digest})
