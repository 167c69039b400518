"""Accords, members and keys: few, so the folded state tells them; the tables add when, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from sqlalchemy import Connection, func, select

from foedus.index import tables as t
from foedus.index.fold import Enacted
from foedus.index.results import Agreed, KeyRow, MemberRow
from foedus.ledger.consortium import Consortium
from foedus.records.acts import ProposeAccord, SignAccord

__all__ = ["accords", "keys", "members"]


def accords(connection: Connection, state: Consortium, enacted: Sequence[Enacted]) -> tuple[Agreed, ...]:
    """Every accord that was proposed, newest first."""
    acts = t.entries.c
    rows = select(acts.subject, acts.at, acts.recorded_at).where(acts.kind == ProposeAccord.kind, ~acts.void)
    proposed = {subject: (at, recorded_at) for subject, at, recorded_at in connection.execute(rows)}
    ahead = state.size - 1, state.recorded_at or ""  # the state may be an entry ahead of the tables
    since = {one.accord: one.recorded_at for one in enacted}
    until = {one.accord: later.recorded_at for one, later in pairwise(enacted)}
    found = [
        Agreed(
            digest=digest,
            version=accord.version,
            name=accord.name,
            prev=accord.prev,
            at=proposed.get(digest, ahead)[0],
            proposed_at=proposed.get(digest, ahead)[1],
            in_force_at=since.get(digest),
            until=until.get(digest),
            signed=len(state.signed[digest]),
            members=len(accord.members),
        )
        for digest, accord in state.accords.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.at))


def members(connection: Connection, state: Consortium) -> tuple[MemberRow, ...]:
    """The members of the accord in force, or before one is, of the latest proposed; by name."""
    digest = state.accord_digest or next(reversed([*state.accords]), None)
    if digest is None:
        return ()
    acts = t.entries.c
    known = {row.name: row for row in connection.execute(select(t.parties))}
    counted = select(t.counts.c.actor, func.sum(t.counts.c.entries)).group_by(t.counts.c.actor)
    number = {actor: int(entries) for actor, entries in connection.execute(counted)}
    signing = select(acts.actor, acts.recorded_at).where(acts.subject == digest, acts.kind == SignAccord.kind)
    signed = {row.actor: row.recorded_at for row in connection.execute(signing)}
    found = []
    for member in state.accords[digest].members:
        row, card = known.get(member.name), state.cards.get(member.name)
        found.append(
            MemberRow(
                name=member.name,
                roles=tuple(member.roles),
                tags=tuple(member.tags),
                state=_standing(state, digest, member.name),
                signed_at=signed.get(member.name),
                card=card.act.card if card else None,
                examples=card.act.examples if card else None,
                acts=number.get(member.name, 0),
                last_at=(row.last_at or None) if row else None,
                used=row.used if row else 0,
                left_out=row.left_out if row else 0,
                credit=row.credit if row else None,
            )
        )
    return tuple(sorted(found, key=lambda one: one.name))


def _standing(state: Consortium, digest: str, name: str) -> Literal["member", "unsigned", "left", "frozen"]:
    if name in state.frozen:
        return "frozen"
    if name in state.left:
        return "left"
    return "member" if name in state.signed[digest] else "unsigned"


def keys(state: Consortium, enacted: Sequence[Enacted], party: str | None) -> tuple[KeyRow, ...]:
    """Public keys that are or were in force, by party, purpose and age."""
    found = []
    for (name, purpose), log in sorted(state.key_log.items()):
        if party not in (None, name):
            continue
        for place, (at, public) in enumerate(log):
            later = log[place + 1][0] if place + 1 < len(log) else None
            if later is None and state.keys.get((name, purpose)) != public:  # an accord came without its holder
                later = next((one.at for one in enacted if one.at > at and _without(state, one, name)), None)
            found.append(KeyRow(name, purpose, public, at, later))
    return tuple(found)


def _without(state: Consortium, enacted: Enacted, party: str) -> bool:
    accord = state.accords[enacted.accord]
    return accord.member(party) is None and accord.coordinator.name != party
