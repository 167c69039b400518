"""Members as witnesses: each cosigns the head of its own, verified copy; the coordinator collects the lines.

A cosignature says: this is the largest head of this ledger that I have seen, and it agrees with every earlier one.
With enough of them on one head, readers know that nobody was shown another history.
"""

from __future__ import annotations

from collections.abc import Iterable

from foedus.core.clock import Clock, now
from foedus.core.errors import VerifyError
from foedus.ledger.log import Ledger
from foedus.ledger.note import Note, cosign, witness_name
from foedus.workspace.acting import consortium
from foedus.workspace.folder import Workspace, private_key

__all__ = ["collect_cosignatures", "cosign_head"]


def cosign_head(workspace: Workspace, *, passphrase: str | None = None, clock: Clock = now) -> bytes:
    """A member's cosignature of the head of its copy of the ledger: a signed note with that one line.

    Raises:
        CallerError: `workspace.wrong-role`, `ledger.none-here`.
        VerifyError: as the fold, where the copy does not hold.
    """
    workspace.require("member")
    state, ledger = consortium(workspace), Ledger(workspace.ledger)
    public = state.key(workspace.party, "witness")
    key = private_key(workspace, "witness", public=public, passphrase=passphrase)
    line = cosign(ledger.head.text, witness_name(ledger.origin, workspace.party), key, clock)
    return Note(ledger.head.text, (line,)).to_bytes()


def collect_cosignatures(workspace: Workspace, notes: Iterable[bytes]) -> tuple[int, int]:
    """The coordinator adds members' cosignatures to its head; gives how many it now bears and how many are needed.

    Raises:
        CallerError: `workspace.wrong-role`.
        VerifyError: `ledger.unknown-witness` for one who is no member, `ledger.bad-note`, `ledger.bad-cosignature`,
            also for a note of a head that is no longer the present one.
    """
    workspace.require("coordinator")
    state, ledger = consortium(workspace), Ledger(workspace.ledger)
    for note in map(Note.from_bytes, notes):
        for line in note.lines:
            member = line.name.removeprefix(f"{ledger.origin}/")
            public = state.key(member, "witness")
            if public is None:
                raise VerifyError("ledger.unknown-witness", name=line.name)
            if note.text != ledger.head.text:
                raise VerifyError("ledger.bad-cosignature", name=line.name)
            ledger.add_cosignature(str(line), member=member, public=public)
    needed = state.accord.ledger.witnesses_needed(len(state.accord.members)) if state.accord else 0
    return len(Note.from_bytes(ledger.checkpoint()).lines) - 1, needed
