"""A member holds its node: nothing more is answered until it lets it go on, also when the process starts anew."""

from __future__ import annotations

from foedus.core.clock import Clock, spell
from foedus.core.files import fsync_folder, read_text, write_atomic
from foedus.workspace import Workspace

__all__ = ["go_on", "pause", "paused_since"]

_MARK = "node/paused"


def pause(workspace: Workspace, clock: Clock) -> None:
    """Answer nothing from now on; what is being worked on is still answered. Again changes nothing."""
    if paused_since(workspace) is None:
        write_atomic(workspace.folder / _MARK, spell(clock()).encode())


def go_on(workspace: Workspace) -> None:
    """Answer again."""
    mark = workspace.folder / _MARK
    if mark.exists():
        mark.unlink()
        fsync_folder(mark.parent)


def paused_since(workspace: Workspace) -> str | None:
    """Since when the node is held; None while it answers."""
    mark = workspace.folder / _MARK
    return read_text(mark, limit_bytes=100) if mark.exists() else None
