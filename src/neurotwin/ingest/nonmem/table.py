"""A NONMEM-style file in batches of text: its rows, and apart from them the additional doses that rows stand for."""

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
from neurotwin.ingest.nonmem.plain import PlainRows
from neurotwin.ingest.sources import hash_file

BATCH = 16_384
"""Rows of a batch."""
MOST_ADDITIONAL = 10_000_000
"""Additional doses of a file at most."""
Row = tuple[int, list[str], int]
Line = tuple[int, str]


class NonmemTable:
    """The rows of a file: a `batches.TextTable`. A row that cannot be used has its fault, comments are out of scope."""

    def __init__(self, path: Path, number: int, table: Table, shown: str, advance: Advance) -> None:
        """Reads the header. Raises IngestError where there is none that fits the mapping."""
        self.table, self.shown = number, shown
        if not path.is_file():
            raise IngestError("no regular file here", where=shown, expected="a NONMEM-style text table")
        self.volume = path.stat().st_size
        self.size = self.additional = 0
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
        return hash_file(self._path)[0]

    @property
    def columns_ignored(self) -> int:
        """How many columns nobody asked for."""
        return len(self.header.names) - len(self._columns.used)

    def position(self, column: str) -> int:
        """Position of a column from 1."""
        return self._columns.position(column)

    def batches(self) -> Iterator[TextBatch]:
        """See `batches.TextTable`."""
        reader, empty = self._interpreter(), True
        plain = PlainRows(self._columns, self.header, reader, self._table.decimal)
        for lines in self._lines():
            empty = False
            yield plain.batch(lines) or self._batch([self._row(*one) for one in self._events(lines, reader)])
        if empty:
            raise IngestError("a header without rows, 0 records", where=self.shown, expected="at least one row")
        self.additional, self.size = reader.additional, self._path.stat().st_size

    def _interpreter(self) -> Interpreter:
        observed = None if self._observed is None else self._observed.upper()
        return Interpreter(self._options, observed, self._table.decimal)

    def _lines(self) -> Iterator[list[Line]]:
        """The lines behind the header, so many at once as a batch has."""
        lines: list[Line] = []
        size = 0
        for number, text, more in read_lines(self._path, self._table.encoding, self._file):
            size += more
            if number > self.header.line:
                lines.append((number, text))
            if len(lines) == BATCH:
                self._advance(size)
                yield lines
                lines, size = [], 0
        self._advance(size)
        if lines:
            yield lines

    def _events(self, lines: list[Line], reader: Interpreter) -> Iterator[tuple[int, CellsByName, Event]]:
        """Each row with what it says."""
        nothing = CellsByName()
        for line, text in lines:
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

    def _row(self, line: int, row: CellsByName, event: Event) -> Row:
        cells = [""] * len(self._columns.names) if event.fault else self._columns.cells(row, event)
        return line, cells, event.fault

    def _batch(self, rows: list[Row]) -> TextBatch:
        columns = {name: [cells[at] for _, cells, _ in rows] for at, name in enumerate(self._columns.names)}
        return text_batch([line for line, _, _ in rows], dict(columns), [fault for _, _, fault in rows])


class AdditionalDoses(NonmemTable):
    """The doses that ADDL and SS of a file's rows stand for, with an account of their own; lines are those rows'."""

    def __init__(self, rows: NonmemTable, path: Path, table: Table) -> None:
        """``rows`` are the file's rows, which are read before; their bytes are not told again."""
        super().__init__(path, rows.table, table, rows.shown, lambda _: None)
        self.shown, self._rows = f"{rows.shown} (additional doses)", rows

    def batches(self) -> Iterator[TextBatch]:
        """See `batches.TextTable`. A file without such doses is not read again."""
        if self._rows.additional:
            kept: list[Row] = []
            for row in self._doses():
                kept.append(row)
                if len(kept) == BATCH:
                    yield self._batch(kept)
                    kept = []
            if kept:
                yield self._batch(kept)
        self.size = self._path.stat().st_size

    def _doses(self) -> Iterator[Row]:
        count, reader = 0, self._interpreter()
        for lines in self._lines():
            for line, row, event in self._events(lines, reader):
                count += len(event.offsets)
                if count > MOST_ADDITIONAL:
                    raise IngestError(
                        "too many additional doses", where=self.shown, expected=f"at most {MOST_ADDITIONAL:,} in a file"
                    )
                for offset in event.offsets:
                    yield line, self._columns.additional(row, event, offset), 0
