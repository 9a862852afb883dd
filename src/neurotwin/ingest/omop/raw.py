"""Tables of an OMOP source as they lie there: a delimited file, a parquet file, a table of a database.

Names of columns are those of the data model, in lower case, whatever the source makes of them.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from neurotwin.errors import IngestError
from neurotwin.ingest.batches import CELLS, ROWS, Advance, TextBatch
from neurotwin.ingest.delimited import MAX_LINE, DelimitedFile
from neurotwin.ingest.mapping import Table, VisitsTable
from neurotwin.ingest.sources import hash_file

CELL = 16
"""Bytes of text that a cell is taken to have where a source does not tell."""


class RawTable(Protocol):
    """One table (or a part of one) of a source."""

    shown: str
    volume: int

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns; none where that cannot be told, and then reading tells why."""

    def read(self, names: Sequence[str], advance: Advance) -> Iterable[TextBatch]:
        """All rows with the named columns, all cells as text; may be called again.

        Raises:
            IngestError: the table cannot be read.
        """

    @property
    def sha256(self) -> str:
        """Hash of the file, or of the text that was read; known after reading."""

    @property
    def size(self) -> int:
        """Bytes of the same."""


class RawSource(Protocol):
    """Where tables are found."""

    def find(self, table: str, *, schema: str = "", mapped: Table | None = None) -> list[RawTable]:
        """The parts of a table, none where it is not there.

        ``mapped`` is the mapping's table, whose ``file`` is a pattern of names that replaces the table's own.

        Raises:
            IngestError: what is there cannot be used.
        """


class DelimitedTable:
    """A delimited file. Its header decides between comma and tab, unless the mapping names another delimiter."""

    def __init__(self, path: Path, shown: str, table: Table | None) -> None:
        self.path, self.shown = path, shown
        if not path.is_file():
            raise IngestError("no regular file here", where=shown, expected="a delimited text file")
        self.volume = path.stat().st_size
        self.encoding = "utf-8" if table is None else table.encoding
        line, more = _first_line(path, self.encoding)
        self.delimiter = "\t" if "\t" in line else ","
        if table is not None and table.delimiter in (";", "|"):
            self.delimiter = table.delimiter
        self._multiline = table is not None and table.multiline
        self._physical = self._columns(line)
        self._bare = not more and bool(self._physical)
        self._file: DelimitedFile | None = None

    def _columns(self, line: str) -> dict[str, str]:
        try:
            fields = next(csv.reader([line], delimiter=self.delimiter, strict=True), [])
        except csv.Error:
            return {}
        found: dict[str, str] = {}
        for field in (one.strip() for one in fields):
            if field and field.lower() in found:
                raise IngestError(
                    "two columns have one name", where=f"{self.shown} line 1", expected="names that differ in any case"
                )
            found[field.lower()] = field
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """See `RawTable.names`."""
        return tuple(self._physical)

    def physical(self, name: str) -> str:
        """What the file calls a column."""
        return self._physical.get(name, name)

    def read(self, names: Sequence[str], advance: Advance) -> Iterator[TextBatch]:
        """See `RawTable.read`. A file that has nothing but a header gives nothing."""
        if self._bare:
            return
        wanted = {self.physical(one): one for one in names}
        first = next(iter(wanted))
        plan = VisitsTable(
            layout="visits",
            subject=first,
            drop=dict.fromkeys(wanted, ()),
            delimiter=self.delimiter,  # type: ignore[arg-type]
            encoding=self.encoding,
            multiline=self._multiline,
        )
        self._file = DelimitedFile(self.path, 0, plan, self.shown, advance)
        for batch in self._file.batches():
            yield TextBatch(batch.lines, {wanted[one]: cells for one, cells in batch.columns.items()}, batch.faults)

    @property
    def sha256(self) -> str:
        """See `RawTable.sha256`."""
        return hash_file(self.path)[0] if self._file is None else self._file.sha256

    @property
    def size(self) -> int:
        """See `RawTable.size`."""
        return self.volume if self._file is None else self._file.size


def rows_of(columns: int) -> int:
    """How many rows a batch has."""
    return max(1, min(ROWS, CELLS // max(1, columns)))


def _first_line(path: Path, encoding: str) -> tuple[str, bool]:
    """The header's text, "" where it is none, which reading the file explains; and whether anything follows."""
    with path.open("rb") as file:
        start = file.readline(MAX_LINE).removeprefix(b"\xef\xbb\xbf")
        more = bool(file.read(1 << 10).strip()) or len(start.splitlines()) > 1
    try:
        return (start.splitlines() or [b""])[0].decode(encoding), more
    except UnicodeDecodeError:
        return "", more
