"""The database behind the store: addresses, connections, transactions. Errors tell neither the address nor a value."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from neurotwin.errors import NeurotwinError, StoreBusyError, StoreError

EXAMPLE = "the path of a SQLite file, or postgresql://user@host/database"
PATIENCE = 10.0
"""Seconds that a call waits for others."""
LONGEST_PAUSE = 0.05
"""Seconds between two tries, at most."""
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, "55P03", "57014"}
LOST = {"40001", "40P01", "23505", "23503", 2067, 1555, 787}
"""A serialization failure, a deadlock; a row that another has put in or taken away meanwhile (unique, foreign key). The
same transaction may succeed when it is tried again."""
TOLD: dict[Any, tuple[str, str]] = {
    sqlite3.SQLITE_READONLY: ("the store cannot be written", "a file and folder that may be written"),
    sqlite3.SQLITE_CANTOPEN: ("the store cannot be opened", "a file and folder that may be read and written"),
    sqlite3.SQLITE_NOTADB: ("not a store, or damaged", "a SQLite file"),
    sqlite3.SQLITE_CORRUPT: ("the store is damaged", "a whole SQLite file: restore a backup"),
    sqlite3.SQLITE_FULL: ("the disk is full", "free space"),
    "3D000": ("no such database", "a database that was created before"),
    "28P01": ("the password is wrong", "the right password"),
    "28000": ("the user may not connect", "a user that may connect"),
    "42501": ("the user lacks a right", "a user that owns the store's tables"),
    "25006": ("the store cannot be written", "a database that takes writes"),
    "53100": ("the disk is full", "free space"),
}
Found = TypeVar("Found")


class Lost(Exception):
    """Somebody else was faster; to be tried again on what stands now. Never leaves the store."""


class Database:
    """Transactions on SQLite or PostgreSQL. Safe to share between threads; a forked process makes its own connections.

    Attributes:
        name: what messages call it.
        patience: seconds that a call waits for others before it gives up with StoreBusyError.
    """

    def __init__(self, url: str | Path, *, patience: float = PATIENCE) -> None:
        self.patience, self._process = patience, os.getpid()
        parsed = _address(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.name = Path(parsed.database or "").name if self.is_sqlite else "PostgreSQL store"
        common: dict[str, Any] = {"hide_parameters": True, "json_serializer": partial(json.dumps, allow_nan=False)}
        try:
            if self.is_sqlite:
                _own_file(Path(parsed.database or ""), self.name)
                self._engine = create_engine(parsed, connect_args={"timeout": patience}, **common)
                event.listen(self._engine, "connect", self._prepare)
                event.listen(self._engine, "begin", _begin)
            else:
                waits = {} if "connect_timeout" in parsed.query else {"connect_timeout": max(2, round(patience))}
                self._engine = create_engine(parsed, pool_pre_ping=True, connect_args=waits, **common)
                event.listen(self._engine, "connect", _tell_exactly)
        except (exc.SQLAlchemyError, ImportError, TypeError, ValueError):
            raise StoreError("not the address of a store", where="store", expected=EXAMPLE) from None
        self._driver_error: type[Exception] = self._engine.dialect.dbapi.Error  # type: ignore[union-attr]
        snapshot = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reading = self._engine.execution_options(**snapshot)
        self._writing = self._engine.execution_options(immediate=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment and changes nothing."""
        with self._transaction(self._reading) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is kept when the block ends, and leaves nothing behind when it raises."""
        with self._transaction(self._writing) as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(1000 * self.patience)}")
            yield connection

    def retry(self, attempt: Callable[[], Found]) -> Found:
        """What ``attempt`` gives, tried again when somebody else was faster. Raises StoreBusyError."""
        deadline, pause = time.monotonic() + self.patience, 0.001
        while True:
            try:
                return attempt()
            except Lost:
                if time.monotonic() > deadline:
                    raise self._busy() from None
                time.sleep(random.uniform(0, pause))
                pause = min(2 * pause, LONGEST_PAUSE)

    def clean(self) -> None:
        """Leave nothing of deleted rows in SQLite's log; raises StoreBusyError when readers hold it."""
        if self.is_sqlite:
            with self._told(), self._engine.connect() as connection:
                raw = connection.connection.dbapi_connection
                if raw is not None and raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    raise self._busy()

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        if os.getpid() != self._process:  # forked: the connections are the parent's
            self._engine.dispose(close=False)
            self._process = os.getpid()
        with self._told(), engine.begin() as connection:
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (NeurotwinError, Lost):
            raise
        except (exc.SQLAlchemyError, self._driver_error, OSError) as error:
            cause = error.orig if isinstance(error, exc.DBAPIError) else error
            raise self._error(cause, getattr(cause, "sqlite_errorcode", getattr(cause, "sqlstate", None))) from None

    def _error(self, cause: BaseException | None, code: int | str | None) -> Exception:
        basic = code & 0xFF if isinstance(code, int) else code  # SQLite tells details above the lowest byte
        if code in LOST:
            return Lost()
        if basic in BUSY:
            return self._busy()
        if basic in TOLD:
            what, expected = TOLD[basic]
            return StoreError(what, where=self.name, expected=expected)
        return StoreError(
            f"the database did not answer as it should ({type(cause).__name__}{f' {code}' if code else ''})",
            where=self.name,
            expected="a database that can be reached, read and written at this address",
            remedy="check address, rights and space with the database's own client",
        )

    def _busy(self) -> StoreBusyError:
        held = f"held by others for {self.patience:g} s"
        return StoreBusyError(held, where=self.name, expected="a store that is free", remedy="send the request again")

    def _prepare(self, connection: sqlite3.Connection, _: object) -> None:
        """Settings of each connection to SQLite; transactions are begun by `_begin`, not by the driver."""
        connection.isolation_level = None
        deadline = time.monotonic() + self.patience
        while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:  # which does not wait for others by itself
                if error.sqlite_errorcode not in BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        for pragma in ("foreign_keys = ON", "synchronous = FULL", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")


def _tell_exactly(connection: Any, _: object) -> None:
    """Settings of each connection to PostgreSQL: a server may have others, which lose digits or cannot be parsed."""
    for setting in ("datestyle = ISO", "timezone = 'UTC'", "extra_float_digits = 1"):
        connection.execute(f"SET {setting}")
    connection.commit()


def _begin(connection: Connection) -> None:
    # A transaction that reads before it writes could not wait for another writer: it takes the lock at once.
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _address(url: str | Path) -> URL:
    """The parsed address; a path without a scheme is that of a SQLite file."""
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(url))
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        raise StoreError("not the address of a store", where="store", expected=EXAMPLE) from None
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "sqlite" or parsed.query:
        raise StoreError("another kind of address", where="store", expected=EXAMPLE)
    return parsed


def _own_file(path: Path, name: str) -> None:
    """Make the file for its owner alone; SQLite gives its logs the same rights."""
    where = name or "store"
    if path.name in ("", ":memory:") or path.is_dir():
        raise StoreError("not a file", where=where, expected=EXAMPLE)
    if not path.parent.is_dir():
        raise StoreError("no such folder", where=where, expected="a file in a folder that is there")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if not os.access(path.parent, os.W_OK):  # SQLite keeps its log beside the file
            raise PermissionError
        mode = path.stat().st_mode
    except OSError as error:
        raise StoreError(
            f"the store cannot be written ({type(error).__name__})",
            where=where,
            expected="a file and folder that may be written",
        ) from None
    if os.name == "posix" and mode & 0o077:
        raise StoreError(
            "others may read the file", where=where, expected="mode 0600", remedy="run chmod 600 on it and its -wal"
        )
