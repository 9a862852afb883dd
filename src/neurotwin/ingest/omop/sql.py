"""OMOP tables in a database that SQLAlchemy reaches by its URL. Nothing but SELECT is ever sent.

PostgreSQL turns cells to text itself, in a transaction that cannot write; a SQLite file is opened for reading only;
from other databases come Python's values, whose ``repr`` loses nothing.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from neurotwin.errors import IngestError
from neurotwin.extras import need
from neurotwin.ingest.batches import Advance, TextBatch, Texts
from neurotwin.ingest.mapping import Table
from neurotwin.ingest.numbers import arrow
from neurotwin.ingest.omop.cdm import SUBJECT
from neurotwin.ingest.omop.raw import CELL, RawTable, rows_of

SQLITE = b"SQLite format 3\0"
_POSTGRESQL_TEXT = ("datestyle = 'ISO'", "timezone = 'UTC'", "extra_float_digits = 3", "bytea_output = 'hex'")


EXAMPLE = "dialect+driver://user@host/database?schema=NAME, such as postgresql+psycopg://reader@localhost/cdm"


def sqlite_url(path: Path) -> Any:
    """The URL of a SQLite file, whatever is in its name."""
    return need("sqlalchemy", "ehr").URL.create("sqlite", database=str(path))


class SqlSource:
    """A database by its URL; ``?schema=NAME`` names the schema, otherwise it is the connection's own."""

    def __init__(self, url: Any) -> None:
        sqlalchemy = need("sqlalchemy", "ehr")
        try:
            parsed = sqlalchemy.make_url(url)
        except (sqlalchemy.exc.ArgumentError, ValueError):
            raise IngestError("not the URL of a database", where="source", expected=EXAMPLE) from None
        schema = parsed.query.get("schema", "")
        if not isinstance(schema, str):
            raise IngestError("two schemas", where="source", expected="?schema=NAME once")
        self.name, self._schema = f"{parsed.get_backend_name()} database", schema
        self._engine = _engine(parsed.difference_update_query(["schema"]), self.name)

    def find(self, table: str, *, schema: str = "", mapped: Table | None = None) -> list[RawTable]:
        """See `omop.raw.RawSource.find`."""
        wanted = schema or self._schema or None
        with _connection(self._engine, self.name) as connection:
            inspector = need("sqlalchemy", "ehr").inspect(connection)
            names = {*inspector.get_table_names(schema=wanted), *inspector.get_view_names(schema=wanted)}
            found = sorted(one for one in names if one.lower() == table)
            if len(found) > 1:
                raise IngestError(f"several tables {table.upper()}", where=self.name, expected="one in any case")
            columns = [inspector.get_columns(one, schema=wanted) for one in found]
        return [SqlTable(self._engine, self.name, wanted, one, cols) for one, cols in zip(found, columns, strict=True)]


class SqlTable:
    """One table of a database, or a view; its rows come in the order of their key."""

    def __init__(self, engine: Any, where: str, schema: str | None, name: str, columns: list[dict[str, Any]]) -> None:
        self._sql = need("sqlalchemy", "ehr")
        self._engine, self._where = engine, where
        self._told = engine.dialect.name == "postgresql"  # which tells all cells as text
        self._place = self._sql.table(name, schema=schema)
        self._kinds = {str(one["name"]).strip().lower(): (str(one["name"]), one["type"]) for one in columns}
        self.shown = f"{where}/{f'{schema}.' if schema else ''}{name}"
        self._key = next((one for one in (f"{name.lower()}_id", SUBJECT) if one in self._kinds), None)
        with _connection(engine, where) as connection:
            count = self._sql.select(self._sql.func.count()).select_from(self._place)
            self._rows = int(connection.execute(count).scalar_one())
        self.volume = self._rows * len(columns) * CELL
        self.size, self._digest = 0, hashlib.sha256()

    @property
    def names(self) -> tuple[str, ...]:
        """See `omop.raw.RawTable.names`."""
        return tuple(self._kinds)

    @property
    def sha256(self) -> str:
        """Hash of the text that was read."""
        return self._digest.hexdigest()

    def read(self, names: Sequence[str], advance: Advance) -> Iterator[TextBatch]:
        """See `omop.raw.RawTable.read`."""
        self.size, self._digest = 0, hashlib.sha256()
        count = rows_of(len(names))
        select = self._sql.select(*(self._cell(one).label(f"c{number}") for number, one in enumerate(names)))
        select = select.select_from(self._place)
        if self._key is not None:
            select = select.order_by(self._sql.column(self._kinds[self._key][0]))
        line, left, share = 1, self._rows, self.volume // max(1, self._rows)
        with _connection(self._engine, self._where) as connection:
            rows = connection.execution_options(stream_results=True, max_row_buffer=count).execute(select)
            for some in rows.partitions(count):
                columns = [self._texts(cells) for cells in zip(*some, strict=True)]
                yield TextBatch(
                    np.arange(line, line + len(some)),
                    dict(zip(names, columns, strict=True)),
                    np.zeros(len(some), np.int8),
                )
                line += len(some)
                told = min(len(some), left)
                left -= told
                advance(told * share)

    def _cell(self, name: str) -> Any:
        """A column without a type, so that nothing between here and the driver turns its values into others."""
        physical, kind = self._kinds[name]
        column = self._sql.column(physical)
        if not self._told:
            return column
        text = self._sql.cast(column, self._sql.Text)
        zoned = isinstance(kind, self._sql.DateTime) and kind.timezone
        return text.concat(":00") if zoned else text  # PostgreSQL writes universal time as +00

    def _texts(self, cells: tuple[Any, ...]) -> Texts:
        told = cells if self._told else [_text(one, self.shown) for one in cells]
        column = arrow()[0].array(told, arrow()[0].string())
        for buffer in column.buffers()[1:]:
            if buffer is not None:
                self._digest.update(buffer)
                self.size += buffer.size
        return column


def _engine(url: Any, where: str) -> Any:
    sqlalchemy = need("sqlalchemy", "ehr")
    options: dict[str, Any] = {"poolclass": sqlalchemy.pool.NullPool, "hide_parameters": True}
    dialect = url.get_backend_name()
    if dialect == "sqlite":
        if url.query:
            raise IngestError("arguments that SQLite does not take", where=where, expected="none but ?schema=NAME")
        options["creator"] = lambda: _sqlite(url.database)
    if dialect == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "execution_options": {"postgresql_readonly": True}}
    try:
        return sqlalchemy.create_engine(url, **options)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, TypeError, ValueError):
        raise IngestError(
            "no driver for this database", where=where, expected=EXAMPLE, remedy="install the driver's package"
        ) from None


def _sqlite(database: str | None) -> sqlite3.Connection:
    path = Path(database or "")
    if not path.is_file():
        raise IngestError("no such file", where=path.name or "sqlite", expected="a SQLite database")
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)


@contextmanager
def _connection(engine: Any, where: str) -> Iterator[Any]:
    """A connection in a transaction that is rolled back; its errors tell neither values nor the URL."""
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                for setting in _POSTGRESQL_TEXT:
                    connection.exec_driver_sql(f"SET LOCAL {setting}")
            yield connection
    except (IngestError, GeneratorExit):
        raise
    except _errors(engine) as error:
        raise IngestError(
            f"the database did not answer as it should ({type(error).__name__})",
            where=where,
            expected="a database that can be reached and read with this URL",
            remedy="check address, rights and schema with the database's own client",
        ) from None


def _errors(engine: Any) -> tuple[type[Exception], ...]:
    errors: list[type[Exception]] = [need("sqlalchemy", "ehr").exc.SQLAlchemyError, UnicodeError]
    if driver := getattr(engine.dialect, "dbapi", None):
        errors.append(driver.Error)
    return tuple(errors)


def _text(value: Any, where: str) -> str | None:
    """A value as text that says the same."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC)
        return moment.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        raise IngestError("a column of bytes", where=where, expected="numbers, dates and text")
    return repr(value) if isinstance(value, float) else str(value)
