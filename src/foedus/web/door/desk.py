"""The door of a hub's pages: a party proves its key, gets a link, and the link opens a session in its browser.

challenge   what to sign: origin, consortium, party, nonce, end. Nothing is stored for it: the nonce proves itself
admit       a signed `Login` → a one-time link
enter       the link → a session's token, for a cookie
visitor     the cookie → who it is, by the accord and the keys in force at this moment
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from foedus.core.clock import Clock, now, parse, spell
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError, IdentityError
from foedus.core.rng import SecretRng
from foedus.ledger.consortium import Consortium
from foedus.records.base import open_record
from foedus.records.door import CHALLENGE_SECONDS, Challenge, Login
from foedus.records.membership import WorkspacePage
from foedus.web.door.places import Places
from foedus.web.door.roles import STRANGER, Visitor, act_key, visitor_of
from foedus.web.door.store import Session, Sessions
from foedus.workspace import Workspace

__all__ = ["SIGN_IN", "Door"]

SIGN_IN = "/door"
"""The page where strangers are sent."""


@dataclass(frozen=True, slots=True)
class Door:
    """The pages' door. `state` gives what the ledger says now; `page` is the coordinator's."""

    places: Places
    sessions: Sessions
    page: WorkspacePage
    state: Callable[[], Consortium]
    clock: Clock
    sign_in: str = SIGN_IN

    @staticmethod
    def open(workspace: Workspace, places: Places, state: Callable[[], Consortium], *, clock: Clock = now) -> Door:
        """The door of a coordinator's workspace; its sessions lie beside the hub."""
        return Door(places, sessions_of(workspace.folder, clock), workspace.page, state, clock)

    def visitor(self, token: str | None) -> Visitor:
        """Who has this session; a stranger when it has ended, its key is no longer in force, or the party has left."""
        found = self.sessions.session(token) if token else None
        if found is None:
            return STRANGER
        state = self.state()
        return visitor_of(state, self.page, found.party) if _still(state, self.page, found) else STRANGER

    def challenge(self, party: str, origin: str) -> Challenge:
        """What a party signs to come in at this origin; for any name, so that strangers learn none."""
        seed = SecretRng().hex(16)
        ends = spell(self.clock() + timedelta(seconds=CHALLENGE_SECONDS))
        fields = {"origin": origin, "consortium": self.consortium, "party": party, "expires": ends}
        return Challenge.from_json({"v": 1, **fields, "nonce": seed + self._mark(seed, party, ends)})

    def admit(self, data: bytes) -> str:
        """A link for the party that signed this login.

        Raises:
            CallerError: for bytes that are no login: `records.wrong-type` for an act.
            IdentityError: `door.other-place`, `door.challenge-not-ours`, `door.challenge-ended`, `door.challenge-used`;
                `door.not-admitted` when its key is not in force, or did not sign.
        """
        document = Envelope.from_bytes(data)
        login = open_record(Login, document)
        if login.origin not in self.places.origins or login.consortium != self.consortium:
            raise IdentityError("door.other-place", expected=self.places.origin, got=login.origin)
        if not hmac.compare_digest(login.nonce[32:], self._mark(login.nonce[:32], login.party, login.expires)):
            raise IdentityError("door.challenge-not-ours")
        if self.clock() > parse(login.expires):
            raise IdentityError("door.challenge-ended", seconds=CHALLENGE_SECONDS)
        state = self.state()
        key = act_key(state, self.page, login.party)
        if key is None or not document.signed_by(key) or visitor_of(state, self.page, login.party) == STRANGER:
            raise IdentityError("door.not-admitted", party=login.party)
        if not self.sessions.spend(login.nonce, login.expires):
            raise IdentityError("door.challenge-used")
        return self.sessions.link(login.party, key)

    def first_link(self) -> str | None:
        """A link for the coordinator, for whoever starts the pages; None once it has come in by its key or a link."""
        if self.sessions.has_entered(self.page.party):
            return None
        key = act_key(self.state(), self.page, self.page.party)
        if key is None:
            raise CallerError("workspace.no-accord", party=self.page.party)
        return self.places.origin + f"{self.sign_in}/enter?token=" + self.sessions.link(self.page.party, key)

    @property
    def consortium(self) -> str | None:
        """The consortium whose pages these are; None before it has a name."""
        accord = self.state().accord
        return accord.name if accord else self.page.consortium

    def _mark(self, seed: str, party: str, ends: str) -> str:
        """What only these pages can put behind a seed."""
        message = f"foedus challenge v1\n{seed}\n{party}\n{ends}".encode()
        return hmac.digest(self.sessions.secret(), message, "sha256").hex()


def sessions_of(folder: Path, clock: Clock) -> Sessions:
    """The sessions of the pages of the workspace in this folder."""
    return Sessions(folder / "hub" / "door.sqlite", clock)


def _still(state: Consortium, page: WorkspacePage, session: Session) -> bool:
    return act_key(state, page, session.party) == session.key
