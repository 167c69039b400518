"""`foedus journal`: what this member's node answered. It stays here until the member sends it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foedus.cli.shell import shell

app = typer.Typer(no_args_is_help=True, help="What this member's node was asked and answered.")


@app.command()
def show(
    full: Annotated[bool, typer.Option("--full", help="With the full text of failures.")] = False,  # noqa: FBT002 - an option
) -> None:
    """Every ask that this node took up: when, at which place, what came of it."""
    from foedus.core.messages import say
    from foedus.workspace import open_workspace
    from foedus.workspace.journal import read_journal

    here = shell()
    workspace = open_workspace(here.workspace)
    workspace.require("member")
    lines = read_journal(workspace.folder / "node" / "journal.jsonl")
    head = [say(f"journal.cli.head-{column}") for column in ("n", "at", "event", "place", "detail")]
    rows = [
        [str(one.n), one.at, say(f"journal.cli.event-{one.event}"), one.place, _first(one.detail, whole=full)]
        for one in lines
    ]
    if rows:
        here.table(head, rows)
    else:
        here.say("journal.cli.none")
    here.result("journal.show", {"lines": [{**_json(one), "detail": one.detail if full else ""} for one in lines]})


@app.command()
def send(path: Annotated[Path, typer.Argument(help="The file to write: the journal as it is, to be sent on.")]) -> None:
    """Write the whole journal, failures in full, to a file that you may then send: nothing leaves by itself."""
    from foedus.core.files import write_atomic
    from foedus.workspace import open_workspace
    from foedus.workspace.journal import read_journal

    here = shell()
    workspace = open_workspace(here.workspace)
    workspace.require("member")
    lines = read_journal(workspace.folder / "node" / "journal.jsonl")
    write_atomic(path, b"".join(one.to_bytes() + b"\n" for one in lines), mode=0o600)
    here.say("journal.cli.written", count=len(lines), path=path)
    here.result("journal.send", {"lines": len(lines), "path": str(path)})


def _first(detail: str, *, whole: bool) -> str:
    return detail if whole else detail.strip().splitlines()[-1][:100] if detail.strip() else ""


def _json(line: object) -> dict[str, object]:
    fields = {name: getattr(line, name) for name in ("n", "at", "event", "ask", "place", "reply", "prev")}
    return {**fields, "private": dict(line.private)}  # type: ignore[attr-defined]  # a line of the journal
