"""Before an accord: invitations go out, public keys come back. A private key never leaves the folder it was made in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foedus.accord.read import read_draft
from foedus.core.envelope import Envelope, b64, unb64
from foedus.core.errors import CallerError, IdentityError, VerifyError
from foedus.core.files import read_bytes, read_text, write_atomic
from foedus.core.keys import verify
from foedus.core.parcel import Parcel
from foedus.core.rng import SecretRng
from foedus.records.accord import CoordinatorKeys, MemberKeys
from foedus.records.acts import possession_message
from foedus.records.base import open_record
from foedus.records.membership import HubAddress, Invitation, Joined, WorkspacePage
from foedus.workspace.folder import PAGE, Workspace, keep_page, make_member_keys, open_workspace, private_key

__all__ = ["collect_joined", "coordinator_keys", "invite", "join", "joined_keys", "read_invitation"]


def invite(
    workspace: Workspace,
    member: str,
    roles: Sequence[str] = ("contributor",),
    *,
    hub: HubAddress | None = None,
    passphrase: str | None = None,
) -> bytes:
    """An invitation parcel for a new member; the same one again while it is unanswered and says the same.

    With `hub`, the member's machine can answer by itself; without, the answer travels as a file.

    Raises:
        CallerError: `workspace.wrong-role`, `workspace.joined-already`; `yaml.…` or `accord.…` for a broken draft.
    """
    workspace.require("coordinator")
    path = workspace.members / f"{member}.invited"
    if (workspace.members / f"{member}.joined").exists():
        raise CallerError("workspace.joined-already", member=member)
    if path.exists():
        earlier = read_invitation(sent := read_bytes(path))
        if (earlier.roles, earlier.hub) == (tuple(sorted(roles)), hub):
            return sent
    page = workspace.page
    invitation = Invitation.model_validate(
        {
            "consortium": page.consortium or _drafted_name(workspace),
            "coordinator": page.party,
            "keys": page.coordinator_keys,
            "member": member,
            "roles": tuple(sorted(roles)),
            "nonce": SecretRng().hex(16),
            "anchor": page.anchor,
            "hub": hub,
        }
    )
    data = Parcel.of([invitation.sign(private_key(workspace, "act", passphrase=passphrase))]).to_bytes()
    write_atomic(path, data)
    return data


def read_invitation(data: bytes) -> Invitation:
    """The invitation in a parcel, signed by the coordinator key that it names.

    Raises:
        CallerError: `parcel.malformed`, `records.…`, `workspace.not-one-document`.
        VerifyError: `envelope.not-signed`.
    """
    envelope = only_document(data)
    invitation = open_record(Invitation, envelope)
    envelope.require(invitation.keys.act, who=invitation.coordinator)
    return invitation


def join(folder: Path, data: bytes, *, passphrase: str | None = None) -> bytes:
    """Answer an invitation: make a member's workspace and its keys here, and give the parcel that goes back.

    The same invitation again gives the answer again.

    Raises:
        CallerError: as `read_invitation`; `workspace.exists` when the folder belongs to another party or invitation.
        IdentityError: as `load_private`.
    """
    invitation = read_invitation(data)
    answer = folder / "members" / f"{invitation.member}.joined"
    if (folder / PAGE).exists() and answer.exists():
        kept = read_bytes(answer)
        if open_record(Joined, only_document(kept)).invitation == invitation.digest:
            return kept
    public, private = make_member_keys(folder, passphrase)
    message = possession_message(invitation.digest, invitation.member)
    joined = Joined(
        invitation=invitation.digest,
        member=invitation.member,
        keys=public,
        witness_proof=b64(private["witness"].sign(message)),
        release_proof=b64(private["release"].sign(message)),
    )
    back = Parcel.of([joined.sign(private["act"])]).to_bytes()
    write_atomic(answer, back)
    page = WorkspacePage(
        party=invitation.member,
        role="member",
        coordinator=invitation.coordinator,
        coordinator_keys=invitation.keys,
        consortium=invitation.consortium,
        anchor=invitation.anchor,
        hub=invitation.hub,
    )
    keep_page(Workspace(folder, page), page)
    return back


def collect_joined(workspace: Workspace, data: bytes) -> str:
    """Take a member's answer and give its name. The same answer again changes nothing.

    Raises:
        CallerError: `workspace.wrong-role`, `workspace.not-invited`, `workspace.joined-already` with other keys.
        IdentityError: `workspace.key-known` when another party has one of the keys.
        VerifyError: `envelope.not-signed`, `workspace.key-not-proven`.
    """
    workspace.require("coordinator")
    envelope = only_document(data)
    joined = open_record(Joined, envelope)
    _prove(joined, envelope)
    sent = workspace.members / f"{joined.member}.invited"
    if not sent.exists() or read_invitation(read_bytes(sent)).digest != joined.invitation:
        raise CallerError("workspace.not-invited", member=joined.member)
    others = {name: keys for name, keys in joined_keys(workspace.folder).items() if name != joined.member}
    taken = {key: name for name, keys in others.items() for key in keys.model_dump().values()}
    taken |= dict.fromkeys(workspace.page.coordinator_keys.model_dump().values(), workspace.party)
    for purpose, key in joined.keys.model_dump().items():
        if key in taken:
            raise IdentityError("workspace.key-known", member=joined.member, purpose=purpose, other=taken[key])
    path = workspace.members / f"{joined.member}.joined"
    if path.exists() and open_record(Joined, only_document(read_bytes(path))) != joined:
        raise CallerError("workspace.joined-already", member=joined.member)
    write_atomic(path, data)
    return joined.member


def joined_keys(folder: Path) -> dict[str, MemberKeys]:
    """The public keys of those who joined, by name; none where nobody did."""
    found: dict[str, MemberKeys] = {}
    for path in sorted((folder / "members").glob("*.joined")):
        envelope = only_document(read_bytes(path))
        joined = open_record(Joined, envelope)
        _prove(joined, envelope)
        found[joined.member] = joined.keys
    return found


def coordinator_keys(folder: Path) -> CoordinatorKeys | None:
    """The coordinator's public keys as this workspace knows them; None where there is no workspace."""
    return open_workspace(folder).page.coordinator_keys if (folder / PAGE).is_file() else None


def only_document(data: bytes) -> Envelope:
    """The one document of a parcel; CallerError `workspace.not-one-document` for none or several."""
    documents = Parcel.from_bytes(data).documents
    if len(documents) != 1:
        raise CallerError("workspace.not-one-document", got=len(documents))
    return documents[0]


def _prove(joined: Joined, envelope: Envelope) -> None:
    envelope.require(joined.keys.act, who=joined.member)
    message = possession_message(joined.invitation, joined.member)
    for purpose, public, proof in (
        ("witness", joined.keys.witness, joined.witness_proof),
        ("release", joined.keys.release, joined.release_proof),
    ):
        if not verify(public, unb64(proof), message):
            raise VerifyError("workspace.key-not-proven", member=joined.member, purpose=purpose)


def _drafted_name(workspace: Workspace) -> str:
    text = read_text(workspace.draft)
    return read_draft(text, source=str(workspace.draft), coordinator_keys=workspace.page.coordinator_keys).accord.name
