"""`foedus journal`: what this member's node answered. It stays here until the member sends lines of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.cli.passphrase import PassphraseFile, known
from foedus.cli.shell import shell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foedus.records.journal import JournalLine
    from foedus.workspace.journal import Line

app = typer.Typer(no_args_is_help=True, help="What this member's node was asked and answered.")


@app.command()
def show(
    path: Annotated[Path | None, typer.Argument(help="A file that a member sent; else this member's own.")] = None,
    *,
    full: Annotated[bool, typer.Option("--full", help="With the full text of failures.")] = False,
) -> None:
    """Every ask that a node took up: when, at which place, what came of it. A sent file is checked first."""
    from foedus.core.files import read_bytes
    from foedus.workspace import consortium, open_workspace
    from foedus.workspace.journal import open_sent, read_journal

    here = shell()
    workspace = open_workspace(here.workspace)
    if path is None:
        workspace.require("member")
        _show(read_journal(workspace.folder / "node" / "journal.jsonl"), full=full)
        return
    ever = consortium(workspace).key_log
    sent = open_sent(read_bytes(path), lambda member: [key for _, key in ever.get((member, "act"), ())])
    here.say("journal.cli.sent", member=sent.member, at=sent.at, count=len(sent.lines), size=sent.size)
    _show(sent.lines, full=full, member=sent.member)


@app.command()
def send(
    path: Annotated[Path, typer.Argument(help="The file to write.")],
    *,
    line: Annotated[
        list[int] | None, typer.Option("--line", help="A line by its number (repeat it); else all.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="The lines of what failed or was refused.")] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Write lines of the journal, signed, failures in full, to a file that you may send: nothing leaves by itself."""
    from foedus.core.clock import now, spell
    from foedus.core.files import write_atomic
    from foedus.workspace import open_workspace, private_key
    from foedus.workspace.folded import folded
    from foedus.workspace.journal import extract, read_journal

    here = shell()
    workspace = open_workspace(here.workspace)
    workspace.require("member")
    lines = read_journal(workspace.folder / "node" / "journal.jsonl")
    chosen = {*(line or ()), *(one.n for one in lines if failed and one.event in ("failed", "refused"))}
    if not (line or failed):
        chosen = {one.n for one in lines}
    accord = folded(workspace).state.accord
    named = accord.digest if accord else workspace.page.anchor or ""
    sent = extract(lines, chosen, accord=named, member=workspace.party, at=spell(now()))
    key = private_key(workspace, "act", passphrase=known(passphrase_file))
    write_atomic(path, sent.sign(key).to_bytes(), mode=0o600)
    here.say("journal.cli.written", count=len(sent.lines), path=path)
    here.result("journal.send", {"lines": len(sent.lines), "path": str(path)})


def _show(lines: Sequence[Line | JournalLine], *, full: bool, member: str | None = None) -> None:
    from foedus.core.messages import say

    here = shell()
    head = [say(f"journal.cli.head-{column}") for column in ("n", "at", "event", "place", "detail")]
    rows = [
        [str(one.n), one.at, say(f"journal.cli.event-{one.event}"), one.place, _first(one.detail, whole=full)]
        for one in lines
    ]
    if rows:
        here.table(head, rows)
    else:
        here.say("journal.cli.none")
    found = [{**_json(one), "detail": one.detail if full else ""} for one in lines]
    here.result("journal.show", {"lines": found, **({"member": member} if member else {})})


def _first(detail: str, *, whole: bool) -> str:
    return detail if whole else detail.strip().splitlines()[-1][:100] if detail.strip() else ""


def _json(line: Line | JournalLine) -> dict[str, Any]:
    fields = {name: getattr(line, name) for name in ("n", "at", "event", "ask", "place", "reply", "prev")}
    return {**fields, "private": dict(line.private)}
