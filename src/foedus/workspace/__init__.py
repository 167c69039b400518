"""One party's folder, and what it does there: make keys, invite and join, sign, act, keep a copy of the ledger.

Before there is a hub, acts travel as files:

    coordinator   create_coordinator → invite → collect_joined → propose_accord → collect_acts → export_ledger
    member        join → receive_accord → sign_accord → make_act → take_ledger → cosign_head

A workspace belongs to one party and holds only its private keys. `practice` makes several at once
and says so everywhere.
"""

from foedus.workspace.acting import (
    OwnLedger,
    act,
    collect_acts,
    consortium,
    deliverable,
    export_ledger,
    handed_on,
    keep_ballot,
    make_act,
    outbox,
    pending,
    rotate_key,
    take_ledger,
)
from foedus.workspace.folder import (
    Workspace,
    create_coordinator,
    keep_objects_at,
    keep_siblings,
    open_workspace,
    practice,
    private_key,
    readable_private_keys,
    socket_folder,
    working,
)
from foedus.workspace.joining import collect_joined, coordinator_keys, invite, join, joined_keys, read_invitation
from foedus.workspace.keeping import kept_until, prune_answers, prune_replies, prune_when_idle
from foedus.workspace.signing import (
    Offer,
    accord_to_sign,
    drafted_accord,
    propose_accord,
    receive_accord,
    sign_accord,
    signable,
    written_accord,
)
from foedus.workspace.witness import collect_cosignatures, cosign_head

__all__ = [
    "Offer",
    "OwnLedger",
    "Workspace",
    "accord_to_sign",
    "act",
    "collect_acts",
    "collect_cosignatures",
    "collect_joined",
    "consortium",
    "coordinator_keys",
    "cosign_head",
    "create_coordinator",
    "deliverable",
    "drafted_accord",
    "export_ledger",
    "handed_on",
    "invite",
    "join",
    "joined_keys",
    "keep_ballot",
    "keep_objects_at",
    "keep_siblings",
    "kept_until",
    "make_act",
    "open_workspace",
    "outbox",
    "pending",
    "practice",
    "private_key",
    "propose_accord",
    "prune_answers",
    "prune_replies",
    "prune_when_idle",
    "read_invitation",
    "readable_private_keys",
    "receive_accord",
    "rotate_key",
    "sign_accord",
    "signable",
    "socket_folder",
    "take_ledger",
    "working",
    "written_accord",
]
