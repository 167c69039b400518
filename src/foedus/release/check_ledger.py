"""Steps (2) to (5) of `verify`: the anchor, the ledger's structure, its fold, its witnesses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from foedus.core.checks import Check, ok
from foedus.core.clock import parse
from foedus.core.errors import VerifyError
from foedus.core.files import read_bytes
from foedus.ledger import Leaf, merkle, verify_structure, verify_witnesses
from foedus.ledger.consortium import Consortium
from foedus.ledger.fold import resolve
from foedus.ledger.note import Checkpoint, Note
from foedus.records.accord import Accord
from foedus.records.acts import Propose
from foedus.records.release import Proposal
from foedus.release.report import Asked, Report, Seen, Stop

__all__ = ["CLOCKS_APART", "leaf_hashes", "read_ledger"]

CLOCKS_APART = timedelta(minutes=10)
"""How far the coordinator's clock may be ahead of the reader's. A head later than that would be fresh for ever."""


def read_ledger(
    folder: Path,
    accord: Accord,
    objects: Callable[[str], bytes | None],
    asked: Asked,
    report: Report,
    seen: Seen,
) -> Consortium:
    """Add the lines on anchor, ledger, fold and witnesses, and give what the ledger says; else Stop."""
    with report.step("release.anchor", needed=True):
        genesis = _genesis(asked.anchor, accord, objects)
        if asked.anchor:
            report.add(ok("release.anchor", anchor=asked.anchor))
        else:
            report.add(Check("release.unanchored", "warn", {"anchor": genesis.digest}))
    with report.step("ledger.checkpoint", needed=True):
        log_key = genesis.coordinator.keys.log  # it never changes: the fold refuses that
        checks, leaves = verify_structure(folder, log_key=log_key, origin=genesis.origin, since=asked.since)
        report.add(*checks)
    if not leaves:
        raise Stop
    checkpoint = read_bytes(folder / "checkpoint")
    if asked.ledger:
        with report.step("ledger.checkpoint", needed=True):
            more, newer = verify_structure(asked.ledger, log_key=log_key, origin=genesis.origin, since=checkpoint)
            report.add(*more)
        if not newer:
            raise Stop
        leaves, checkpoint = newer, read_bytes(asked.ledger / "checkpoint")
    seen.leaves = leaves
    seen.size, seen.recorded_at = len(leaves), leaves[-1].recorded_at
    if parse(seen.recorded_at) > asked.at + CLOCKS_APART:
        seen.ahead = True
        report.add(Check("release.ahead", "warn", {"at": seen.recorded_at}))
    if seen.proposal:
        with report.step("release.proposal", needed=True):
            _require_proposed(seen.proposal, leaves)
    with report.step("release.known-head"):
        _compare_known(genesis.digest, leaves, asked, report, seen)
    with report.step("release.fold", needed=True):
        consortium = resolve(leaves, objects=objects, anchor=genesis.digest)
        report.add(ok("release.fold", entries=len(leaves), members=len(consortium.members)))
        seen.consortium = consortium
    with report.step("release.frozen"):
        for actor, proof in consortium.frozen.items():
            report.add(Check("release.frozen-actor", "warn", {"actor": actor, "number": proof.number}))
    witnesses = {m.name: key for m in accord.members if (key := consortium.key(m.name, "witness"))}
    need = accord.ledger.witnesses_needed(len(accord.members))
    report.add(*verify_witnesses(checkpoint, origin=genesis.origin, witnesses=witnesses, needed=need))
    if asked.anchor and not report.failed:
        asked.known.remember(genesis.digest, checkpoint)
    return consortium


def _genesis(anchor: str | None, accord: Accord, objects: Callable[[str], bytes | None]) -> Accord:
    """The consortium's first accord: the anchor's, or without one where the accord's chain of `prev` begins."""
    if anchor:
        data = objects(anchor)
        if data is None:
            raise VerifyError("release.anchor-not-found", anchor=anchor)
        return Accord.from_bytes(data)
    first = accord
    while first.prev:
        data = objects(first.prev)
        if data is None:
            raise VerifyError("release.accord-missing", digest=first.prev)
        first = Accord.from_bytes(data)
    return first


def _require_proposed(proposal: Proposal, leaves: list[Leaf]) -> None:
    digest = proposal.digest
    if not any(leaf.entry.type == Propose.kind and leaf.entry.body.get("proposal") == digest for leaf in leaves):
        raise VerifyError("release.not-proposed", digest=digest)


def _compare_known(anchor: str, leaves: list[Leaf], asked: Asked, report: Report, seen: Seen) -> None:
    """The highest head seen of this consortium: this ledger extends it, or is an older copy, or the log lied to
    someone.
    """
    data = asked.known.head(anchor)
    if data is None:
        return
    head = Checkpoint.parse(Note.from_bytes(data).text)
    if head.size > len(leaves):
        seen.stale = True
        report.add(Check("release.older-than-known", "warn", {"size": len(leaves), "known": head.size}))
    elif merkle.root(leaf_hashes(leaves, head.size)) != head.root:
        raise VerifyError("release.forked", size=head.size)


def leaf_hashes(leaves: list[Leaf], size: int) -> list[bytes]:
    """The hashes of the first `size` leaves."""
    return [merkle.leaf_hash(leaf.data) for leaf in leaves[:size]]
