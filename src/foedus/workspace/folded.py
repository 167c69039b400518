"""What the ledger in a party's folder amounts to, folded once a process however often it is asked.

Every call reads every byte of the entries again; only what the fold makes of them is kept. Bytes that begin with the
very ones folded before are folded on from there; any others are folded from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foedus.core.digest import sha256
from foedus.ledger.consortium import Consortium
from foedus.ledger.fold import resolve
from foedus.ledger.leaf import parse_leaf
from foedus.ledger.log import Ledger
from foedus.workspace.folder import Workspace

__all__ = ["Folded", "fold", "folded"]

Find = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class Folded:
    """The leaves, what they say, and where each entry stands by its digest."""

    data: list[bytes] = field(default_factory=list)
    state: Consortium = field(default_factory=Consortium)
    places: Mapping[str, int] = field(default_factory=dict)


def folded(workspace: Workspace) -> Folded:
    """The ledger in this folder, an empty one before there is one; VerifyError `fold.…`, `ledger.…`."""
    here = (workspace.ledger / "checkpoint").exists()
    return fold(workspace, list(Ledger(workspace.ledger).data()) if here else [], find=workspace.find)


def fold(workspace: Workspace, data: list[bytes], *, find: Find) -> Folded:
    """These leaves as a ledger of this workspace's consortium; `find` gives objects. Raises as `folded`."""
    place = workspace.ledger.resolve(), workspace.page.anchor
    before = _LATEST.get(place, Folded())
    if data[: len(before.data)] != before.data:
        before = Folded()
    if len(data) == len(before.data):
        return before
    leaves = [parse_leaf(one, index) for index, one in enumerate(data[len(before.data) :], start=len(before.data))]
    state = resolve(leaves, objects=find, anchor=workspace.page.anchor, since=before.state)
    places = {sha256(leaf.envelope.payload): leaf.index for leaf in leaves}
    found = Folded(data, state, {**before.places, **places})
    _LATEST.pop(place, None)
    _LATEST[place] = found
    for oldest in list(_LATEST)[:-_KEPT]:
        _LATEST.pop(oldest, None)
    return found


_LATEST: dict[tuple[Path, str | None], Folded] = {}
_KEPT = 16
"""Ledgers kept in memory at once: a practice consortium's parties."""
