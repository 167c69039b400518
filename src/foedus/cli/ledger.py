"""`foedus ledger`: what was recorded, and proofs of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foedus.cli.passphrase import PassphraseFile, known
from foedus.cli.shell import shell

app = typer.Typer(no_args_is_help=True, help="Show the ledger, prove an entry, pass copies on, cosign the head.")


@app.command()
def show() -> None:
    """Every entry in order; all of them are checked."""
    from foedus import workspace as ws
    from foedus.core.digest import sha256, short
    from foedus.core.messages import say
    from foedus.ledger import Ledger

    here = ws.open_workspace(shell().workspace)
    ledger = Ledger(here.ledger)
    state = ws.consortium(here)
    rows = [
        (leaf.index, leaf.recorded_at, leaf.entry.actor, leaf.entry.type, sha256(leaf.envelope.payload))
        for leaf in ledger.leaves()
    ]
    shell().say("workspace.ledger.size", size=ledger.size, origin=ledger.origin, recorded_at=state.recorded_at)
    head = [say(f"workspace.ledger.{word}") for word in ("index", "at", "actor", "type", "entry")]
    shell().table(head, [[str(index), at, actor, kind, short(entry)] for index, at, actor, kind, entry in rows])
    fields = ("index", "recorded_at", "actor", "type", "entry")
    entries = [dict(zip(fields, row, strict=True)) for row in rows]
    shell().result("ledger", {"origin": ledger.origin, "size": ledger.size, "anchor": state.anchor, "entries": entries})


@app.command()
def prove(
    index: Annotated[int, typer.Argument(metavar="INDEX", help="The entry's index.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file to write.")] = None,
) -> None:
    """Write the receipt of an entry: it proves that the ledger holds it."""
    from foedus import workspace as ws
    from foedus.core.files import write_atomic
    from foedus.ledger import Ledger

    here = ws.open_workspace(shell().workspace)
    receipt = Ledger(here.ledger).proof(index)
    file = output or Path(f"entry-{index}.tlog-proof")
    write_atomic(file, receipt)
    shell().say("workspace.ledger.proved", index=index, file=file)
    shell().result("receipt", {"index": index, "file": str(file)})


@app.command()
def export(output: Annotated[Path, typer.Argument(metavar="FILE", help="A file, or a folder to put it in.")]) -> None:
    """Write a copy of the ledger, for members to take."""
    from foedus import workspace as ws
    from foedus.core.files import write_atomic
    from foedus.ledger import Ledger

    here = ws.open_workspace(shell().workspace)
    ledger = Ledger(here.ledger)
    file = output / f"{here.page.consortium}-{ledger.size}.ledger" if output.is_dir() else output
    write_atomic(file, ws.export_ledger(here))
    shell().say("workspace.ledger.exported", size=ledger.size, file=file)
    shell().result("export", {"size": ledger.size, "file": str(file)})


@app.command()
def take(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The coordinator's copy.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Check a newer copy of the ledger whole, and keep it."""
    from foedus import workspace as ws
    from foedus.core.files import read_bytes

    here = ws.open_workspace(shell().workspace)
    state = ws.take_ledger(here, read_bytes(file), passphrase=known(passphrase_file))
    shell().say("workspace.ledger.taken", size=state.size)
    shell().result("take", {"size": state.size, "anchor": state.anchor, "in_force": state.accord_digest})


@app.command()
def cosign(
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file to write.")] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """As a member and witness, sign the head of this copy of the ledger."""
    from foedus import workspace as ws
    from foedus.core.files import write_atomic

    here = ws.open_workspace(shell().workspace)
    note = ws.cosign_head(here, passphrase=known(passphrase_file))
    size = ws.consortium(here).size
    file = output or Path(f"{here.party}-{size}.cosignature")
    write_atomic(file, note)
    shell().say("workspace.ledger.cosigned", member=here.party, size=size, file=file)
    shell().result("cosign", {"member": here.party, "size": size, "file": str(file)})
    shell().next(f"foedus ledger collect {file.name}")


@app.command()
def collect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Members' cosignatures of the present head.")],
) -> None:
    """As coordinator, put members' cosignatures under the ledger's head."""
    from foedus import workspace as ws
    from foedus.core.files import read_bytes

    here = ws.open_workspace(shell().workspace)
    count, needed = ws.collect_cosignatures(here, [read_bytes(file, limit_bytes=1 << 16) for file in files])
    size = ws.consortium(here).size
    shell().say("workspace.ledger.collected", count=count, needed=needed, size=size)
    shell().result("cosignatures", {"count": count, "needed": needed, "size": size})
    shell().next("foedus release build NAME", "foedus ledger export FILE")
