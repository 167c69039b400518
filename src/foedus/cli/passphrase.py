"""Where a passphrase comes from: a file, FOEDUS_PASSPHRASE, or a question at the terminal. Never the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foedus.cli.shell import shell

__all__ = ["PassphraseFile", "chosen", "given", "known"]

PassphraseFile = Annotated[Path | None, typer.Option("--passphrase-file", help="A file whose first line unlocks keys.")]


def known(file: Path | None) -> str | None:
    """The passphrase of the workspace's keys; asked for only where a key file needs one. None where none is needed."""
    found = given(file)
    return found if found is not None or not _locked(shell().workspace) else _ask("known")


def chosen(file: Path | None) -> str | None:
    """The passphrase for new keys; at a terminal it is asked for twice, and an empty one means none."""
    import sys

    found = given(file)
    if found is not None or not sys.stdin.isatty() or shell().yes:
        return found
    first = _ask("new") or ""
    while first and first != _ask("again"):
        first = _ask("new") or ""
    return first or None


def given(file: Path | None) -> str | None:
    """The passphrase of a file or of FOEDUS_PASSPHRASE; None where neither is there."""
    from foedus.core.files import read_text

    return read_text(file, limit_bytes=1 << 16).partition("\n")[0] if file is not None else shell().passphrase


def _locked(folder: Path) -> bool:
    from foedus.core.files import read_bytes

    return any(b"ENCRYPTED" in read_bytes(path, limit_bytes=1 << 16) for path in (folder / "keys").glob("*.pem"))


def _ask(which: str) -> str | None:
    import getpass
    import sys

    from foedus.core.messages import say

    if not sys.stdin.isatty():
        return None
    return getpass.getpass(say(f"workspace.passphrase.{which}") + " ", stream=sys.stderr)
