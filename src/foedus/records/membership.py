"""Documents about who takes part and how they reach each other: a workspace's page, invitations, answers, copies of a
ledger, the hub's greeting, a node's transport key.

An invitation is signed by the coordinator's act key; an answer, an inquiry and a node's key by the member's. A copy of
the ledger needs no signature: its checkpoint and its entries carry theirs. Nor does a greeting, which says nothing that
counts later.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from foedus.records.accord import CoordinatorKeys, MemberKeys, Role
from foedus.records.base import Count, Digest, Instant, Int, ListOf, Name, Record, SetOf, Text

__all__ = [
    "CLOCK_BOUND_SECONDS",
    "PROTOCOL",
    "Greeting",
    "HubAddress",
    "Inquiry",
    "Invitation",
    "Joined",
    "LedgerCopy",
    "NodeKey",
    "WorkspacePage",
]

PROTOCOL = 1
"""What hub and node speak: another number is refused on both sides."""

CLOCK_BOUND_SECONDS = 60
"""How far apart the clocks of a hub and a node may be: deadlines are instants, read on both sides."""


class HubAddress(Record):
    """Where a hub is reached, as `host:port`, and the certificate (PEM) of the authority that signs its own."""

    kind: ClassVar[str] = "hub-address"

    address: str = Field(pattern=r"^(\[[0-9a-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$", max_length=300)
    certificate: Text


class HubPage(Record):
    """`hub/hub.json` in the coordinator's workspace: on which address the hub listens, and how members reach it."""

    kind: ClassVar[str] = "hub"

    v: Literal[1] = 1
    host: Text
    port: Int
    names: ListOf[Text]
    address: HubAddress


class _MayNameHub(Record):
    """A document with a field `hub` that is left out where there is none, so that paper needs no other spelling."""

    hub: HubAddress | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return {name: value for name, value in data.items() if value is not None or name not in ("hub", "objects")}


class WorkspacePage(_MayNameHub):
    """`workspace.json`: whose folder this is. A member's page holds what it learned from its invitation.

    `anchor` is the digest of the first accord, once this party knows it from its invitation or its own signature.
    `siblings`, in practice only: the workspaces of the other parties, relative to this one. `objects`: the URL of the
    store of objects, where that is not the folder `objects`; left out where it is.
    """

    kind: ClassVar[str] = "workspace"

    v: Literal[1] = 1
    party: Name
    role: Literal["coordinator", "member"]
    custody: Literal["separate", "one-process"] = "separate"
    coordinator: Name
    coordinator_keys: CoordinatorKeys
    consortium: Name | None = None
    anchor: Digest | None = None
    siblings: dict[Name, Text] = Field(default_factory=dict)
    objects: Text | None = None


class Invitation(_MayNameHub):
    """The coordinator asks a party to join under a name. The nonce makes each invitation another.

    `hub`: where the answer can be sent; without one it travels as a file.
    """

    kind: ClassVar[str] = "invitation"

    v: Literal[1] = 1
    consortium: Name
    coordinator: Name
    keys: CoordinatorKeys
    member: Name
    roles: SetOf[Role] = Field(min_length=1)
    nonce: str = Field(pattern="^[0-9a-f]{32}$")
    anchor: Digest | None = None


class Joined(Record):
    """The answer: the member's public keys, each proven.

    The act key signs this document; the proofs are base64 signatures of the other keys over
    `possession_message(invitation, member)`.
    """

    kind: ClassVar[str] = "joined"

    v: Literal[1] = 1
    invitation: Digest
    member: Name
    keys: MemberKeys
    witness_proof: str
    release_proof: str


class LedgerCopy(Record):
    """A ledger as one document: its signed head and its leaves from `start` on, in base64; 0: all of them. Objects lie
    beside it in the parcel.
    """

    kind: ClassVar[str] = "ledger-copy"

    v: Literal[1] = 1
    origin: Text
    size: Int
    checkpoint: str
    start: Count
    leaves: ListOf[str]


class Greeting(Record):
    """What a hub says of itself: its clock and its version. `protocol` is what both sides must speak alike; `foedus` is
    the version, for people.
    """

    kind: ClassVar[str] = "greeting"

    v: Literal[1] = 1
    coordinator: Name
    consortium: Name | None
    protocol: Int
    foedus: Text
    at: Instant


class Inquiry(Record):
    """A member asks its hub for the ledger beyond the `have` entries that it knows; only members get it."""

    kind: ClassVar[str] = "inquiry"

    v: Literal[1] = 1
    member: Name
    have: Count
    at: Instant


class NodeKey(Record):
    """A member says, under its act key, by which transport key (EC P-384, PEM) its node connects.

    The latest `issued_at` counts. `numerics` says on what kind of machine the node works. Never evidence: what a node
    says is signed by the act key as well.
    """

    kind: ClassVar[str] = "node-key"

    v: Literal[1] = 1
    member: Name
    public: Text
    protocol: Int
    foedus: Text
    numerics: dict[str, Text] = Field(default_factory=dict)
    issued_at: Instant
