"""What the ServerApp and the hub say to each other over their socket: one line of JSON, then bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["pack", "unpack"]


def pack(head: Mapping[str, Any], body: bytes = b"") -> bytes:
    """A head and a body as one byte string."""
    return b"".join([json.dumps(dict(head)).encode(), b"\n", body])


def unpack(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The head and the body."""
    end = data.index(b"\n")
    return json.loads(data[:end]), data[end + 1 :]
