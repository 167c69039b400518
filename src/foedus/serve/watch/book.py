"""What watching keeps: references, looks, alerts, and what is still to be delivered.

One SQLite file, `serving/watch.sqlite`, beside the traffic and as private as it. Every change is one transaction: an
alert and the messages that tell of it are there together or not at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from foedus.core.errors import CallerError, RunError
from foedus.records.watch import Level

__all__ = ["FILE", "Alert", "Book", "Delivery", "Look", "Silence"]

FILE = "serving/watch.sqlite"
VERSION = 1
Standing = Literal["open", "acknowledged", "over"]


@dataclass(frozen=True, slots=True)
class Look:
    """A look at the answers of a release from number `first` to `last` of the traffic; `figures` as data."""

    id: int
    release: str
    at: str
    first: int
    last: int
    since: str
    until: str
    figures: list[dict[str, Any]]
    labels: dict[str, int]


@dataclass(frozen=True, slots=True)
class Alert:
    """That a measure of a release moved. `detail` holds the figures that it rests on; `silenced_until` null: told."""

    id: int
    release: str
    measure: str
    level: Level
    state: Standing
    opened_at: str
    last_at: str
    detail: dict[str, Any]
    by: str | None = None
    note: str | None = None
    silenced_until: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to be sent: to which channel of the settings, when next, and how often it was tried."""

    id: int
    alert: int
    channel: str
    body: dict[str, Any]
    due: str
    tries: int
    state: Literal["waiting", "sent", "given-up"]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """Until when nobody is told of a measure (`all`: of any)."""

    measure: str
    until: str
    by: str


_SCHEMA = """
CREATE TABLE IF NOT EXISTS reference (
    release TEXT PRIMARY KEY, last INTEGER NOT NULL, lengths BLOB NOT NULL, confidences BLOB NOT NULL,
    labels TEXT NOT NULL, inputs BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS look (
    id INTEGER PRIMARY KEY, release TEXT NOT NULL, at TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    since TEXT NOT NULL, until TEXT NOT NULL, figures TEXT NOT NULL, labels TEXT NOT NULL, UNIQUE (release, first)
) STRICT;
CREATE TABLE IF NOT EXISTS alert (
    id INTEGER PRIMARY KEY, release TEXT NOT NULL, measure TEXT NOT NULL, level TEXT NOT NULL, state TEXT NOT NULL,
    opened_at TEXT NOT NULL, last_at TEXT NOT NULL, detail TEXT NOT NULL, by TEXT, note TEXT, silenced_until TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS delivery (
    id INTEGER PRIMARY KEY, alert INTEGER NOT NULL REFERENCES alert (id), channel TEXT NOT NULL, body TEXT NOT NULL,
    due TEXT NOT NULL, tries INTEGER NOT NULL, state TEXT NOT NULL, error TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (state, due);
CREATE TABLE IF NOT EXISTS silence (measure TEXT PRIMARY KEY, until TEXT NOT NULL, by TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS judged (release TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT;
"""
_LOOKS = "SELECT id, release, at, first, last, since, until, figures, labels FROM look"
_ALERTS = "SELECT id, release, measure, level, state, opened_at, last_at, detail, by, note, silenced_until FROM alert"
_DELIVERIES = "SELECT id, alert, channel, body, due, tries, state, error FROM delivery"


class Book:
    """The file, open for one thread; `close`, or leaving the `with` block, ends it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its side files the same mode
            self._base = sqlite3.connect(path, timeout=10, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA foreign_keys=ON")
            version = self._base.execute("PRAGMA user_version").fetchone()[0]
            if version <= VERSION:
                self._base.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
        except (OSError, sqlite3.Error) as error:
            raise RunError("serve.cannot-keep", path=str(path), reason=str(error)[:200]) from error
        if version > VERSION:
            self._base.close()
            raise CallerError("serve.newer-store", path=str(path), got=version, known=VERSION)

    @classmethod
    def of(cls, workspace: Path) -> Self:
        """The file of a workspace's folder, made where there is none.

        Raises:
            CallerError: `serve.newer-store` for a file of a later version.
            RunError: `serve.cannot-keep` where it cannot be written.
        """
        return cls(workspace / FILE)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Self]:
        """One transaction, whole or not at all; RunError `serve.cannot-keep`."""
        try:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")
        except sqlite3.Error as error:
            raise RunError("serve.cannot-keep", path=str(self.path), reason=str(error)[:200]) from error

    # ── references and looks ─────────────────────────────────────────────────

    def reference(self, release: str) -> tuple[int, dict[str, Any]] | None:
        """The number of the reference's last answer, and the columns of its sample."""
        row = self._one("SELECT last, lengths, confidences, labels, inputs FROM reference WHERE release = ?", release)
        names = ("lengths", "confidences", "labels", "inputs")
        return (row[0], dict(zip(names, row[1:], strict=True))) if row else None

    def keep_reference(self, release: str, last: int, columns: dict[str, Any]) -> None:
        """Keep a release's reference, once."""
        values = [columns[name] for name in ("lengths", "confidences", "labels", "inputs")]
        self._base.execute("INSERT OR IGNORE INTO reference VALUES (?, ?, ?, ?, ?, ?)", (release, last, *values))

    def looks(self, release: str | None = None, *, size: int = 100) -> list[Look]:
        """Looks, the newest first."""
        where, given = ("release = ?", [release]) if release else ("1", [])
        rows = self._all(f"{_LOOKS} WHERE {where} ORDER BY id DESC LIMIT ?", *given, size)
        return [Look(*(*row[:7], json.loads(row[7]), json.loads(row[8]))) for row in rows]

    def keep_look(self, look: Look) -> None:
        """Keep a look; the same window again changes nothing."""
        values = (look.release, look.at, look.first, look.last, look.since, look.until, _text(look.figures))
        self._base.execute(
            "INSERT OR IGNORE INTO look (release, at, first, last, since, until, figures, labels)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, _text(look.labels)),
        )

    def judged(self, release: str) -> int:
        """The number of the last piece of feedback whose alarms were raised."""
        row = self._one("SELECT last FROM judged WHERE release = ?", release)
        return int(row[0]) if row else 0

    def keep_judged(self, release: str, last: int) -> None:
        """Remember it."""
        self._base.execute("INSERT OR REPLACE INTO judged VALUES (?, ?)", (release, last))

    # ── alerts ───────────────────────────────────────────────────────────────

    def alerts(
        self, *, release: str | None = None, state: Standing | None = None, page: int = 1, size: int = 100
    ) -> list[Alert]:
        """Alerts, the newest first."""
        parts = [(name, value) for name, value in (("release", release), ("state", state)) if value]
        where = " AND ".join(["1", *(f"{name} = ?" for name, _ in parts)])
        query = f"{_ALERTS} WHERE {where} ORDER BY last_at DESC, id DESC LIMIT ? OFFSET ?"
        rows = self._all(query, *(value for _, value in parts), size, (max(1, page) - 1) * size)
        return [_alert(row) for row in rows]

    def alert(self, number: int) -> Alert:
        """One alert; CallerError `monitor.no-such-alert`."""
        row = self._one(f"{_ALERTS} WHERE id = ?", number)
        if row is None:
            raise CallerError("monitor.no-such-alert", got=number)
        return _alert(row)

    def standing(self, release: str, measure: str) -> Alert | None:
        """The alert of a measure that is not over."""
        query = f"{_ALERTS} WHERE release = ? AND measure = ? AND state != 'over' ORDER BY id DESC"
        row = self._one(query, release, measure)
        return _alert(row) if row else None

    def put_alert(self, alert: Alert) -> int:
        """Keep an alert, a new one where its id is 0; gives its id."""
        values: list[str | None] = [
            alert.release,
            alert.measure,
            alert.level,
            alert.state,
            alert.opened_at,
            alert.last_at,
        ]
        values += [_text(alert.detail), alert.by, alert.note, alert.silenced_until]
        done = self._base.execute(
            "INSERT INTO alert VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " level = excluded.level, state = excluded.state, last_at = excluded.last_at, detail = excluded.detail,"
            " by = excluded.by, note = excluded.note, silenced_until = excluded.silenced_until",
            (alert.id or None, *values),
        )
        return alert.id or int(done.lastrowid or 0)

    def silences(self) -> list[Silence]:
        """Which measures are silenced."""
        return [Silence(*row) for row in self._all("SELECT measure, until, by FROM silence ORDER BY measure")]

    def keep_silence(self, silence: Silence) -> None:
        """Silence a measure; a second time takes the place of the first."""
        values = (silence.measure, silence.until, silence.by)
        self._base.execute("INSERT OR REPLACE INTO silence VALUES (?, ?, ?)", values)

    # ── deliveries ───────────────────────────────────────────────────────────

    def queue(self, alert: int, channel: str, body: dict[str, Any], due: str) -> None:
        """Have a message sent."""
        values = (alert, channel, _text(body), due)
        self._base.execute(
            "INSERT INTO delivery (alert, channel, body, due, tries, state) VALUES (?, ?, ?, ?, 0, 'waiting')", values
        )

    def deliveries(self, *, due: str | None = None, size: int = 100) -> list[Delivery]:
        """Messages, the newest first; with `due` those that wait and are due at that instant, the oldest first."""
        if due is None:
            rows = self._all(f"{_DELIVERIES} ORDER BY id DESC LIMIT ?", size)
        else:
            where = "state = 'waiting' AND due <= ? ORDER BY id LIMIT ?"
            rows = self._all(f"{_DELIVERIES} WHERE {where}", due, size)
        return [Delivery(*(*row[:3], json.loads(row[3]), *row[4:])) for row in rows]

    def settle(self, delivery: int, *, state: str, tries: int, due: str, error: str | None) -> None:
        """What became of a try."""
        values = (state, tries, due, error, delivery)
        self._base.execute("UPDATE delivery SET state = ?, tries = ?, due = ?, error = ? WHERE id = ?", values)

    # ── the end ──────────────────────────────────────────────────────────────

    def _one(self, query: str, *given: Any) -> Sequence[Any] | None:
        row: Sequence[Any] | None = self._base.execute(query, given).fetchone()
        return row

    def _all(self, query: str, *given: Any) -> list[Sequence[Any]]:
        return self._base.execute(query, given).fetchall()

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _alert(row: Sequence[Any]) -> Alert:
    return Alert(*(*row[:7], json.loads(row[7]), *row[8:]))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
