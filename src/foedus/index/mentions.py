"""Where a digest stands in the ledger: as an entry, as what an act is about, as a reply, a snapshot, a model."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, literal, select

from foedus.index import tables as t
from foedus.index.results import Mention

__all__ = ["mentions"]

_MOST = 100
_SUBJECTS = {
    "accord.propose": "accord",
    "accord.sign": "accord",
    "data.register": "card",
    "run.propose": "proposal",
    "run.open": "state",
    "round.close": "state",
    "run.close": "state",
    "evidence.enter": "evidence",
    "gate.verdicts": "verdicts",
    "release.propose": "proposal",
    "release.publish": "proposal",
    "release.revoke": "proposal",
    "vote.cast": "vote",
    "vote.close": "vote",
    "object.erase": "object",
}
"""As what the subject of an act stands in its entry."""

_PROPOSED = ("model", "state", "base", "evidence", "verdicts", "credit")
"""What a proposal names of a release."""


def mentions(connection: Connection, digest: str) -> tuple[Mention, ...]:
    """Where a digest stands, oldest first, at most 100."""
    found = {_mention(*row) for rows in _everywhere(digest) for row in connection.execute(rows.limit(_MOST))}
    return tuple(sorted(found, key=lambda one: (one.at, one.what))[:_MOST])


def _everywhere(digest: str) -> list[Select[Any]]:
    acts, rounds, asked, runs, proposals = t.entries.c, t.rounds.c, t.asked.c, t.runs.c, t.proposals.c
    places: list[tuple[str, ColumnElement[str], ColumnElement[int]]] = [
        ("snapshot", rounds.snapshot, rounds.at),
        ("reply", asked.reply, asked.at),
        ("credit", runs.credit, runs.at),
        *[(name, proposals[name], proposals.at) for name in _PROPOSED],
    ]
    entry = [acts.at, acts.kind, acts.actor, acts.recorded_at, acts.run]
    own = [
        select(literal(what), *entry).where(column == digest).order_by(acts.at)
        for what, column in (("entry", acts.entry), ("", acts.subject))
    ]
    beside = [
        select(literal(what), *entry).join(column.table, acts.at == at).where(column == digest).order_by(acts.at)
        for what, column, at in places
    ]
    published = (acts.kind == "release.publish") & (acts.subject == proposals.proposal)
    checksums = select(literal("checksums"), *entry).join(t.proposals, published).where(proposals.checksums == digest)
    return [*own, *beside, checksums]


def _mention(what: str, at: int, kind: str, actor: str, recorded_at: str, run: str | None) -> Mention:
    return Mention(what or _SUBJECTS.get(kind, "subject"), at, kind, actor, recorded_at, run)
