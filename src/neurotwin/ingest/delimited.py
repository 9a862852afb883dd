"""Rows of a delimited text file, each with its line number; nothing is skipped, shifted or guessed.

The file is read in blocks, so memory does not grow with it. A field in quotes ends on its own line unless the mapping
says otherwise: otherwise one stray quote could swallow the rows up to the next one.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import Reason
from neurotwin.ingest.mapping import LongTable, VisitsTable, nearest

BLOCK = 1 << 20
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
    """One delimited file: header and rows. ``size`` and ``sha256`` are known once all rows were read."""

    def __init__(
        self, path: Path, table: VisitsTable | LongTable, shown: str, advance: Callable[[int], object]
    ) -> None:
        self.path, self.table, self.shown, self._advance = path, table, shown, advance
        self.size, self._digest = 0, hashlib.sha256()
        if not path.is_file():
            raise IngestError("no regular file here", where=shown, expected="a delimited text file")

    @property
    def sha256(self) -> str:
        """Hash of the bytes read so far."""
        return self._digest.hexdigest()

    def rows(self) -> Iterator[Row]:
        """The header as the first row, then each row: line number from 1, and its fields or why it cannot be read.

        Lines without any character are not rows.

        Raises:
            IngestError: the file is not text of the declared encoding, a quote is not closed, or a line is too long.
        """
        with self.path.open("rb") as file:
            reader = csv.reader(self._lines(file), delimiter=self.table.delimiter, strict=True)
            line = 0
            while True:
                fields: list[str] | Reason
                try:
                    fields = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    self._check_quotes(line, reader.line_num, ended="unexpected end" in str(error))
                    fields = Reason.ROW_UNREADABLE
                else:
                    self._check_quotes(line, reader.line_num, ended=False)
                number, line = line + 1, reader.line_num
                if fields:
                    yield number, fields

    def _check_quotes(self, before: int, after: int, *, ended: bool) -> None:
        if ended or (after - before > 1 and not self.table.multiline):
            raise IngestError(
                "a quoted field does not end on its line",
                where=f"{self.shown} line {before + 1}",
                expected="a closing quote",
                remedy="close the quote, or set multiline: true if line ends inside quotes are meant",
            )

    def _lines(self, file: BinaryIO) -> Iterator[str]:
        line = 1
        for block in self._blocks(file):
            if b"\0" in block:
                number = line + _line_ends(block[: block.index(b"\0")])
                raise self._not_text("a NUL byte, so this is not the text that was declared", number)
            try:
                text = block.decode(self.table.encoding)
            except UnicodeDecodeError as error:
                raise self._not_text("bytes that do not decode", line + _line_ends(block[: error.start])) from None
            line += _line_ends(block)
            yield from io.StringIO(text, newline="")

    def _not_text(self, what: str, line: int) -> IngestError:
        return IngestError(
            what,
            where=f"{self.shown} line {line}",
            expected=f"text encoded as {self.table.encoding}",
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
            if len(rest) > MAX_LINE:
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


def _line_ends(block: bytes) -> int:
    return block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")


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
