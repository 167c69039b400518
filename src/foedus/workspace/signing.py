"""From a draft to an accord in force: the coordinator proposes, each member signs on its own machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foedus.accord.amend import amended
from foedus.accord.check import findings
from foedus.accord.read import load_accord, read_accord
from foedus.core.clock import Clock, now
from foedus.core.envelope import b64
from foedus.core.errors import CallerError, IdentityError
from foedus.core.files import read_text
from foedus.ledger.fold import Consortium
from foedus.ledger.log import Ledger
from foedus.records.accord import Accord, CoordinatorKeys, MemberKeys
from foedus.records.acts import ProposeAccord, SignAccord, possession_message
from foedus.workspace.acting import (
    act,
    collect_acts,
    consortium,
    export_ledger,
    pending,
    pin_anchor,
    take_ledger,
    waiting,
)
from foedus.workspace.folder import MEMBER_PURPOSES, Workspace, keep_page, private_key
from foedus.workspace.joining import joined_keys

__all__ = [
    "Offer",
    "accord_to_sign",
    "drafted_accord",
    "propose_accord",
    "receive_accord",
    "sign_accord",
    "signable",
    "written_accord",
]


@dataclass(frozen=True, slots=True)
class Offer:
    """A proposed accord, and the parcel that carries it to the members."""

    accord: Accord
    parcel: bytes

    @property
    def file_name(self) -> str:
        """What the parcel is called as a file."""
        return f"{self.accord.name}-v{self.accord.version}.to-sign"


def drafted_accord(workspace: Workspace) -> Accord:
    """The accord that the draft describes: the first one, or the next version of the one in force.

    Raises:
        CallerError: `workspace.wrong-role`, `accord.…` with line, expected and got.
    """
    workspace.require("coordinator")
    state = consortium(workspace)
    text, source = read_text(workspace.draft), str(workspace.draft)
    joined = joined_keys(workspace.folder)
    if state.accord is None:
        return read_accord(text, source=source, joined=joined, coordinator_keys=workspace.page.coordinator_keys)
    held = {member.name: _in_force(state, member.name, member.keys) for member in state.accord.members}
    hub = CoordinatorKeys(
        act=state.key(workspace.party, "act") or workspace.page.coordinator_keys.act,
        log=workspace.page.coordinator_keys.log,
    )
    return amended(state.accord, text, source=source, joined={**joined, **held}, coordinator_keys=hub)


def written_accord(workspace: Workspace, data: bytes) -> Accord:
    """The next version of the accord in force, in the signed form that `foedus accord amend` writes.

    Raises:
        CallerError: `workspace.wrong-role`; `workspace.not-the-next` for an accord that amends another one; as
            `load_accord`.
    """
    workspace.require("coordinator")
    accord, now_in_force = load_accord(data), consortium(workspace).accord_digest
    if accord.prev is None or accord.prev != now_in_force:
        raise CallerError("workspace.not-the-next", expected=now_in_force or "–", got=accord.prev or "–")
    return accord


def propose_accord(
    workspace: Workspace, *, written: Accord | None = None, passphrase: str | None = None, clock: Clock = now
) -> Offer:
    """Propose the draft, or the accord that is `written` already: an entry in the ledger (which the first one founds),
    and the parcel for the members.

    The same accord again gives the same proposal again.

    Raises:
        CallerError: as `drafted_accord`; `accord.simulated`; `workspace.accord-has-problems`;
            `workspace.other-genesis` when another first accord is proposed already.
        VerifyError: `fold.…`.
    """
    accord = written or drafted_accord(workspace)
    if accord.simulated:
        raise CallerError("accord.simulated", count=accord.simulated.count)
    if problems := [one.code for one in findings(accord) if one.level == "problem"]:
        raise CallerError("workspace.accord-has-problems", source=str(workspace.draft), codes=", ".join(problems))
    if not (workspace.ledger / "checkpoint").exists():
        log_key = private_key(workspace, "log", passphrase=passphrase)
        Ledger.create(workspace.ledger, origin=accord.origin, key=log_key)
    state = consortium(workspace)
    if waiting := pending(workspace):  # a crash came between the outbox and the ledger
        collect_acts(workspace, waiting, passphrase=passphrase, clock=clock)
        state = consortium(workspace)
    if accord.digest not in state.accords:
        if state.anchor is not None and accord.prev is None:
            raise CallerError("workspace.other-genesis", expected=state.anchor, got=accord.digest)
        workspace.objects.put(accord.to_bytes())
        propose = ProposeAccord(accord=accord.digest)
        act(workspace, propose, [accord.to_bytes()], accord=accord.digest, passphrase=passphrase, clock=clock)
        state = consortium(workspace)
    page = workspace.page.model_copy(update={"consortium": accord.name, "anchor": state.anchor})
    keep_page(workspace, page)
    return Offer(accord, export_ledger(workspace))


def receive_accord(workspace: Workspace, data: bytes, *, passphrase: str | None = None) -> Accord:
    """The accord that a parcel asks this member to sign, after all in the parcel was verified.

    Raises:
        CallerError, IdentityError: as `accord_to_sign` and `take_ledger`.
        VerifyError: `fold.…`, `ledger.…`.
    """
    take_ledger(workspace, data, passphrase=passphrase)
    return accord_to_sign(workspace, passphrase=passphrase)


def signable(workspace: Workspace) -> Accord | None:
    """The latest accord in this party's copy of the ledger that waits for its signature."""
    state = consortium(workspace)
    return next(
        (one for name, one in reversed(list(state.accords.items())) if _signable(state, name, one, workspace)), None
    )


def accord_to_sign(workspace: Workspace, *, passphrase: str | None = None) -> Accord:
    """The accord that waits for this member's signature, by its own copy of the ledger, which was verified.

    Raises:
        CallerError: `workspace.nothing-to-sign`.
        IdentityError: `workspace.other-keys` when it names other keys for this member than those in this folder.
    """
    accord = signable(workspace)
    if accord is None:
        raise CallerError("workspace.nothing-to-sign", party=workspace.party)
    member = accord.member(workspace.party)
    for purpose in MEMBER_PURPOSES if member else ():
        public = getattr(member.keys, purpose) if member else None
        if private_key(workspace, purpose, passphrase=passphrase).public != public:
            raise IdentityError("workspace.other-keys", party=workspace.party, purpose=purpose)
    return accord


def sign_accord(workspace: Workspace, accord: Accord, *, passphrase: str | None = None, clock: Clock = now) -> bytes:
    """Sign an accord that `receive_accord` gave, and prove the other keys; gives the act's parcel.

    Signed once more before the ledger has it, it is the same act. Who signs a first accord pins it as its anchor.

    Raises:
        VerifyError: `fold.…`.
    """
    digest = accord.digest
    if (last := waiting(workspace)) and (last.type, last.accord) == (SignAccord.kind, digest):
        return pending(workspace)[-1]
    message = possession_message(digest, workspace.party)
    proofs = {
        purpose: b64(private_key(workspace, purpose, passphrase=passphrase).sign(message))
        for purpose in MEMBER_PURPOSES[1:]
    }
    signature = SignAccord(accord=digest, witness_proof=proofs["witness"], release_proof=proofs["release"])
    if accord.prev is None:
        workspace = pin_anchor(workspace, digest)
    return act(workspace, signature, accord=digest, passphrase=passphrase, clock=clock)


def _signable(state: Consortium, digest: str, accord: Accord, workspace: Workspace) -> bool:
    parties = {member.name for one in (accord, state.accord) if one for member in one.members}
    follows = digest == state.accord_digest or accord.prev == state.accord_digest
    return follows and workspace.party in parties and workspace.party not in state.signed[digest]


def _in_force(state: Consortium, name: str, keys: MemberKeys) -> MemberKeys:
    held: Mapping[str, str] = keys.model_dump()
    return MemberKeys(**{purpose: state.key(name, purpose) or key for purpose, key in held.items()})
