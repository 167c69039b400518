"""What a serving workspace keeps of its traffic: answers, what users said of them, and what waits for a human.

One SQLite file, `serving/traffic.sqlite` in the workspace, which its owner alone can read:

    answers   (id, at, release, app, purpose, tokens, label, confidence_bp, text NULL, embedding BLOB NULL, state)
    feedback  (answer, at, verdict, correct, comment, consent, by)
    reviews   (answer, at, state, by, label)

Texts and embeddings are there only where the accord's clause or an option lets them be kept, stay on this machine and
go after the days that these say (`forget`); the rest of a row says nothing of what was asked. Every write is one
transaction: a process that is killed leaves whole rows. Several processes may read and write at once.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from foedus.core.errors import CallerError, RunError

__all__ = ["FILE", "Answer", "Feedback", "Review", "State", "Traffic", "Verdict"]

FILE = "serving/traffic.sqlite"
VERSION = 1
LARGEST_PAGE = 10_000
_BUSY_SECONDS = 10.0

State = Literal["answered", "in-review", "reviewed"]
Verdict = Literal["right", "wrong"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One text that was answered.

    `id` is the prediction's; `at` an instant as records write it; `release` NAME-VERSION; `app` whose token asked,
    empty without tokens; `tokens` how many were read; `label` the answer, for entities how many of each type;
    `confidence_bp` its probability in basis points, for entities that of the least certain word; `embedding` float32
    little-endian, of length 1.
    """

    id: str
    at: str
    release: str
    app: str
    purpose: str
    tokens: int
    label: str
    confidence_bp: int
    text: str | None = None
    embedding: bytes | None = None
    state: State = "answered"


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a user said of an answer. `correct` is the label it should have been; `consent`: may it be learned from."""

    answer: str
    at: str
    verdict: Verdict
    correct: str | None = None
    comment: str | None = None
    consent: bool = False
    by: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """An answer that a human should look at: since when, whether somebody has, who, and the label given."""

    answer: str
    at: str
    state: Literal["open", "done"] = "open"
    by: str | None = None
    label: str | None = None


_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    id TEXT PRIMARY KEY, at TEXT NOT NULL, release TEXT NOT NULL, app TEXT NOT NULL, purpose TEXT NOT NULL,
    tokens INTEGER NOT NULL, label TEXT NOT NULL, confidence_bp INTEGER NOT NULL, text TEXT, embedding BLOB,
    state TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS answers_at ON answers (at);
CREATE INDEX IF NOT EXISTS answers_kept ON answers (at) WHERE text IS NOT NULL OR embedding IS NOT NULL;
CREATE TABLE IF NOT EXISTS feedback (
    answer TEXT NOT NULL REFERENCES answers (id), at TEXT NOT NULL, verdict TEXT NOT NULL, correct TEXT, comment TEXT,
    consent INTEGER NOT NULL, by TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS feedback_at ON feedback (at);
CREATE INDEX IF NOT EXISTS feedback_answer ON feedback (answer);
CREATE TABLE IF NOT EXISTS reviews (
    answer TEXT PRIMARY KEY REFERENCES answers (id), at TEXT NOT NULL, state TEXT NOT NULL, by TEXT, label TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS reviews_state ON reviews (state, at);
"""

Kept = TypeVar("Kept", bound=Answer | Feedback | Review)


class Traffic:
    """The file, open. Safe for several threads; `close`, or leaving the `with` block, ends it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._base = self._opened()

    @classmethod
    def of(cls, workspace: Path) -> Self:
        """The file of a workspace's folder, made where there is none.

        Raises:
            CallerError: `serve.newer-store` for a file of a later version.
            RunError: `serve.cannot-keep` where it cannot be written.
        """
        return cls(workspace / FILE)

    def _opened(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its side files the same mode
            base = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._cannot(error) from error
        try:
            base.execute("PRAGMA journal_mode=WAL")
            base.execute("PRAGMA synchronous=NORMAL")
            base.execute("PRAGMA secure_delete=ON")  # what is forgotten is overwritten, not only unlinked
            base.execute("PRAGMA foreign_keys=ON")
            version = base.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise CallerError("serve.newer-store", path=str(self.path), got=version, known=VERSION)
            base.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
        except sqlite3.Error as error:
            base.close()
            raise self._cannot(error) from error
        except BaseException:
            base.close()
            raise
        return base

    # ── writing ──────────────────────────────────────────────────────────────

    def add(self, answers: Iterable[Answer]) -> None:
        """Keep answers; those `in-review` wait for a human from now on. RunError `serve.cannot-keep`."""
        rows = list(answers)
        waiting = [Review(row.id, row.at) for row in rows if row.state == "in-review"]
        with self._writing() as base:
            base.executemany(_insert("answers", Answer), [_values(row) for row in rows])
            base.executemany(_insert("reviews", Review), [_values(row) for row in waiting])

    def say(self, feedback: Feedback) -> None:
        """Keep what a user said.

        Raises:
            CallerError: `serve.no-such-answer`.
            RunError: `serve.cannot-keep`.
        """
        with self._writing() as base:
            _require(base, "answers", "id", feedback.answer)
            base.execute(_insert("feedback", Feedback), _values(feedback))

    def review(self, answer: str, *, label: str, by: str) -> None:
        """Keep a human's label for an answer that waits for one; a second one takes the place of the first.

        Raises:
            CallerError: `serve.not-in-review`.
            RunError: `serve.cannot-keep`.
        """
        with self._writing() as base:
            _require(base, "reviews", "answer", answer)
            base.execute("UPDATE reviews SET state = 'done', by = ?, label = ? WHERE answer = ?", (by, label, answer))
            base.execute("UPDATE answers SET state = 'reviewed' WHERE id = ?", (answer,))

    def forget(self, before: str) -> int:
        """Delete the texts, embeddings and users' comments from before an instant; gives how many answers lost
        something.

        Raises: RunError: `serve.cannot-keep`.
        """
        with self._writing() as base:
            gone = base.execute(
                "UPDATE answers SET text = NULL, embedding = NULL"
                " WHERE at < ? AND (text IS NOT NULL OR embedding IS NOT NULL)",
                (before,),
            ).rowcount
            base.execute("UPDATE feedback SET comment = NULL WHERE at < ? AND comment IS NOT NULL", (before,))
        if gone:
            with self._lock:
                self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the journal held the old pages, too
        return gone

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, whole or not at all."""
        with self._lock:
            try:
                self._base.execute("BEGIN IMMEDIATE")
                try:
                    yield self._base
                except BaseException:
                    self._base.execute("ROLLBACK")
                    raise
                self._base.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._cannot(error) from error

    # ── reading ──────────────────────────────────────────────────────────────

    def answer(self, name: str) -> Answer | None:
        """One answer by its id."""
        return next(iter(self._rows(Answer, "answers WHERE id = ?", [name])), None)

    def answers(
        self,
        *,
        release: str | None = None,
        state: State | None = None,
        since: str | None = None,
        until: str | None = None,
        with_embedding: bool = False,
        page: int = 1,
        size: int = 100,
    ) -> list[Answer]:
        """Answers, the newest first, of one release or state, from `since` on and before `until`."""
        where, given = _where(release=release, state=state, since=since, until=until)
        where += " AND embedding IS NOT NULL" if with_embedding else ""
        return self._page(Answer, f"answers WHERE {where} ORDER BY at DESC, rowid DESC", given, page, size)

    def answers_after(self, number: int, *, release: str, size: int = 1000) -> list[tuple[int, Answer]]:
        """A release's answers in the order served, each with its number in this file: those after that number."""
        return self._after(Answer, "answers", "release = ?", [release], number, size)

    def feedback_after(self, number: int, *, release: str, size: int = 1000) -> list[tuple[int, Feedback]]:
        """What users said of a release's answers, in the order said, each with its number: after that number."""
        where = "answer IN (SELECT id FROM answers WHERE release = ?)"
        return self._after(Feedback, "feedback", where, [release], number, size)

    def corrections(self, *, release: str | None = None) -> list[tuple[Answer, Feedback]]:
        """The answers that users called wrong, corrected and let be learned from, the oldest first, each with the last
        word on it. Only those whose text is still kept.
        """
        where, given = _where(release=release)
        with self._lock:
            rows = self._base.execute(
                f"SELECT {_named('answers', Answer)}, {_named('feedback', Feedback)}"  # noqa: S608 - our own names
                " FROM feedback JOIN answers ON answers.id = feedback.answer"
                f" WHERE {where} AND verdict = 'wrong' AND consent = 1 AND correct IS NOT NULL AND text IS NOT NULL"
                " AND feedback.rowid = (SELECT max(rowid) FROM feedback AS later WHERE later.answer = answers.id)"
                " ORDER BY feedback.rowid",
                given,
            ).fetchall()
        split = len(_columns(Answer))
        return [(_made(Answer, row[:split]), _made(Feedback, row[split:])) for row in rows]

    def feedback(
        self,
        *,
        answer: str | None = None,
        verdict: Verdict | None = None,
        since: str | None = None,
        until: str | None = None,
        page: int = 1,
        size: int = 100,
    ) -> list[Feedback]:
        """What users said, the newest first."""
        where, given = _where(answer=answer, verdict=verdict, since=since, until=until)
        return self._page(Feedback, f"feedback WHERE {where} ORDER BY at DESC, rowid DESC", given, page, size)

    def reviews(
        self, *, state: Literal["open", "done"] | None = None, since: str | None = None, page: int = 1, size: int = 100
    ) -> list[Review]:
        """What waits for a human, or waited: the oldest first, since it has waited longest."""
        where, given = _where(state=state, since=since)
        return self._page(Review, f"reviews WHERE {where} ORDER BY at, rowid", given, page, size)

    def counts(self) -> dict[str, int]:
        """How many rows there are: `answers`, `feedback`, `reviews`, and of these `open`."""
        with self._lock:
            count = {
                table: int(self._base.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our names
                for table in ("answers", "feedback", "reviews")
            }
            waiting = self._base.execute("SELECT count(*) FROM reviews WHERE state = 'open'").fetchone()[0]
        return {**count, "open": int(waiting)}

    def _page(self, kind: type[Kept], rest: str, given: Sequence[Any], page: int, size: int) -> list[Kept]:
        size = max(1, min(size, LARGEST_PAGE))
        return self._rows(kind, f"{rest} LIMIT ? OFFSET ?", [*given, size, (max(1, page) - 1) * size])

    def _after(
        self, kind: type[Kept], table: str, where: str, given: Sequence[Any], number: int, size: int
    ) -> list[tuple[int, Kept]]:
        columns = ", ".join(["rowid", *_columns(kind)])
        query = f"SELECT {columns} FROM {table} WHERE {where} AND rowid > ? ORDER BY rowid LIMIT ?"  # noqa: S608 - ours
        with self._lock:
            rows = self._base.execute(query, [*given, number, max(1, min(size, LARGEST_PAGE))]).fetchall()
        return [(row[0], _made(kind, row[1:])) for row in rows]

    def _rows(self, kind: type[Kept], rest: str, given: Sequence[Any]) -> list[Kept]:
        columns = ", ".join(_columns(kind))
        with self._lock:
            rows = self._base.execute(f"SELECT {columns} FROM {rest}", given).fetchall()  # noqa: S608 - our own names
        return [_made(kind, row) for row in rows]

    # ── the end ──────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cannot(self, error: Exception) -> RunError:
        return RunError("serve.cannot-keep", path=str(self.path), reason=str(error)[:200])


def _made(kind: type[Kept], row: tuple[Any, ...]) -> Kept:
    """A row as what it holds: SQLite keeps no booleans."""
    return kind(*((*row[:5], bool(row[5]), *row[6:]) if kind is Feedback else row))


def _columns(kind: type[Any]) -> list[str]:
    return [field.name for field in fields(kind)]


def _named(table: str, kind: type[Answer | Feedback]) -> str:
    return ", ".join(f"{table}.{name}" for name in _columns(kind))


def _values(row: Answer | Feedback | Review) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in _columns(type(row)))


def _insert(table: str, kind: type[Answer | Feedback | Review]) -> str:
    names = _columns(kind)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - our names


def _require(base: sqlite3.Connection, table: str, column: str, name: str) -> None:
    query = f"SELECT 1 FROM {table} WHERE {column} = ?"  # noqa: S608 - our names
    if base.execute(query, (name,)).fetchone() is None:
        raise CallerError("serve.no-such-answer" if table == "answers" else "serve.not-in-review", answer=name)


def _where(*, since: str | None = None, until: str | None = None, **equal: str | None) -> tuple[str, list[Any]]:
    """The conditions that were given, and their values."""
    parts = [(f"{name} = ?", value) for name, value in equal.items()] + [("at >= ?", since), ("at < ?", until)]
    given = [(part, value) for part, value in parts if value is not None]
    return " AND ".join(["1", *(part for part, _ in given)]), [value for _, value in given]
