"""OMOP tables in a DuckDB file, opened for reading only and without access to anything outside of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neurotwin.errors import IngestError
from neurotwin.extras import need
from neurotwin.ingest.batches import Advance, TextBatch
from neurotwin.ingest.mapping import Table
from neurotwin.ingest.omop.raw import CELL, RawTable, rows_of
from neurotwin.ingest.sources import hash_file

MAGIC = b"DUCK"
_SETTINGS = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "512MB",
    "threads": "1",
}


def is_duckdb(path: Path) -> bool:
    """Whether a file is a DuckDB database."""
    with path.open("rb") as file:
        return file.read(12)[8:] == MAGIC


class DuckdbSource:
    """A DuckDB file."""

    def __init__(self, path: Path, schema: str = "") -> None:
        self._path, self._schema = path, schema
        self._hash = hash_file(path)

    def find(self, table: str, *, schema: str = "", mapped: Table | None = None) -> list[RawTable]:
        """See `omop.raw.RawSource.find`."""
        wanted = schema or self._schema
        with _connection(self._path) as connection:
            rows = connection.execute(
                "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
                " WHERE table_catalog = current_database() AND lower(table_name) = ? ORDER BY ordinal_position",
                [table],
            ).fetchall()
        found: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
        for place, name, column, kind in rows:
            if not wanted or place.lower() == wanted.lower():
                found.setdefault((place, name), {})[column.strip().lower()] = (column, kind)
        if len(found) > 1:
            raise IngestError(
                f"the table {table.upper()} is in several schemas",
                where=self._path.name,
                remedy="name one: FILE?schema=NAME, or table: NAME.TABLE in the mapping",
            )
        return [DuckdbTable(self._path, place, columns, self._hash) for place, columns in found.items()]


class DuckdbTable:
    """One table of a DuckDB file, or a view."""

    def __init__(
        self, path: Path, place: tuple[str, str], columns: dict[str, tuple[str, str]], file_hash: tuple[str, int]
    ) -> None:
        self._path, self._columns = path, columns
        self._place = ".".join(_quoted(one) for one in place)
        self.shown = f"{path.name}/{place[1]}"
        self.sha256, self.size = file_hash
        with _connection(path) as connection:
            self._rows = int(connection.execute(f"SELECT count(*) FROM {self._place}").fetchone()[0])
        self.volume = self._rows * len(columns) * CELL

    @property
    def names(self) -> tuple[str, ...]:
        """See `omop.raw.RawTable.names`."""
        return tuple(self._columns)

    def read(self, names: Sequence[str], advance: Advance) -> Iterator[TextBatch]:
        """See `omop.raw.RawTable.read`."""
        chosen = ", ".join(f"{_as_text(*self._columns[one])} AS c{number}" for number, one in enumerate(names))
        line, share = 1, self.volume // max(1, self._rows)
        with _connection(self._path) as connection:
            reader = connection.sql(f"SELECT {chosen} FROM {self._place}").to_arrow_reader(rows_of(len(names)))
            for batch in reader:
                count = batch.num_rows
                cells = {one: batch.column(number) for number, one in enumerate(names)}
                yield TextBatch(np.arange(line, line + count), cells, np.zeros(count, np.int8))
                line += count
                advance(count * share)


@contextmanager
def _connection(path: Path) -> Iterator[Any]:
    """A connection; its errors tell no value of the source."""
    duckdb = need("duckdb", "ehr")
    try:
        with duckdb.connect(str(path), read_only=True, config=_SETTINGS) as connection:
            yield connection
    except duckdb.Error as error:
        raise IngestError(
            f"the database cannot be read ({type(error).__name__})",
            where=path.name,
            expected="a DuckDB file that this version of duckdb knows, open nowhere for writing",
        ) from None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _as_text(column: str, kind: str) -> str:
    name = _quoted(column)
    if kind == "TIMESTAMP WITH TIME ZONE":  # in universal time, whatever zone this machine is in
        return f"CAST(make_timestamp(epoch_us({name})) AS VARCHAR) || '+00:00'"
    return f"CAST({name} AS VARCHAR)"
