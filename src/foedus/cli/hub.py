"""`foedus hub`: back-up and restoring of a hub's workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foedus.cli.passphrase import PassphraseFile, known
from foedus.cli.shell import shell

app = typer.Typer(no_args_is_help=True, help="Back a hub up while it runs, and restore it.")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must be new.")],
    passphrase_file: PassphraseFile = None,
    *,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Private keys too; only where they have a passphrase.")
    ] = False,
) -> None:
    """Write all of this workspace into one file; the hub may go on meanwhile."""
    from foedus.core.clock import now
    from foedus.workspace import open_workspace
    from foedus.workspace.backup import back_up

    here = open_workspace(shell().workspace)
    secret = known(passphrase_file) if with_keys else None
    page = back_up(here, file, with_keys=with_keys, passphrase=secret, clock=now)
    size = file.stat().st_size
    shell().say(
        "backup.cli.made", party=page.party, files=len(page.files), megabytes=f"{size / 1e6:.1f}", size=page.size,
        file=file,
    )  # fmt: skip
    if not with_keys:
        shell().say("backup.cli.no-keys", keys=here.folder / "keys")
    if here.page.objects is not None:
        shell().say("backup.cli.elsewhere", url=here.page.objects)
    data = {"party": page.party, "file": str(file), "files": len(page.files), "bytes": size, "entries": page.size}
    shell().result("backup", {**data, "head": page.head, "with_keys": with_keys})
    shell().next(f"foedus hub restore {file} DIR")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The back-up.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    ledger: Annotated[
        Path | None, typer.Option("--ledger", help="A member's copy of the ledger, if it has later entries.")
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Verify a back-up whole, then put its workspace in place."""
    from foedus.cli.passphrase import given
    from foedus.core.files import read_bytes
    from foedus.workspace.backup import restore as restored

    copy = read_bytes(ledger) if ledger is not None else None
    workspace, state, page = restored(file, folder, passphrase=given(passphrase_file), ledger=copy)
    shell().say("backup.cli.restored", party=page.party, folder=folder, size=state.size, made_at=page.made_at)
    keys = workspace.folder / "keys"
    if not any(keys.glob("*.pem")):
        shell().say("backup.cli.keys-missing", folder=keys)
    if ledger is None:
        shell().say("backup.cli.newer")
    data = {"party": page.party, "folder": str(folder), "entries": state.size, "made_at": page.made_at}
    shell().result("restore", {**data, "anchor": state.anchor})
    shell().next(f"foedus ledger show{shell().at(folder)}", f"foedus up{shell().at(folder)}")
