"""Who a visitor of the pages is: a party of the consortium with the roles that the accord gives it, or a stranger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foedus.ledger.consortium import Consortium
from foedus.records.accord import Accord, Member
from foedus.records.membership import WorkspacePage

__all__ = ["EVERYONE", "PARTIES", "ROLES", "STRANGER", "Role", "Visitor", "act_key", "visitor_of"]

Role = Literal["coordinator", "contributor", "auditor", "consumer", "stranger"]
ROLES: tuple[Role, ...] = ("coordinator", "contributor", "auditor", "consumer", "stranger")
EVERYONE: frozenset[Role] = frozenset(ROLES)
PARTIES: frozenset[Role] = EVERYONE - {"stranger"}
"""Whoever has signed in."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. A stranger has no name."""

    name: str | None
    roles: frozenset[Role]

    def may(self, roles: frozenset[Role]) -> bool:
        """Whether one of the visitor's roles is among these."""
        return bool(self.roles & roles)


STRANGER = Visitor(None, frozenset({"stranger"}))


def visitor_of(state: Consortium, page: WorkspacePage, party: str) -> Visitor:
    """A party with its roles as they are now: who has left, or is in no accord, is a stranger again."""
    if party == page.party:
        return Visitor(party, frozenset({"coordinator"}))
    member = _member(state, party)
    if member is None or party in state.left:
        return STRANGER
    return Visitor(party, frozenset(member.roles))


def act_key(state: Consortium, page: WorkspacePage, party: str) -> str | None:
    """The public key by which a party signs in: its act key in force, or that of the accord it is asked to sign."""
    if party in state.left:
        return None
    if (key := state.key(party, "act")) is not None:
        return key
    if party == page.party:
        return page.coordinator_keys.act
    member = _member(state, party)
    return member.keys.act if member else None


def _member(state: Consortium, party: str) -> Member | None:
    """A party as the accord in force names it; before there is one, as the latest proposed accord does."""
    accord: Accord | None = state.accord or next(reversed(list(state.accords.values())), None)
    return accord.member(party) if accord else None
