"""Who may see and do what on the pages of a hub.

    places    under which addresses pages answer, and when they may not listen at all
    roles     a party of the consortium, with the roles that the accord gives it, or a stranger
    store     sessions and one-time links: only hashes are kept
    desk      challenge, login, session: the key opens the pages, no password does
    guard     every request, before any page sees it: Host, Origin, session, CSRF, roles; headers on the way out
    routes    the pages of the door itself
    login     the other side: what `foedus login` does on a party's own machine

Nothing here can sign for anyone: a session lets its owner look, and the coordinator steer its own hub. Votes are
signed elsewhere, on the members' machines. What is covered and what is not: docs/concepts/door.md.
"""

from foedus.web.door.desk import Door
from foedus.web.door.guard import Rule, csrf, guard, who
from foedus.web.door.places import Places, places
from foedus.web.door.roles import EVERYONE, PARTIES, ROLES, STRANGER, Role, Visitor

__all__ = [
    "EVERYONE",
    "PARTIES",
    "ROLES",
    "STRANGER",
    "Door",
    "Places",
    "Role",
    "Rule",
    "Visitor",
    "csrf",
    "guard",
    "places",
    "who",
]
