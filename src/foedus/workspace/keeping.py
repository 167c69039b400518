"""How long replies are kept: `aggregation.keep_replies_days` of the run's accord, counted from its `run.close`.

After the term the coordinator deletes what members replied in the run and the objects that only those replies name, and
each member the replies that it kept. Until then nothing deletes them. Never deleted: what entries, snapshots, asks or
the replies of another run name; the asks; the replies of a run that is not closed or can still be examined. A deletion
that is cut off goes on when it is called again: a reply goes after its objects, the list of replies last.

No `object.erase` is written: everybody computes the term from the accord and the entry that closed the run, while an
entry for each reply would make the ledger grow by what it was to forget.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from foedus.accord import in_force_on
from foedus.core.clock import parse
from foedus.core.digest import DIGEST
from foedus.core.envelope import Envelope
from foedus.core.errors import RunError
from foedus.core.files import lock
from foedus.core.objects import ObjectStore
from foedus.ledger import Ledger
from foedus.ledger.consortium import Consortium, RunState
from foedus.records.asks import Reply
from foedus.records.base import open_record
from foedus.workspace.folded import folded
from foedus.workspace.folder import Workspace, working
from foedus.workspace.journal import Journal

__all__ = ["kept_until", "prune_answers", "prune_replies", "prune_when_idle"]


def kept_until(known: Consortium, run: str, *, at: datetime) -> datetime | None:
    """When the term of a run's replies ends; None while the run is not closed, or still waits for its examination."""
    this = known.runs[run]
    if this.closed_at is None or _still_to_examine(known, this, at):
        return None
    return parse(this.closed_at) + timedelta(days=known.accords[this.accord].aggregation.keep_replies_days)


def _still_to_examine(known: Consortium, this: RunState, at: datetime) -> bool:
    """Whether this closed run can go on to its evidence, for which its replies are read."""
    if this.close is None or this.close.outcome == "failed" or this.opened.trial is not None:
        return False
    if this.accord != known.accord_digest or not in_force_on(known.accords[this.accord], at.date()):
        return False
    return all(entered.run != this.opened.run for entered in known.evidence.values())


def _over(known: Consortium, at: datetime) -> dict[str, RunState]:
    """The runs whose replies are kept no longer."""
    ends = {name: kept_until(known, name, at=at) for name in known.runs}
    return {name: known.runs[name] for name, end in ends.items() if end is not None and end <= at}


def prune_when_idle(hub: Workspace, *, at: datetime) -> tuple[str, ...]:
    """As `prune_replies`; nothing while a run holds the workspace, which prunes when it begins and ends."""
    if not _due(hub, folded(hub).state, at):
        return ()
    try:
        with working(hub):
            return prune_replies(hub, at=at)
    except RunError as error:
        if error.code != "workspace.busy":
            raise
        return ()


def prune_replies(hub: Workspace, *, at: datetime) -> tuple[str, ...]:
    """Delete at the coordinator what its runs' terms no longer keep; the names of the runs whose replies went now.

    To be called by who holds the workspace (`working`): nobody may store replies meanwhile.
    """
    known = folded(hub).state
    over = _due(hub, known, at)
    if not over:
        return ()
    store = hub.objects
    replies = {reply for name, run in over.items() for reply in _replies_of(hub, known, name, run)}
    needed = _needed(hub, known, over, replies)
    for name in sorted(one for one in replies if one in store):
        for named in open_record(Reply, Envelope.from_bytes(store.get(name))).objects.values():
            if named not in needed:
                store.discard(named)
        store.discard(name)
    for name in over:
        shutil.rmtree(hub.folder / "runs" / name / "late", ignore_errors=True)
        shutil.rmtree(hub.folder / "runs" / name / "replies")
    return tuple(over)


def _due(hub: Workspace, known: Consortium, at: datetime) -> dict[str, RunState]:
    """The runs that are to be pruned, and were not yet."""
    return {name: run for name, run in _over(known, at).items() if (hub.folder / "runs" / name / "replies").exists()}


def _replies_of(hub: Workspace, known: Consortium, name: str, run: RunState) -> Iterator[str]:
    """Every reply of a run: those that came, used or not, and those that its entries list."""
    yield from _listed(hub.folder / "runs" / name / "replies")
    for close in run.closes:
        yield from (one.reply for one in (*close.used, *close.measured))
        yield from (one.reply for one in close.late)
        yield from (one.reply for one in close.left_out if one.reply)
    for entered in known.evidence.values():
        yield from (one.reply for one in entered.replies if entered.run == name)


def _needed(hub: Workspace, known: Consortium, over: Mapping[str, RunState], replies: set[str]) -> set[str]:
    """Every digest that stands in a document which stays, but for those of the replies that go.

    A member can name any object in its reply, so what is kept for another reason is found without asking what it is.
    """
    store = hub.objects
    documents = [leaf.envelope.payload for leaf in Ledger(hub.ledger).leaves()]
    named = [*known.objects, *(close.snapshot for run in known.runs.values() for close in run.closes)]
    documents += [store.get(one) for one in named if one in store]
    documents += [_payload(path.read_bytes()) for path in hub.folder.glob("runs/*/asks/*/*.json")]
    for folder in hub.folder.glob("runs/*/replies"):
        if folder.parent.name not in over:
            documents += [_payload(store.get(one)) for one in _listed(folder) if one in store]
    return _digests(documents) - replies


def _listed(folder: Path) -> list[str]:
    """What the index of a run's replies names; a file that a crash left half written names nothing."""
    return [text for path in folder.iterdir() if DIGEST.fullmatch(text := path.read_text())]


def _payload(data: bytes) -> bytes:
    return Envelope.from_bytes(data).payload


def _digests(documents: Iterable[bytes]) -> set[str]:
    return {digest for one in documents for digest in DIGEST.findall(one.decode())}


def prune_answers(member: Workspace, *, at: datetime) -> int:
    """Delete the replies that a member's node kept of runs whose term is over; how many went.

    The journal goes on naming them; the node refuses to give such an answer again.
    """
    over = _over(folded(member).state, at)
    folder = member.folder / "node"
    if not over or not (folder / "replies").exists():
        return 0
    store, count = ObjectStore(folder / "replies"), 0
    with lock(folder / ".node.lock", wait=True):
        for line in Journal(folder / "journal.jsonl").lines:
            if line.reply and line.place.rsplit("/", 3)[0] in over and line.reply in store:
                store.discard(line.reply)
                count += 1
    return count
