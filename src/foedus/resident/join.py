"""From an invitation to a node that can be asked, one step at a time; each step may be repeated.

join       keys and a workspace are made here; the answer goes to the hub
sync       acts that wait go to the hub; the ledger comes back and is verified
standing   what comes next: waiting for the accord, signing it (a person does), registering data, serving
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from foedus.core.clock import Clock, now, spell
from foedus.core.errors import CallerError, FoedusError
from foedus.core.files import read_bytes, write_atomic
from foedus.ledger.consortium import Consortium
from foedus.records.membership import PROTOCOL, HubAddress, Invitation, NodeKey
from foedus.resident.link import Link
from foedus.resident.work import DATA_FILE
from foedus.workspace import (
    Workspace,
    consortium,
    deliverable,
    open_workspace,
    private_key,
    read_invitation,
    signable,
    take_ledger,
)
from foedus.workspace import (
    join as answer_invitation,
)
from foedus.workspace.folder import PAGE

__all__ = ["Standing", "join", "keep_data", "line_of", "node_key_of", "read_hub", "standing", "sync"]

_REFUSED_FOR_GOOD = (
    "workspace.joined-already",
    "workspace.key-known",
    "workspace.key-not-proven",
    "workspace.not-invited",
)

Standing = Literal["waiting", "to-sign", "to-register", "ready", "left"]


def read_hub(data: bytes) -> tuple[Invitation, HubAddress]:
    """An invitation and the hub that it names.

    Raises:
        CallerError: `join.no-hub` for an invitation on paper; as `read_invitation`.
        VerifyError: `envelope.not-signed`.
    """
    invitation = read_invitation(data)
    if invitation.hub is None:
        raise CallerError("join.no-hub", member=invitation.member)
    return invitation, invitation.hub


def join(folder: Path, data: bytes, link: Link, *, passphrase: str | None = None) -> Workspace:
    """A member's workspace in this folder, made with its keys where there is none, and its answer at the hub.

    Where the hub refuses the answer for good, what was made here for it is removed again, and nothing else.

    Raises: as `workspace.join`, `Link.joined`.
    """
    before = _parts(folder)
    answer = answer_invitation(folder, data, passphrase=passphrase)
    workspace = open_workspace(folder)
    if not consortium(workspace).members:
        try:
            link.joined(answer)
        except FoedusError as error:
            if error.code in _REFUSED_FOR_GOOD:
                _remove(_parts(folder) - before)
            raise
    return workspace


def _parts(folder: Path) -> frozenset[Path]:
    """What of a workspace that joining makes is in this folder, the folder itself included."""
    places = (folder / PAGE, folder / "keys", folder / "members")
    found = {folder, *places, *(path for place in places for path in place.rglob("*"))}
    return frozenset(path for path in found if path.exists())


def _remove(made: Iterable[Path]) -> None:
    """Remove these files, the page first (a folder without it is no workspace), and these folders if nothing else is
    in them.
    """
    for path in sorted(made, key=lambda path: (path.name != PAGE, -len(path.parts))):
        if path.is_file():
            path.unlink()
        elif not any(path.iterdir()):
            path.rmdir()


def keep_data(workspace: Workspace, mapping: Path) -> None:
    """Let the workspace's `data.yaml` be the member's own mapping file, wherever it lies.

    Raises: CallerError: `files.missing`; `join.other-data-file` where the workspace has another one.
    """
    read_bytes(mapping, limit_bytes=1 << 20)
    here = workspace.folder / DATA_FILE
    if here.exists() and here.resolve() == mapping.resolve():
        return
    if here.exists() and not here.is_symlink():
        raise CallerError("join.other-data-file", path=str(here), got=str(mapping))
    waiting = here.with_name(f".{DATA_FILE}.new")
    waiting.unlink(missing_ok=True)
    waiting.symlink_to(mapping.resolve())
    os.replace(waiting, here)  # noqa: PTH105 - atomic, and Path.replace reads the same


def line_of(workspace: Workspace, clock: Clock = now, *, at: str | None = None) -> Link | None:
    """The line to this member's hub, or to where it is now, `at` host:port; None where acts travel on paper.

    The certificate must be of the authority that the invitation names, wherever the hub is. Raises: CallerError:
    `records.malformed` for an address that is none.
    """
    hub = workspace.page.hub
    if hub is not None and at is not None:
        hub = HubAddress.from_json({"address": at, "certificate": hub.certificate})
    return Link.to(hub, clock) if hub else None


def sync(workspace: Workspace, link: Link, *, passphrase: str | None = None) -> Consortium:
    """Send the acts that wait, take the ledger, and give what it says.

    Raises: as `Link.act`, `Link.ledger`, `take_ledger`.
    """
    for parcel, is_ballot in deliverable(workspace):
        (link.ballot if is_ballot else link.act)(parcel)
    state = consortium(workspace)
    act = private_key(workspace, "act", public=state.key(workspace.party, "act"), passphrase=passphrase)
    copy = link.ledger(workspace.party, state.size, act)
    return state if copy is None else take_ledger(workspace, copy, passphrase=passphrase)


def standing(workspace: Workspace) -> Standing:
    """How far this member has come, by its own copy of the ledger."""
    state, me = consortium(workspace), workspace.party
    if me in state.left:
        return "left"
    if me not in {member.name for member in state.members}:
        return "to-sign" if signable(workspace) else "waiting"
    return "ready" if me in state.cards else "to-register"


def node_key_of(
    workspace: Workspace, public: str, *, version: str, numerics: Mapping[str, str], clock: Clock
) -> NodeKey:
    """What this member says of its node: the same document as long as nothing in it changes."""
    path = workspace.folder / "node" / "node-key.json"
    fields = {"member": workspace.party, "public": public, "protocol": PROTOCOL, "foedus": version,
              "numerics": dict(numerics)}  # fmt: skip
    if path.exists():
        kept = NodeKey.from_bytes(read_bytes(path))
        if {name: getattr(kept, name) for name in fields} == fields:
            return kept
    key = NodeKey.model_validate({**fields, "issued_at": spell(clock())})
    write_atomic(path, key.to_bytes())
    return key
