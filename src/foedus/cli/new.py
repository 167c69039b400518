"""`foedus new`: a workspace for one party, or several for practice."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foedus.cli.passphrase import PassphraseFile, chosen
from foedus.cli.shell import shell


def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    party: Annotated[str, typer.Option("--party", help="The name of this party.")] = "hub",
    role: Annotated[str, typer.Option("--as", help="coordinator or member.")] = "coordinator",
    invitation: Annotated[Path | None, typer.Option("--invitation", help="A member's invitation file.")] = None,
    practice: Annotated[
        int | None, typer.Option("--practice", metavar="N", help="Make N members' workspaces for practice.")
    ] = None,
    names: Annotated[str, typer.Option("--names", help="The members' names: a,b,c.")] = "",
    passphrase_file: PassphraseFile = None,
    *,
    sample: Annotated[
        bool, typer.Option("--sample", help="For practice: rows of the packaged demo, and its accord.")
    ] = False,
) -> None:
    """Make a workspace: keys, and for a coordinator an accord to edit."""
    from foedus import workspace as ws
    from foedus.core.errors import CallerError

    listed = [name.strip() for name in names.split(",") if name.strip()]
    if role not in ("coordinator", "member"):
        raise CallerError("workspace.bad-option", expected="--as coordinator | member", got=role)
    if practice is not None and practice < 1:
        raise CallerError("workspace.bad-option", expected="--practice N, N ≥ 1", got=f"--practice {practice}")
    if practice and listed and practice != len(listed):
        raise CallerError("workspace.bad-option", expected=f"--names × {practice}", got=names)
    if role == "member" and (invitation is None or practice):
        raise CallerError("workspace.bad-option", expected="--as member --invitation FILE", got="--as member")
    if sample and not practice:
        raise CallerError("workspace.bad-option", expected="--practice N --sample", got="--sample")
    secret = chosen(passphrase_file)
    if role == "member" and invitation is not None:
        _member(folder, invitation, secret)
        return
    out = shell()
    if practice:
        members = listed or [f"member-{number}" for number in range(1, practice + 1)]
        if sample:
            from foedus.demo.sample import require_enough

            require_enough(len(members))
        made = ws.practice(folder, members, coordinator=party, passphrase=secret)
        out.say("workspace.new.practice", count=len(made), folder=folder)
        home = folder / party
        if sample:
            from foedus.demo.sample import write_sample

            count = write_sample(made[party], [made[name] for name in members])
            out.say("workspace.new.sample", count=count)
    else:
        ws.create_coordinator(folder, party, members=listed, passphrase=secret)
        made = {party: ws.open_workspace(folder)}
        out.say("workspace.new.coordinator", party=party, folder=folder)
        home = folder
    if secret is None:
        out.say("workspace.new.unprotected")
    out.result("new", {"party": party, "folder": str(home), "workspaces": {n: str(w.folder) for n, w in made.items()}})
    draft = home / "accord.yaml"
    if not sample:
        out.say("workspace.new.edit", file=draft)
    check = f"foedus accord check {draft}{out.at(home)}"
    out.next(check) if practice else out.next(*(f"foedus member invite {name}{out.at(home)}" for name in listed))


def _member(folder: Path, invitation: Path, secret: str | None) -> None:
    from foedus import workspace as ws
    from foedus.core.files import read_bytes, write_atomic

    answer = ws.join(folder, read_bytes(invitation, limit_bytes=1 << 20), passphrase=secret)
    made = ws.open_workspace(folder)
    file = folder / f"{made.party}.joined"
    write_atomic(file, answer)
    out = shell()
    out.say("workspace.new.member", party=made.party, folder=folder, file=file)
    if secret is None:
        out.say("workspace.new.unprotected")
    out.result("join", {"party": made.party, "folder": str(folder), "file": str(file)})
