"""Who may see a member's page: a browser that opened the link of this start, good until the process ends."""

from __future__ import annotations

import hmac
import threading
from dataclasses import dataclass, field
from hashlib import sha256

from foedus.core.rng import SecretRng
from foedus.web.door.places import Places
from foedus.web.door.roles import STRANGER, Role, Visitor

__all__ = ["LOCKED", "Keeper"]

LOCKED = "/locked"
"""Where a browser without a session is sent."""

_SESSIONS = 64


@dataclass(slots=True)
class Keeper:
    """The secret of this start, and the sessions that it opened; both are gone with the process."""

    party: str
    places: Places
    secret: str = field(default_factory=lambda: SecretRng().hex(32), repr=False)
    sign_in: str = LOCKED
    _open: list[str] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def link(self) -> str:
        """What is printed when the page starts."""
        return f"{self.places.origin}/enter?token={self.secret}"

    def enter(self, secret: str) -> str | None:
        """A session's token for the right secret; the oldest of many sessions ends."""
        if not hmac.compare_digest(secret.encode(), self.secret.encode()):
            return None
        token = SecretRng().hex(32)
        with self._lock:
            self._open = [*self._open, _hash(token)][-_SESSIONS:]
        return token

    def visitor(self, token: str | None) -> Visitor:
        """The member, for a session of this start; a stranger else."""
        known = token is not None and _hash(token) in self._open
        roles: frozenset[Role] = frozenset({"contributor"})
        return Visitor(self.party, roles) if known else STRANGER


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
