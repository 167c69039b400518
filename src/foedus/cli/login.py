"""`foedus login`: open the pages of a hub with this workspace's key."""

from __future__ import annotations

from typing import Annotated

import typer

from foedus.cli.passphrase import PassphraseFile, known
from foedus.cli.shell import shell


def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the pages are.", show_default=False)],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Sign in to a hub's pages: sign a login with this workspace's key, and print a link for the browser."""
    from foedus.core.messages import say
    from foedus.web.door.login import sign_in
    from foedus.web.door.store import LINK_LIFE
    from foedus.workspace import open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    link = sign_in(workspace, url, passphrase=known(passphrase_file))
    minutes = int(LINK_LIFE.total_seconds() // 60)
    here.note(say("door.cli.link", party=workspace.party, minutes=minutes))
    here.line(link)
    here.result("login", {"party": workspace.party, "link": link})
