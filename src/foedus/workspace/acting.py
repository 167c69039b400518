"""Acts: made once in their author's folder, carried as parcels, recorded once in the ledger.

A party's act is one file in its outbox, written whole: number, predecessor, signature and objects at once. After that
instant the act stands there to be sent again, unchanged; before it, the act does not exist. Before an act is written it
is folded after all that this folder knows, so that no number goes to an act that could not stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foedus.core.clock import Clock, now, spell
from foedus.core.digest import sha256
from foedus.core.envelope import Envelope, b64, unb64
from foedus.core.errors import CallerError, IdentityError
from foedus.core.files import lock, read_bytes, write_atomic
from foedus.core.keys import Purpose
from foedus.core.parcel import Parcel
from foedus.ledger.fold import Consortium, resolve
from foedus.ledger.leaf import leaf_bytes, parse_leaf
from foedus.ledger.log import Ledger
from foedus.records.acts import Entry, RotateKey, rotation_message
from foedus.records.base import Record, open_record
from foedus.records.membership import LedgerCopy
from foedus.workspace.folded import folded, folded_with, remember, writing
from foedus.workspace.folder import Workspace, adopt_key, keep_page, new_key, private_key

__all__ = [
    "OwnLedger",
    "act",
    "collect_acts",
    "consortium",
    "deliverable",
    "export_ledger",
    "handed_on",
    "keep_ballot",
    "make_act",
    "outbox",
    "pending",
    "rotate_key",
    "take_ledger",
    "waiting",
]


def consortium(workspace: Workspace) -> Consortium:
    """What this folder's ledger says, an empty consortium before there is one; VerifyError `fold.…`, `ledger.…`."""
    return folded(workspace).state


def outbox(workspace: Workspace) -> list[bytes]:
    """Every act of this party as a parcel, in order."""
    return [read_bytes(path) for path in _outbox_paths(workspace)]


def pending(workspace: Workspace) -> list[bytes]:
    """The acts that this folder's ledger does not hold yet: to be sent again."""
    known = len(consortium(workspace).chains.get(workspace.party, ()))
    return [read_bytes(path) for path in _paths_after(workspace, known)]


def deliverable(workspace: Workspace) -> list[tuple[bytes, bool]]:
    """What a hub is to get of this party, in order: each act that waits, and whether it is a vote with its signatures.

    A vote on a release travels with what it signs, or not at all: without that, it would count and prove nothing.
    """
    known = len(consortium(workspace).chains.get(workspace.party, ()))
    waiting = _paths_after(workspace, known)
    ballots = {path: path.with_suffix(".vote") for path in waiting}
    return [(read_bytes(ballots[path] if ballots[path].exists() else path), ballots[path].exists()) for path in waiting]


def keep_ballot(workspace: Workspace, entry: Envelope, ballot: bytes) -> None:
    """Put a vote with its signatures beside its act in the outbox: what a hub gets instead of the act alone."""
    write_atomic(workspace.outbox / f"{open_record(Entry, entry).number:06d}.vote", ballot)


def make_act(
    workspace: Workspace,
    record: Record,
    objects: Iterable[bytes] = (),
    *,
    accord: str | None = None,
    passphrase: str | None = None,
    clock: Clock = now,
) -> bytes:
    """Sign an act under this party's next number and put it in the outbox; gives its parcel.

    The act that waits last, made once more, is that act and not a second: whoever was killed before handing it over
    begins again. `accord` is needed only for acts on an accord; all others are made under the one in force.

    Raises:
        CallerError: `workspace.no-accord` before an accord is in force.
        IdentityError: `workspace.key-not-here`, or as `load_private`.
        VerifyError: `fold.…` for an act that could not stand; no number is used up.
    """
    with lock(workspace.folder / ".acts.lock", wait=True):
        parcels = list(objects)
        state = _with_pending(workspace, clock)
        under = accord or state.accord_digest
        if under is None:
            raise CallerError("workspace.no-accord", party=workspace.party)
        if (last := waiting(workspace)) and (last.accord, last.act()) == (under, record):
            return pending(workspace)[-1]
        number, prev = state.heads.get(workspace.party, (0, None))
        entry = Entry.of(record, accord=under, actor=workspace.party, number=number + 1, prev=prev)
        key = private_key(workspace, "act", public=state.key(workspace.party, "act"), passphrase=passphrase)
        parcel = Parcel.of([entry.sign(key)], parcels)
        _stand(workspace, state, [parcel], clock)
        data = parcel.to_bytes()
        write_atomic(workspace.outbox / f"{number + 1:06d}.act", data)
        return data


def waiting(workspace: Workspace) -> Entry | None:
    """The last act of this party, when its ledger does not hold it yet."""
    acts = pending(workspace)
    return open_record(Entry, Parcel.from_bytes(acts[-1]).documents[-1]) if acts else None


def handed_on(workspace: Workspace) -> bytes:
    """All acts of this party that its copy of the ledger does not hold: what it gives to its coordinator as a file."""
    opened = [Parcel.from_bytes(data) for data in pending(workspace)]
    documents = [document for parcel in opened for document in parcel.documents]
    return Parcel.of(documents, [data for parcel in opened for data in parcel.objects.values()]).to_bytes()


def act(
    workspace: Workspace,
    record: Record,
    objects: Iterable[bytes] = (),
    *,
    accord: str | None = None,
    passphrase: str | None = None,
    clock: Clock = now,
) -> bytes:
    """`make_act`, and where this party keeps the ledger, record it there at once."""
    data = make_act(workspace, record, objects, accord=accord, passphrase=passphrase, clock=clock)
    if workspace.is_coordinator:
        collect_acts(workspace, pending(workspace), passphrase=passphrase, clock=clock)
    return data


@dataclass(frozen=True, slots=True)
class OwnLedger:
    """The ledger that a coordinator keeps, as a run needs it: what it says, and the coordinator's own acts into it."""

    workspace: Workspace
    passphrase: str | None = field(repr=False)
    clock: Clock

    def state(self) -> Consortium:
        """What the entries say now; raises as `consortium`."""
        return consortium(self.workspace)

    def record(self, record: Record, objects: Iterable[bytes] = ()) -> None:
        """Sign an act, with the objects that it names, and append it; raises as `act`."""
        act(self.workspace, record, objects, passphrase=self.passphrase, clock=self.clock)


def collect_acts(
    workspace: Workspace, parcels: Sequence[bytes], *, passphrase: str | None = None, clock: Clock = now
) -> list[int]:
    """Record the acts in these parcels in the ledger and give their indices; what is recorded already keeps its own.

    Each act is folded before it is recorded; the first that may not stand ends the call, those before it are recorded.

    Raises:
        CallerError: `workspace.wrong-role`, `parcel.…`, `records.…`, `ledger.…`.
        VerifyError: `fold.…` naming the actor.
    """
    workspace.require("coordinator")
    with lock(workspace.folder / ".collect.lock", wait=True):
        before = folded(workspace)
        state, added = before.state, dict[str, int]()
        log_key = private_key(workspace, "log", passphrase=passphrase)
        indices = []
        for parcel in map(Parcel.from_bytes, parcels):
            for document in parcel.documents:
                index = added.get(sha256(document.payload), before.place(document))
                if index is None:
                    single = Parcel((document,), parcel.objects)
                    state = _stand(workspace, state, [single], clock)
                    for data in parcel.objects.values():
                        workspace.objects.put(data)
                    with writing(workspace) as ledger:
                        index = ledger.append(document, key=log_key, clock=clock, since=before.state.size)
                    added[sha256(document.payload)] = index
                indices.append(index)
        _settle(workspace, state, passphrase)
        return indices


def rotate_key(workspace: Workspace, purpose: Purpose, *, passphrase: str | None = None, clock: Clock = now) -> bytes:
    """Make a new key for a purpose; the present act key signs the change, the new key proves itself.

    Raises:
        CallerError: `workspace.no-accord`.
        VerifyError: `fold.…`.
    """
    state = _with_pending(workspace, clock)
    old = state.key(workspace.party, purpose)
    if old is None or state.accord_digest is None:
        raise CallerError("workspace.no-accord", party=workspace.party)
    new = new_key(workspace, purpose, passphrase=passphrase)
    message = rotation_message(state.accord_digest, workspace.party, purpose, old, new.public)
    change = RotateKey.model_validate(
        {"purpose": purpose, "old": old, "new": new.public, "proof": b64(new.sign(message))}
    )
    return act(workspace, change, passphrase=passphrase, clock=clock)


def export_ledger(workspace: Workspace, have: int = 0) -> bytes:
    """The ledger and what is needed to read it, as one parcel for members: accords, proposals, long lists; and the
    reports on which proposed runs rest, for those who vote on them. Without the first `have` entries, for one who has
    them.
    """
    ledger = Ledger(workspace.ledger)
    state = consortium(workspace)
    copy = LedgerCopy(
        origin=ledger.origin, size=ledger.size, checkpoint=b64(ledger.checkpoint()), start=have,
        leaves=tuple(map(b64, ledger.data(have))),
    )  # fmt: skip
    document = Envelope(LedgerCopy.payload_type(), copy.to_bytes(), ())
    reports = {name for one in state.run_proposals.values() for name in one.act.evidence if name in workspace.objects}
    named = [*state.objects, *sorted(reports - set(state.objects))]
    return Parcel.of([document], [workspace.objects.get(name) for name in named]).to_bytes()


def take_ledger(workspace: Workspace, data: bytes, *, passphrase: str | None = None) -> Consortium:
    """A member takes a newer copy of the ledger, once all of it is checked; gives what it says.

    The head must be signed by the log key of the invitation, must extend the copy that is here, and its entries must
    fold from this party's anchor. An older copy changes nothing.

    Raises:
        CallerError: `workspace.wrong-role`, `workspace.copy-leaves-gap`, `parcel.…`, `records.…`.
        IdentityError: `workspace.other-coordinator` when its accord names other keys than the invitation.
        VerifyError: `ledger.…`, `fold.…`.
    """
    workspace.require("member")
    parcel = Parcel.from_bytes(data)
    if len(parcel.documents) != 1:
        raise CallerError("workspace.not-one-document", got=len(parcel.documents))
    copy = open_record(LedgerCopy, parcel.documents[0])
    page = workspace.page
    added = [unb64(leaf) for leaf in copy.leaves]

    def find(digest: str) -> bytes | None:
        return parcel.objects.get(digest) or workspace.find(digest)

    found = folded_with(workspace, added, start=copy.start, find=find)
    state = found.state
    first = state.accords.get(state.anchor or "")
    if first is None or (first.coordinator.name, first.coordinator.keys) != (page.coordinator, page.coordinator_keys):
        raise IdentityError("workspace.other-coordinator", expected=page.coordinator)
    for item in parcel.objects.values():
        workspace.objects.put(item)
    log_key, checkpoint = page.coordinator_keys.log, unb64(copy.checkpoint)
    if (workspace.ledger / "checkpoint").exists():
        with writing(workspace) as ledger:
            ledger.refresh()
            ledger.extend(added[max(0, ledger.size - copy.start) :], checkpoint, log_key=log_key)
    else:
        Ledger.receive(workspace.ledger, added, checkpoint, origin=first.origin, log_key=log_key)
    remember(workspace, found)
    state = consortium(workspace)
    _settle(workspace, state, passphrase)
    return state


def pin_anchor(workspace: Workspace, anchor: str) -> Workspace:
    """Remember the first accord's digest, once; CallerError `workspace.other-anchor` for another than the one kept."""
    page = workspace.page
    if page.anchor == anchor:
        return workspace
    if page.anchor is not None:
        raise CallerError("workspace.other-anchor", expected=page.anchor, got=anchor)
    return keep_page(workspace, page.model_copy(update={"anchor": anchor}))


def _outbox_paths(workspace: Workspace) -> list[Path]:
    return sorted(path for path in workspace.outbox.glob("*.act") if path.stem.isdigit())


def _paths_after(workspace: Workspace, known: int) -> list[Path]:
    """The acts in the outbox that follow this party's `known` ones: numbers leave no gap."""
    found: list[Path] = []
    while (path := workspace.outbox / f"{known + len(found) + 1:06d}.act").exists():
        found.append(path)
    return found


def _with_pending(workspace: Workspace, clock: Clock) -> Consortium:
    """The state after the ledger and after this party's own acts that wait."""
    state = consortium(workspace)
    known = len(state.chains.get(workspace.party, ()))
    waiting = [read_bytes(path) for path in _paths_after(workspace, known)]
    return _stand(workspace, state, [Parcel.from_bytes(data) for data in waiting], clock)


def _stand(workspace: Workspace, state: Consortium, parcels: Sequence[Parcel], clock: Clock) -> Consortium:
    """The state if these acts were recorded now; VerifyError `fold.…` when one may not stand."""
    for parcel in parcels:

        def find(digest: str, parcel: Parcel = parcel) -> bytes | None:
            return parcel.objects.get(digest) or workspace.find(digest)

        at = max(spell(clock()), state.recorded_at or "")
        leaves = [
            parse_leaf(leaf_bytes(document, at), state.size + place) for place, document in enumerate(parcel.documents)
        ]
        state = resolve(leaves, objects=find, anchor=workspace.page.anchor, since=state)
    return state


def _settle(workspace: Workspace, state: Consortium, passphrase: str | None) -> None:
    """New keys that are in force by now take the old ones' place."""
    for path in sorted((workspace.folder / "keys").glob("*.new.pem")):
        purpose: Purpose = path.name.removesuffix(".new.pem")  # type: ignore[assignment]  # file names are purposes
        if (public := state.key(workspace.party, purpose)) is not None:
            adopt_key(workspace, purpose, public, passphrase=passphrase)
