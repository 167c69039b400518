"""By which transport key each member's node connects: the latest that the member itself signed."""

from __future__ import annotations

from collections.abc import Iterator

from foedus.core.clock import parse
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError, IdentityError
from foedus.core.files import read_bytes, write_atomic
from foedus.ledger.consortium import Consortium
from foedus.records.base import open_record
from foedus.records.membership import PROTOCOL, NodeKey
from foedus.workspace import Workspace

__all__ = ["keep_node_key", "node_keys"]


def keep_node_key(workspace: Workspace, state: Consortium, document: Envelope) -> NodeKey:
    """Keep a member's node key once it is checked, and give it; the same one again changes nothing.

    Raises:
        CallerError: `hub.other-protocol`; `hub.older-node-key` for one that a later one has overtaken; `records.…`.
        IdentityError: `hub.no-member`; `hub.node-key-known` when another member has it.
        VerifyError: `envelope.not-signed` unless the member's act key in force signed it.
    """
    key = open_record(NodeKey, document)
    act = state.key(key.member, "act")
    if act is None or key.member not in {member.name for member in state.members}:
        raise IdentityError("hub.no-member", member=key.member)
    document.require(act, who=key.member)
    if key.protocol != PROTOCOL:
        raise CallerError("hub.other-protocol", expected=PROTOCOL, got=key.protocol, version=key.foedus)
    for other in node_keys(workspace):
        if other.member != key.member and other.public == key.public:
            raise IdentityError("hub.node-key-known", member=key.member, other=other.member)
        if other.member == key.member and parse(other.issued_at) > parse(key.issued_at):
            raise CallerError("hub.older-node-key", member=key.member, expected=other.issued_at, got=key.issued_at)
    write_atomic(workspace.folder / "hub" / "nodes" / f"{key.member}.json", document.to_bytes())
    return key


def node_keys(workspace: Workspace) -> Iterator[NodeKey]:
    """The node keys that are kept, by member in order."""
    for path in sorted((workspace.folder / "hub" / "nodes").glob("*.json")):
        yield open_record(NodeKey, Envelope.from_bytes(read_bytes(path, limit_bytes=1 << 20)))
