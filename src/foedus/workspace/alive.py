"""Whether the process of a workspace is alive: for a container's health check, `python -m foedus.workspace.alive DIR`.

A hub answers at `hub.sock`, a node at `node.sock`, in the workspace's folder of sockets. Exit code 0 when one takes a
connection, else 1; nothing is asked and nothing printed.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from foedus.workspace.folder import socket_folder

__all__ = ["is_alive"]

_PATIENCE_SECONDS = 3.0


def is_alive(workspace: Path) -> bool:
    """Whether a hub or a node of this workspace takes a connection."""
    return any(_answers(socket_folder(workspace) / name) for name in ("hub.sock", "node.sock"))


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(_PATIENCE_SECONDS)
        try:
            line.connect(str(path))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(0 if is_alive(Path(sys.argv[1])) else 1)
