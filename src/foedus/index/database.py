"""The database: SQLite in the workspace by default, PostgreSQL by URL; and one way in which it can be away.

SQLite: one file, readable by its owner only, in WAL mode, so that pages read while entries are taken in. It is flushed
at checkpoints, not at every commit: after a power cut it may lack the last entries, and takes them in again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError, ProgrammingError, SQLAlchemyError

from foedus.core.errors import CallerError, RunError
from foedus.index import tables as t

__all__ = ["Database", "open_database"]

_PATIENCE_SECONDS = 5
_ADVISORY = 0x666F656475
"""The lock under which one process at a time makes the tables in PostgreSQL."""


class Database:
    """An engine, and whether its tables are made. Every use of it goes through `reading` or `writing`."""

    def __init__(self, engine: Engine, file: Path | None) -> None:
        self.engine = engine
        self.file = file
        self._ready = False

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read from: one state of the database. RunError `index.away`; CallerError `index.bad-value`
        for a value to look for that the database cannot hold.
        """
        with self._reached():
            self._prepare()
            with self.engine.connect() as connection, connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection to write by, all or nothing; one at a time in all processes. RunError `index.away`."""
        with self._reached():
            self._prepare()
            with self.engine.connect().execution_options(foedus_writes=True) as connection, connection.begin():
                connection.execute(select(t.marks.c.one).with_for_update()).all()
                yield connection

    def insert(
        self, connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, update: Sequence[str] = ()
    ) -> None:
        """Insert rows; of those whose key is there already, the columns of `update` are set, all else stays."""
        if not rows:
            return
        dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(table)
        if update:
            values = {name: statement.excluded[name] for name in update}
            statement = statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)
        else:
            statement = statement.on_conflict_do_nothing()
        connection.execute(statement, rows)

    def clear(self) -> None:
        """Make all tables anew, empty."""
        with self._reached():
            self._create(anew=True)

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (DataError, OverflowError) as error:  # too large a number, or a character that it does not take
            raise CallerError("index.bad-value", reason=_first_line(error)) from error
        except SQLAlchemyError as error:
            if isinstance(error, ProgrammingError) or "no such table" in str(error):
                self._ready = False
            raise self._away(error) from error

    def _away(self, error: Exception) -> RunError:
        return RunError("index.away", database=self.name, reason=_first_line(error))

    def _prepare(self) -> None:
        """Make the tables where they are not, or are those of another version; mend a file that is no database."""
        if self._ready:
            return
        if self.file is not None:
            _own_file(self.file)
        try:
            self._create(anew=False)
        except DBAPIError as error:
            if self.file is None or not _is_broken(error):
                raise
            self.engine.dispose()
            for path in (self.file, *self.file.parent.glob(f"{self.file.name}-*")):
                path.unlink(missing_ok=True)
            _own_file(self.file)
            self._create(anew=False)
        self._ready = True

    def _create(self, *, anew: bool) -> None:
        with self.engine.connect().execution_options(foedus_writes=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY})
            if anew or _schema(connection) != t.SCHEMA:
                for table in inspect(connection).get_table_names():
                    if table.startswith("foedus_"):
                        connection.exec_driver_sql(f'DROP TABLE "{table}"')
                t.tables.create_all(connection)
                first = {"one": 1, "schema": t.SCHEMA, "origin": None, "done": 0, "peaks": b""}
                connection.execute(t.marks.insert(), first)


def open_database(url: str | None, *, file: Path) -> Database:
    """The database of a URL (`postgresql://…` or `sqlite:///PATH`), or SQLite in `file`. It is not reached yet.

    Raises:
        CallerError: `index.bad-url`; `cli.extra-missing` without the driver.
    """
    try:
        chosen = make_url(url) if url else URL.create("sqlite", database=str(file))
        if chosen.drivername in ("postgresql", "postgres"):
            chosen = chosen.set(drivername="postgresql+psycopg")
        if chosen.drivername not in ("postgresql+psycopg", "sqlite") or not chosen.database:
            raise CallerError("index.bad-url", got=chosen.drivername)
        engine = _engine(chosen)
    except (ArgumentError, NoSuchModuleError) as error:
        raise CallerError("index.bad-url", got=(url or "").partition(":")[0][:40]) from error
    except ModuleNotFoundError as error:
        raise CallerError("cli.extra-missing", module=error.name or "psycopg", extra="postgres") from error
    if chosen.drivername == "sqlite":
        event.listen(engine, "connect", _tuned)
        event.listen(engine, "begin", _begun)
        return Database(engine, Path(chosen.database))
    return Database(engine, None)


def _engine(url: URL) -> Engine:
    if url.drivername == "sqlite":
        return create_engine(url, connect_args={"timeout": _PATIENCE_SECONDS, "check_same_thread": False})
    return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _PATIENCE_SECONDS})


def _tuned(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begun` says
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA cache_size=-65536")


def _begun(connection: Connection) -> None:
    writes = connection.get_execution_options().get("foedus_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _own_file(path: Path) -> None:
    """The file, made so that only its owner reads it; what SQLite puts beside it gets the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise RunError("index.away", database=str(path), reason=error.strerror or str(error)) from error


def _first_line(error: Exception) -> str:
    """What the driver says, without the statement."""
    cause = getattr(error, "orig", None) or error
    return next(iter(str(cause).strip().splitlines()), type(cause).__name__)[:300]


def _is_broken(error: DBAPIError) -> bool:
    """Whether SQLite says that the file is no database, or a damaged one."""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _schema(connection: Connection) -> int | None:
    """The version of the tables that are here; None where there are none."""
    if "foedus_mark" not in inspect(connection).get_table_names():
        return None
    return connection.execute(select(t.marks.c.schema)).scalar()
