"""A NONMEM-style file in batches of text: its rows, and apart from them the additional doses that rows stand for."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import CODES, OUT_OF_SCOPE, Reason
from neurotwin.ingest.batches import Advance, TextBatch, columns_of, text_batch
from neurotwin.ingest.mapping import Table
from neurotwin.ingest.mapping_nonmem import NonmemOptions
from neurotwin.ingest.nonmem.columns import CellsByName, NonmemColumns
from neurotwin.ingest.nonmem.events import Event, Interpreter
from neurotwin.ingest.nonmem.lines import find_header, read_lines

BATCH = 16_384
"""Rows of a batch."""
MOST_ADDITIONAL = 10_000_000
"""Additional doses of a file at most."""
Row = tuple[int, list[str], int]


class NonmemTable:
    """The rows of a file: a `batches.TextTable`. A row that cannot be used has its fault, comments are out of scope."""

    def __init__(self, path: Path, number: int, table: Table, shown: str, advance: Advance) -> None:
        """Reads the header. Raises IngestError where there is none that fits the mapping."""
        self.table, self.shown = number, shown
        if not path.is_file():
            raise IngestError("no regular file here", where=shown, expected="a NONMEM-style text table")
        self.volume = path.stat().st_size
        self.size = 0
        self._path, self._table, self._advance, self._file = path, table, advance, shown
        self._options = table.nonmem or NonmemOptions()
        delimiter = table.delimiter if "delimiter" in table.model_fields_set else None
        self.header = find_header(path, table.encoding, delimiter, table.subject, shown)
        names = {name.upper() for name in self.header.names}
        self._columns = NonmemColumns(table, self.header, columns_of(table), shown)
        self._observed = self._options.observed or next((one for one in ("DVID", "CMT") if one in names), None)
        for name in (self._options.observed, self._options.below, self._options.limit):
            if name is not None and name.upper() not in names:
                raise IngestError(f"no column {name!r}", where=shown, expected="the columns of the mapping's nonmem")

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes."""
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def columns_ignored(self) -> int:
        """How many columns nobody asked for."""
        return len(self.header.names) - len(self._columns.used)

    def position(self, column: str) -> int:
        """Position of a column from 1."""
        return self._columns.position(column)

    def batches(self) -> Iterator[TextBatch]:
        """See `batches.TextTable`."""
        empty = True
        for batch in self._gather(self._rows()):
            empty = False
            yield batch
        if empty and type(self) is NonmemTable:
            raise IngestError("a header without rows, 0 records", where=self.shown, expected="at least one row")
        self.size = self._path.stat().st_size

    def _rows(self) -> Iterator[Row]:
        nothing = [""] * len(self._columns.names)
        for line, row, event in self._events():
            yield line, nothing if event.fault else self._columns.cells(row, event), event.fault

    def _events(self) -> Iterator[tuple[int, CellsByName, Event]]:
        """Each row of the file with what it says."""
        nothing = CellsByName()
        observed = None if self._observed is None else self._observed.upper()
        reader = Interpreter(self._options, observed, self._table.decimal)
        for line, text, size in read_lines(self._path, self._table.encoding, self._file):
            self._advance(size)
            if line <= self.header.line:
                continue
            if self.header.is_comment(text):
                yield line, nothing, Event(OUT_OF_SCOPE)
                continue
            fields = self.header.split(text)
            if isinstance(fields, Reason):
                yield line, nothing, Event(CODES[fields])
            elif len(fields) != len(self.header.names):
                yield line, nothing, Event(CODES[Reason.FIELD_COUNT])
            else:
                row = self._columns.row(fields)
                yield line, row, reader.read(self._columns.subject(row), row.__getitem__)

    def _gather(self, rows: Iterator[Row]) -> Iterator[TextBatch]:
        kept: list[Row] = []
        for row in rows:
            kept.append(row)
            if len(kept) == BATCH:
                yield self._batch(kept)
                kept = []
        if kept:
            yield self._batch(kept)

    def _batch(self, rows: list[Row]) -> TextBatch:
        columns = {name: [cells[at] for _, cells, _ in rows] for at, name in enumerate(self._columns.names)}
        return text_batch([line for line, _, _ in rows], dict(columns), [fault for _, _, fault in rows])


class AdditionalDoses(NonmemTable):
    """The doses that ADDL and SS of a file's rows stand for, with an account of their own; lines are those rows'."""

    def __init__(self, path: Path, number: int, table: Table, shown: str, advance: Advance) -> None:
        """See `NonmemTable`; the bytes were told there, so they are not told again."""
        super().__init__(path, number, table, shown, lambda _: None)
        self.shown = f"{shown} (additional doses)"

    def _rows(self) -> Iterator[Row]:
        count = 0
        for line, row, event in self._events():
            count += len(event.offsets)
            if count > MOST_ADDITIONAL:
                raise IngestError(
                    "too many additional doses", where=self.shown, expected=f"at most {MOST_ADDITIONAL:,} in a file"
                )
            for offset in event.offsets:
                yield line, self._columns.additional(row, event, offset), 0
