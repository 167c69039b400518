"""`foedus release revoke`: vote to take a release back, and as coordinator carry it out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from foedus.cli.passphrase import PassphraseFile, known
from foedus.cli.shell import shell


def revoke(
    name: Annotated[str, typer.Argument(help="NAME-VERSION in this workspace, or a path.", show_default=False)],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; everyone can read it.")],
    collect: Annotated[list[Path] | None, typer.Option("--collect", help="Coordinator: a member's vote.")] = None,
    against: Annotated[bool, typer.Option("--object", help="Member: vote against revoking.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file to write.")] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Vote to revoke a release (member); enter the votes and revoke it (coordinator, --collect)."""
    from foedus.core.errors import CallerError
    from foedus.core.files import write_atomic
    from foedus.release.desk import find_release
    from foedus.release.revoke import vote_to_revoke
    from foedus.workspace import open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    path = find_release(workspace, name)
    if workspace.is_coordinator:
        _collect(path, collect or [], reason, passphrase_file)
        return
    here.say("release.cli.revokes", member=workspace.party, name=path.name)
    if not here.confirm("release.cli.ask"):
        raise CallerError("release.needs-confirmation")
    choice: Literal["approve", "object"] = "object" if against else "approve"
    data = vote_to_revoke(workspace, path, reason=reason, choice=choice, passphrase=known(passphrase_file))
    file = output or Path(f"{workspace.party}.revoke.vote")
    write_atomic(file, data)
    here.say("release.cli.vote-written", member=workspace.party, file=file)
    here.result("release.revoke-vote", {"member": workspace.party, "choice": choice, "file": str(file)})
    here.next(f"foedus release revoke {path.name} --reason WHY --collect {file}")


def _collect(folder: Path, votes: list[Path], reason: str, passphrase_file: Path | None) -> None:
    from foedus.cli.gate import tell_count
    from foedus.core.files import read_bytes
    from foedus.release.revoke import revoke_release
    from foedus.workspace import open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    parcels = [read_bytes(vote) for vote in votes]
    tally = revoke_release(workspace, folder, parcels, reason=reason, passphrase=known(passphrase_file))
    count = tell_count(tally)
    if tally.outcome == "approved":
        here.say("release.cli.revoked", name=folder.name)
    here.result("release.revoke", count)
    if tally.outcome == "approved":
        here.next("foedus ledger export FILE")
