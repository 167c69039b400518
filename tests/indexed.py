"""A scene's entries in a coordinator's workspace, for the index over them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from foedus.core.clock import parse
from foedus.index import Index, open_index, tables
from foedus.ledger import Ledger, merkle
from foedus.ledger.note import Checkpoint, Note, sign
from foedus.records.membership import WorkspacePage
from foedus.workspace import Workspace
from foedus.workspace.folder import keep_page
from samples import coordinator_keys, private_keys
from scene import Scene

AT = datetime(2026, 6, 1, 10, tzinfo=UTC)


def workspace_of(folder: Path, scene: Scene) -> Workspace:
    """A coordinator's workspace whose ledger holds what the scene holds, written in one go."""
    page = WorkspacePage(party="hub", role="coordinator", coordinator="hub", coordinator_keys=coordinator_keys())
    workspace = keep_page(Workspace(folder, page), page)
    data, key = [leaf.data for leaf in scene.leaves], private_keys("hub")["log"]
    head = Checkpoint(scene.accord.origin, len(data), merkle.root([merkle.leaf_hash(one) for one in data]))
    note = Note(head.text, (sign(head.text, head.origin, key),))
    Ledger.receive(workspace.ledger, data, note.to_bytes(), origin=head.origin, log_key=key.public)
    return grown(workspace, scene)


def grown(workspace: Workspace, scene: Scene) -> Workspace:
    """The workspace, once its ledger and objects have what the scene has by now."""
    ledger = Ledger(workspace.ledger)
    for data in scene.objects.values():
        workspace.objects.put(data)
    for leaf in scene.leaves[ledger.size :]:
        ledger.append(leaf.envelope, key=private_keys("hub")["log"], clock=lambda at=leaf.recorded_at: parse(at))
    return workspace


def rows_of(index: Index) -> dict[str, list[str]]:
    """Every row of every table, but for the mark."""
    with index.database.reading() as connection:
        return {
            table.name: sorted(map(str, connection.execute(select(table)).all()))
            for table in tables.tables.sorted_tables
            if table is not tables.marks
        }


def whole(workspace: Workspace) -> dict[str, list[str]]:
    """What an index of this ledger holds when it is made in one go."""
    index = open_index(f"sqlite:///{workspace.folder}/whole.sqlite", workspace)
    assert index.refresh().is_current
    return rows_of(index)
