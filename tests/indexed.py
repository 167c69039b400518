"""A scene's entries in a coordinator's workspace, and the index over them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from foedus.core.clock import parse
from foedus.ledger import Ledger
from foedus.records.membership import WorkspacePage
from foedus.workspace import Workspace
from foedus.workspace.folder import keep_page
from samples import coordinator_keys, private_keys
from scene import Scene

AT = datetime(2026, 6, 1, 10, tzinfo=UTC)


def workspace_of(folder: Path, scene: Scene) -> Workspace:
    """A coordinator's workspace whose ledger holds what the scene holds."""
    page = WorkspacePage(party="hub", role="coordinator", coordinator="hub", coordinator_keys=coordinator_keys())
    workspace = keep_page(Workspace(folder, page), page)
    Ledger.create(workspace.ledger, origin=scene.accord.origin, key=private_keys("hub")["log"])
    return grown(workspace, scene)


def grown(workspace: Workspace, scene: Scene) -> Workspace:
    """The workspace, once its ledger and objects have what the scene has by now."""
    ledger = Ledger(workspace.ledger)
    for data in scene.objects.values():
        workspace.objects.put(data)
    for leaf in scene.leaves[ledger.size :]:
        ledger.append(leaf.envelope, key=private_keys("hub")["log"], clock=lambda at=leaf.recorded_at: parse(at))
    return workspace
