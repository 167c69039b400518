"""Sessions beside the hub, in one SQLite file that only its owner can read.

Of a token only the SHA-256 is kept: who copies the file cannot sign in with it. A link opens one session and is gone;
a session ends by itself (an hour unused, or twelve hours old), by its owner's wish, or with the key that opened it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from foedus.core.clock import Clock, parse, spell
from foedus.core.errors import RunError
from foedus.core.rng import SecretRng

__all__ = ["IDLE", "LIFE", "LINK_LIFE", "Session", "Sessions"]

IDLE = timedelta(hours=1)
LIFE = timedelta(hours=12)
LINK_LIFE = timedelta(minutes=10)

_SEEN = timedelta(minutes=1)
_TABLES = """
CREATE TABLE IF NOT EXISTS secret (value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS links (hash TEXT PRIMARY KEY, party TEXT NOT NULL, key TEXT NOT NULL, ends TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (
    hash TEXT PRIMARY KEY, party TEXT NOT NULL, key TEXT NOT NULL, began TEXT NOT NULL, seen TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS entered (party TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS spent (nonce TEXT PRIMARY KEY, ends TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Session:
    """An open session. `name` tells it from others; it opens nothing. `key` is the act key that opened it."""

    name: str
    party: str
    key: str
    began: str
    seen: str


@dataclass(frozen=True, slots=True)
class Sessions:
    """The file. Every call opens it anew: threads and a second process share it through SQLite's own locks."""

    path: Path
    clock: Clock

    def link(self, party: str, key: str, life: timedelta = LINK_LIFE) -> str:
        """A token that opens one session for this party, once, within `life`."""
        token = SecretRng().hex(32)
        with self._open() as base:
            base.execute(
                "INSERT INTO links VALUES (?, ?, ?, ?)", (_hash(token), party, key, spell(self.clock() + life))
            )
        return token

    def enter(self, link: str) -> str | None:
        """Use a link up and give the token of the session that it opens; None for one that is not there any more."""
        token, now = SecretRng().hex(32), spell(self.clock())
        with self._open() as base:
            base.execute("BEGIN IMMEDIATE")
            row = base.execute("SELECT party, key, ends FROM links WHERE hash = ?", (_hash(link),)).fetchone()
            base.execute("DELETE FROM links WHERE hash = ? OR ends < ?", (_hash(link), now))
            if row is not None and row[2] >= now:
                base.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", (_hash(token), row[0], row[1], now, now))
                base.execute("INSERT OR IGNORE INTO entered VALUES (?)", (row[0],))
            base.execute("COMMIT")
        return token if row is not None and row[2] >= now else None

    def session(self, token: str) -> Session | None:
        """The session of a token, None when there is none or it has ended; that it was seen is noted each minute."""
        now = self.clock()
        with self._open() as base:
            row = base.execute("SELECT * FROM sessions WHERE hash = ?", (_hash(token),)).fetchone()
            if row is None:
                return None
            found = Session(*row)
            if self._over(found):
                base.execute("DELETE FROM sessions WHERE hash = ?", (found.name,))
                return None
            if now - parse(found.seen) >= _SEEN:
                base.execute("UPDATE sessions SET seen = ? WHERE hash = ?", (spell(now), found.name))
        return found

    def has_entered(self, party: str) -> bool:
        """Whether this party ever opened a session."""
        with self._open() as base:
            return base.execute("SELECT 1 FROM entered WHERE party = ?", (party,)).fetchone() is not None

    def of(self, party: str) -> list[Session]:
        """A party's open sessions, the newest first."""
        with self._open() as base:
            rows = base.execute("SELECT * FROM sessions WHERE party = ? ORDER BY began DESC, hash", (party,)).fetchall()
        return [session for session in (Session(*row) for row in rows) if not self._over(session)]

    def end(self, name: str, *, party: str) -> bool:
        """End a session of this party, by its name; whether there was one."""
        with self._open() as base:
            return base.execute("DELETE FROM sessions WHERE hash = ? AND party = ?", (name, party)).rowcount == 1

    def spend(self, nonce: str, ends: str) -> bool:
        """Note that a challenge was answered; False when it was answered before."""
        with self._open() as base:
            base.execute("DELETE FROM spent WHERE ends < ?", (spell(self.clock()),))
            return base.execute("INSERT OR IGNORE INTO spent VALUES (?, ?)", (nonce, ends)).rowcount == 1

    def secret(self) -> bytes:
        """What the challenges of these pages are made with; made once."""
        with self._open() as base:
            base.execute("BEGIN IMMEDIATE")
            row = base.execute("SELECT value FROM secret").fetchone()
            if row is None:
                row = (SecretRng().bytes(32),)
                base.execute("INSERT INTO secret VALUES (?)", row)
            base.execute("COMMIT")
        return bytes(row[0])

    def _over(self, session: Session) -> bool:
        now = self.clock()
        return now - parse(session.began) >= LIFE or now - parse(session.seen) >= IDLE + _SEEN

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(self.path, timeout=10.0, isolation_level=None)) as base:
                if not base.execute("SELECT 1 FROM sqlite_master WHERE name = 'spent'").fetchone():
                    base.executescript(_TABLES)
                yield base
        except (OSError, sqlite3.Error) as error:
            raise RunError("files.cannot-write", path=str(self.path), reason=str(error)) from error


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
