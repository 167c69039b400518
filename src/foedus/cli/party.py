"""The workspace that a call is about, and the commands for the parties beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.workspace import Workspace

__all__ = ["beside", "caught_up", "coordinators"]


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


def beside(workspace: Workspace) -> dict[str, Path]:
    """In practice, the folders of the other parties by name; none between organisations."""
    return {name: Path(os.path.normpath(workspace.folder / where)) for name, where in workspace.page.siblings.items()}


def coordinators(workspace: Workspace) -> str:
    """What to add to a command so that it runs at the coordinator; nothing where that is another machine."""
    if workspace.is_coordinator:
        return shell().at()
    hub = beside(workspace).get(workspace.page.coordinator)
    return shell().at(hub) if hub else ""
