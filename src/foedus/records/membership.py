"""Documents that travel as files before there is a hub: a workspace's page, invitations, answers, copies of a ledger.

An invitation is signed by the coordinator's act key, an answer by the new member's act key. A copy of the ledger needs
no signature: its checkpoint and its entries carry theirs.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from foedus.records.accord import CoordinatorKeys, MemberKeys, Role
from foedus.records.base import Digest, Int, ListOf, Name, Record, SetOf, Text

__all__ = ["Invitation", "Joined", "LedgerCopy", "WorkspacePage"]


class WorkspacePage(Record):
    """`workspace.json`: whose folder this is. A member's page holds what it learned from its invitation.

    `anchor` is the digest of the first accord, once this party knows it from its invitation or its own signature.
    `siblings`, in practice only: the workspaces of the other parties, relative to this one.
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


class Invitation(Record):
    """The coordinator asks a party to join under a name. The nonce makes each invitation another."""

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
    """A ledger as one document: its signed head and every leaf, in base64. Objects lie beside it in the parcel."""

    kind: ClassVar[str] = "ledger-copy"

    v: Literal[1] = 1
    origin: Text
    size: Int
    checkpoint: str
    leaves: ListOf[str]
