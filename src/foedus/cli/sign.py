"""`foedus accord sign`: propose, sign and collect, by files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foedus.cli.passphrase import PassphraseFile, known
from foedus.cli.shell import shell


def sign(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A member: the file with the accord.")] = None,
    collect: Annotated[
        list[Path] | None, typer.Option("--collect", help="Coordinator: a signed act to record.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file to write.")] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Propose the draft (coordinator), sign an accord (member), or record signatures (coordinator, --collect)."""
    from foedus import workspace as ws

    here = ws.open_workspace(shell().workspace)
    secret = known(passphrase_file)
    if collect:
        _collect(here.folder, collect, secret)
    elif file is not None:
        _sign(here.folder, file, output, secret)
    else:
        _propose(here.folder, output, secret)


def _propose(folder: Path, output: Path | None, secret: str | None) -> None:
    from foedus import workspace as ws
    from foedus.core.files import write_atomic

    offer = ws.propose_accord(ws.open_workspace(folder), passphrase=secret)
    file = output or Path(offer.file_name)
    write_atomic(file, offer.parcel)
    accord = offer.accord
    shell().say("workspace.sign.proposed", accord=accord.name, version=accord.version, file=file)
    shell().result("proposed", {"accord": accord.digest, "version": accord.version, "file": str(file)})
    shell().next(f"foedus accord sign {file.name}", "foedus accord sign --collect NAME.act")


def _sign(folder: Path, file: Path, output: Path | None, secret: str | None) -> None:
    from foedus import workspace as ws
    from foedus.accord import explain
    from foedus.core.errors import CallerError
    from foedus.core.files import read_bytes, write_atomic

    here = ws.open_workspace(folder)
    accord = ws.receive_accord(here, read_bytes(file), passphrase=secret)
    shell().line(explain(accord))
    if not shell().confirm("workspace.sign.ask", party=here.party):
        raise CallerError("workspace.declined")
    act = ws.sign_accord(here, accord, passphrase=secret)
    out = output or Path(f"{here.party}-{accord.name}-v{accord.version}.act")
    write_atomic(out, act)
    shell().say("workspace.sign.signed", party=here.party, file=out)
    shell().result("signed", {"party": here.party, "accord": accord.digest, "file": str(out)})
    shell().next(f"foedus accord sign --collect {out.name}")


def _collect(folder: Path, files: list[Path], secret: str | None) -> None:
    from foedus import workspace as ws
    from foedus.core.files import read_bytes

    here = ws.open_workspace(folder)
    indices = ws.collect_acts(here, [read_bytes(file) for file in files], passphrase=secret)
    for index in indices:
        shell().say("workspace.sign.collected", index=index)
    state = ws.consortium(here)
    latest = next(reversed(list(state.accords)))
    missing = list(state.unsigned(latest))
    if state.accord_digest == latest:
        shell().say("workspace.sign.in-force", anchor=state.anchor)
    else:
        shell().say("workspace.sign.waiting", missing=", ".join(missing))
    shell().result("collected", {"indices": indices, "in_force": state.accord_digest, "anchor": state.anchor,
                                 "missing": missing})  # fmt: skip
    shell().next("foedus ledger export FILE" if state.accord_digest == latest else "foedus accord sign --collect FILE")
