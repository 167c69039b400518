"""`foedus accord sign`: propose, sign and collect, by files alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.cli.party import beside, coordinators, delivered
from foedus.cli.passphrase import PassphraseFile, known
from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.ledger.consortium import Consortium
    from foedus.records.accord import Accord
    from foedus.workspace import Workspace


def sign(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="A member: the file with the accord; none: from the hub. Coordinator: what `accord amend` wrote.",
        ),
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(metavar="", hidden=True)] = None,
    collect: Annotated[
        list[Path] | None, typer.Option("--collect", metavar="FILE...", help="Coordinator: signed acts to record.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file to write.")] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Propose the draft (coordinator), sign an accord (member), or record signatures (coordinator, --collect)."""
    from foedus import workspace as ws
    from foedus.core.errors import CallerError

    here = ws.open_workspace(shell().workspace)
    secret = known(passphrase_file)
    if collect:
        _collect(here.folder, [*collect, *([file] if file else []), *(more or [])], secret)
    elif more:
        raise CallerError("cli.unexpected-argument", command="foedus accord sign", got=" ".join(map(str, more)))
    elif here.is_coordinator:
        _propose(here.folder, file, output, secret)
    else:
        _sign(here.folder, file, output, secret)


def _propose(folder: Path, written: Path | None, output: Path | None, secret: str | None) -> None:
    from foedus import workspace as ws
    from foedus.core.files import read_bytes, write_atomic

    here = ws.open_workspace(folder)
    if written and written.resolve() == here.draft.resolve():
        written = None
    accord = ws.written_accord(here, read_bytes(written, limit_bytes=1 << 20)) if written else None
    offer = ws.propose_accord(here, written=accord, passphrase=secret)
    file = output or Path(offer.file_name)
    write_atomic(file, offer.parcel)
    accord = offer.accord
    shell().say("workspace.sign.proposed", accord=accord.name, version=accord.version, file=file)
    shell().result("proposed", {"accord": accord.digest, "version": accord.version, "file": str(file)})
    shell().next(*_signing(here, file, accord))


def _sign(folder: Path, file: Path | None, output: Path | None, secret: str | None) -> None:
    from foedus import workspace as ws
    from foedus.accord import explain
    from foedus.core.errors import CallerError
    from foedus.core.files import read_bytes, write_atomic

    here = ws.open_workspace(folder)
    if file is None:
        delivered(here, secret)
        accord = ws.accord_to_sign(here, passphrase=secret)
    else:
        accord = ws.receive_accord(here, read_bytes(file), passphrase=secret)
    shell().line(explain(accord))
    if not shell().confirm("workspace.sign.ask", party=here.party):
        raise CallerError("workspace.declined")
    ws.sign_accord(here, accord, passphrase=secret)
    if delivered(ws.open_workspace(folder), secret):
        shell().say("workspace.sign.sent", party=here.party)
        shell().result("signed", {"party": here.party, "accord": accord.digest, "file": None})
        return
    out = output or Path(_act_file(here.party, accord))
    write_atomic(out, ws.handed_on(here))
    shell().say("workspace.sign.signed", party=here.party, file=out)
    shell().result("signed", {"party": here.party, "accord": accord.digest, "file": str(out)})
    shell().next(f"foedus accord sign --collect {out}{coordinators(here)}")


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
    shell().next(*_then(here, state))


def _act_file(party: str, accord: Accord) -> str:
    return f"{party}-{accord.name}-v{accord.version}.act"


def _signing(here: Workspace, offer: Path, accord: Accord) -> list[str]:
    """What signs a proposed accord: a command for each member where its workspace is at hand, and the collecting."""
    members = [one.name for one in accord.members]
    folders = beside(here)
    signs = [f"foedus accord sign {offer}{shell().at(folders[one])}" for one in members if one in folders]
    acts = " ".join(f"--collect {_act_file(one, accord)}" for one in members)
    return [*(signs or [f"foedus accord sign {offer.name}"]), f"foedus accord sign {acts}{shell().at()}"]


def _then(here: Workspace, state: Consortium) -> list[str]:
    """What follows when acts were recorded: signatures that lack, then cards that lack, then the run."""
    folders, accord = beside(here), state.accord
    if accord is None or not folders:
        return [f"foedus member list{shell().at()}", f"foedus ledger export .{shell().at()}"]
    lacking = [one for one in folders if one not in state.cards]
    if lacking and not state.runs:
        return [f"foedus data card {folders[one]}/data.yaml --register{shell().at(folders[one])}" for one in lacking]
    return [f"foedus run start{shell().at()}"]
