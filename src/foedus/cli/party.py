"""The workspace that a call is about, and the commands for the parties beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.records.membership import HubAddress
    from foedus.resident.link import Link
    from foedus.workspace import Workspace

__all__ = ["beside", "caught_up", "coordinators", "delivered", "hub_of"]


def caught_up() -> Workspace:
    """This call's workspace. In practice, where the coordinator's lies beside it, with all that its ledger holds.

    Between organisations nothing is taken: `foedus ledger take FILE` does that.
    """
    from foedus.workspace import export_ledger, open_workspace, take_ledger

    here = open_workspace(shell().workspace)
    hub = beside(here).get(here.page.coordinator)
    if hub is not None and (hub / "ledger" / "checkpoint").is_file():
        take_ledger(here, export_ledger(open_workspace(hub)), passphrase=shell().passphrase)
    return here


def hub_of(workspace: Workspace) -> HubAddress | None:
    """Where this consortium's hub is: the coordinator's own, or the one that a member's invitation named."""
    if not workspace.is_coordinator:
        return workspace.page.hub
    return workspace.hub.address if workspace.hub else None


def delivered(workspace: Workspace, passphrase: str | None, link: Link | None = None) -> bool:
    """Send the acts that wait to the hub, where there is one; whether they stand in the ledger now. `link`: another
    line to it than the invitation's.

    When the hub cannot be reached, they wait, and `foedus join` sends them.
    """
    from foedus.core.errors import IdentityError
    from foedus.resident.join import line_of, sync
    from foedus.workspace import pending

    link = link or line_of(workspace)
    if link is None:
        return False
    try:
        sync(workspace, link, passphrase=passphrase)
    except IdentityError as error:
        if error.code != "link.unreachable":
            raise
        shell().note(str(error))
    return not pending(workspace)


def beside(workspace: Workspace) -> dict[str, Path]:
    """In practice, the folders of the other parties by name; none between organisations."""
    return {name: Path(os.path.normpath(workspace.folder / where)) for name, where in workspace.page.siblings.items()}


def coordinators(workspace: Workspace) -> str:
    """What to add to a command so that it runs at the coordinator; nothing where that is another machine."""
    if workspace.is_coordinator:
        return shell().at()
    hub = beside(workspace).get(workspace.page.coordinator)
    return shell().at(hub) if hub else ""
