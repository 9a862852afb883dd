"""Rows of a delimited text file in batches, each row with its line; nothing is skipped, shifted or guessed.

The file is read in blocks, so memory does not grow with it. A field in quotes ends on its own line unless the mapping
says otherwise: otherwise one stray quote could swallow the rows up to the next one. A block that is plain (see
`plain_text`) is split by Arrow, every other by the `csv` module, which stays the judge of what a row is.
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import CODES, Outcomes, Reason
from neurotwin.ingest.batches import CELLS, ROWS, Advance, TextBatch, Texts, columns_of
from neurotwin.ingest.mapping import Table
from neurotwin.ingest.mapping_columns import nearest
from neurotwin.ingest.numbers import arrow
from neurotwin.ingest.plain_text import split_plain

BLOCK = 4 << 20
MAX_LINE = 1 << 20
_BINARY = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip file",
    b"PAR1": "a parquet file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"\xd0\xcf\x11\xe0": "an Excel file",
}

Row = tuple[int, list[str] | Reason]


class DelimitedFile:
    """One delimited file: a `batches.TextTable`."""

    def __init__(self, path: Path, number: int, table: Table, shown: str, advance: Advance) -> None:
        self.path, self.table, self.shown = path, number, shown
        self._table, self._advance = table, advance
        self.size, self._digest = 0, hashlib.sha256()
        if not path.is_file():
            raise IngestError("no regular file here", where=shown, expected="a delimited text file")
        self.volume = path.stat().st_size
        self._header: Header | None = None

    @property
    def sha256(self) -> str:
        """Hash of the bytes read so far."""
        return self._digest.hexdigest()

    @property
    def columns_ignored(self) -> int:
        """How many columns nobody asked for."""
        return 0 if self._header is None else self._header.ignored

    def position(self, column: str) -> int:
        """Position of a column from 1."""
        return 0 if self._header is None else self._header.position(column) + 1

    def batches(self) -> Iterator[TextBatch]:
        """All rows, the header not among them. Lines without any character are not rows.

        Raises:
            IngestError: the file is not text of the declared encoding, a quote is not closed, a line is too long, a
                column is missing, or there is no row.
        """
        empty = True
        with self.path.open("rb") as file:
            for batch in self._batches(file):
                empty = empty and not len(batch)
                yield batch
        if self._header is None:
            raise IngestError("the file is empty, 0 records", where=self.shown, expected="a header and rows")
        if empty:
            raise IngestError("a header without rows, 0 records", where=self.shown, expected="at least one row")

    def _batches(self, file: BinaryIO) -> Iterator[TextBatch]:
        texts = self._texts(file)
        if self._table.multiline:
            lines = (line for _, text in texts for line in io.StringIO(text, newline=""))
            yield from self._gather(self._rows(lines, 1))
            return
        for line, text in texts:
            if self._header is not None:
                names = {name: self._header.position(name) for name in columns_of(self._table)}
                columns = split_plain(text, self._table.delimiter, self._header.width, names)
                if columns is not None:
                    count = len(next(iter(columns.values())))
                    yield TextBatch(np.arange(line, line + count), columns, np.zeros(count, np.int8))
                    continue
            yield from self._gather(self._rows(io.StringIO(text, newline=""), line))

    def _gather(self, rows: Iterator[Row]) -> Iterator[TextBatch]:
        """Batches of rows, the first of all being the header."""
        if self._header is None:
            first = next(rows, None)
            if first is None:
                return
            line, fields = first
            if isinstance(fields, Reason):
                where = f"{self.shown} line {line}"
                raise IngestError("the header cannot be read", where=where, expected="names of columns")
            self._header = Header(fields, f"{self.shown} line {line}")
        names = {name: self._header.position(name) for name in columns_of(self._table)}
        most = max(1, min(ROWS, CELLS // self._header.width))
        lines: list[int] = []
        kept: list[list[str]] = []
        faults: list[int] = []
        nothing = [""] * self._header.width
        for line, row in rows:
            good = not isinstance(row, Reason) and len(row) == self._header.width
            fault = row if isinstance(row, Reason) else Reason.FIELD_COUNT
            lines.append(line)
            kept.append(row if good and not isinstance(row, Reason) else nothing)
            faults.append(0 if good else CODES[fault])
            if len(lines) == most:
                yield _batch(lines, kept, faults, names)
                lines, kept, faults = [], [], []
        if lines:
            yield _batch(lines, kept, faults, names)

    def _rows(self, lines: Iterable[str], start: int) -> Iterator[Row]:
        """Each row: the number of its line, and its fields or why it cannot be read."""
        reader = csv.reader(lines, delimiter=self._table.delimiter, strict=True)
        line = 0
        while True:
            fields: list[str] | Reason
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self._check_quotes(start + line, reader.line_num - line, ended="unexpected end" in str(error))
                fields = Reason.ROW_UNREADABLE
            else:
                self._check_quotes(start + line, reader.line_num - line, ended=False)
            number, line = start + line, reader.line_num
            if fields:
                yield number, fields

    def _check_quotes(self, line: int, lines: int, *, ended: bool) -> None:
        if ended or (lines > 1 and not self._table.multiline):
            raise IngestError(
                "a quoted field does not end on its line",
                where=f"{self.shown} line {line}",
                expected="a closing quote",
                remedy="close the quote, or set multiline: true if line ends inside quotes are meant",
            )

    def _texts(self, file: BinaryIO) -> Iterator[tuple[int, str]]:
        """Blocks of whole lines, decoded, each with the number of its first line."""
        line = 1
        for block in self._blocks(file):
            if b"\0" in block:
                number = line + _line_ends(block[: block.index(b"\0")])
                raise self._not_text("a NUL byte, so this is not the text that was declared", number)
            try:
                text = block.decode(self._table.encoding)
            except UnicodeDecodeError as error:
                raise self._not_text("bytes that do not decode", line + _line_ends(block[: error.start])) from None
            yield line, text
            line += _line_ends(block)

    def _not_text(self, what: str, line: int) -> IngestError:
        return IngestError(
            what,
            where=f"{self.shown} line {line}",
            expected=f"text encoded as {self._table.encoding}",
            remedy="save the file so, or declare its encoding in the mapping",
        )

    def _blocks(self, file: BinaryIO) -> Iterator[bytes]:
        """Bytes cut at line ends, without the byte order mark."""
        rest, first = b"", True
        while piece := file.read(BLOCK):
            self._digest.update(piece)
            self.size += len(piece)
            self._advance(len(piece))
            block = rest + piece
            if first:
                block, first = self._check_start(block), False
            cut = max(block.rfind(b"\n"), block.rfind(b"\r", 0, len(block) - 1)) + 1
            rest = block[cut:]
            if len(rest) > MAX_LINE or _longest(block[:cut]) > MAX_LINE:
                raise IngestError(
                    "a line is too long", where=self.shown, expected=f"at most {MAX_LINE} bytes in a line"
                )
            if cut:
                yield block[:cut]
        if rest:
            yield rest

    def _check_start(self, block: bytes) -> bytes:
        for magic, name in _BINARY.items():
            if block.startswith(magic):
                raise IngestError(
                    name, where=self.shown, expected="plain delimited text", remedy="unpack or export it first"
                )
        if block.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise self._not_text("UTF-16 text", 1)
        return block.removeprefix(b"\xef\xbb\xbf")


def _longest(block: bytes) -> int:
    """Bytes of the longest line."""
    data = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero((data == ord("\n")) | (data == ord("\r")))
    return int(np.diff(ends, prepend=-1).max()) if len(ends) else 0


def _line_ends(block: bytes) -> int:
    return block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")


def _batch(lines: list[int], rows: list[list[str]], faults: list[int], names: dict[str, int]) -> TextBatch:
    pa, _ = arrow()
    columns: dict[str, Texts] = {name: pa.array([row[at] for row in rows], pa.string()) for name, at in names.items()}
    found: Outcomes = np.array(faults, dtype=np.int8)
    return TextBatch(np.array(lines, dtype=np.int64), columns, found)


class Header:
    """Names of the columns of a file. The content of a wrong header is never shown: it might be a patient's row."""

    def __init__(self, fields: list[str], shown: str) -> None:
        self._shown = shown
        self._position: dict[str, int] = {}
        for number, name in enumerate((field.strip() for field in fields), start=1):
            if name and name in self._position:
                raise IngestError(
                    "two columns have one name",
                    where=f"{shown}, columns {self._position[name] + 1} and {number}",
                    expected="distinct names in the header",
                )
            self._position.setdefault(name, number - 1)
        self.width = len(fields)
        self._used: set[str] = set()

    def position(self, name: str) -> int:
        """Position of a column from 0. Raises IngestError when there is none."""
        if name not in self._position:
            raise IngestError(
                f"no column {name!r}{nearest(name, self._position)}",
                where=self._shown,
                expected="a header with the columns of the mapping",
                remedy="check names, header and delimiter",
            )
        self._used.add(name)
        return self._position[name]

    @property
    def ignored(self) -> int:
        """How many columns nobody asked for."""
        return self.width - len(self._used)
