"""Lines of a NONMEM-style table: where the header stands, what separates fields, which lines are comments.

Fields are separated as the header's are: by comma, semicolon or tab where one stands in it, otherwise by blanks. Before
the header there may be comments (lines that begin with ``$``, ``#``, ``;``, ``@``, ``C `` or ``TABLE``), and the header
itself may begin with ``#`` or ``@``. Later such lines, and a header that comes again, are rows out of scope.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import Reason

MAX_LINE = 1 << 20
PREFACE = 100
"""Lines before the header at most."""
_MARKS = "#@;$"
_COMMENTS = frozenset(_MARKS)
_COMMENT = re.compile(r"[#@;$]|[Cc][ ,\t]|TABLE\b")


def read_lines(path: Path, encoding: str, shown: str) -> Iterator[tuple[int, str, int]]:
    """Each line that is not blank: its number from 1, its text, and how many bytes were read for it.

    Raises:
        IngestError: a line is too long, or not text of the encoding.
    """
    number = 0
    with path.open("rb") as file:
        while piece := file.readline(MAX_LINE + 1):
            if len(piece) > MAX_LINE:
                raise IngestError("a line is too long", where=shown, expected=f"at most {MAX_LINE} bytes in a line")
            size = len(piece)
            piece = piece.removeprefix(b"\xef\xbb\xbf") if number == 0 else piece
            try:
                text = piece.decode(encoding)
            except UnicodeDecodeError:
                raise _not_text("bytes that do not decode", shown, number + 1, encoding) from None
            if "\0" in text:
                raise _not_text("a NUL byte, so this is not text", shown, number + 1, encoding)
            if "\r" not in text and text.endswith("\n"):
                number += 1
                if not text.isspace():
                    yield number, text[:-1], size
                continue
            for line in text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n"):
                number += 1
                if line.strip():
                    yield number, line, size
                    size = 0


def _not_text(what: str, shown: str, line: int, encoding: str) -> IngestError:
    return IngestError(
        what,
        where=f"{shown} line {line}",
        expected=f"text encoded as {encoding}",
        remedy="save the file so, or declare its encoding in the mapping",
    )


@dataclass(frozen=True)
class NonmemHeader:
    """Names of the columns, what separates them ("" for blanks), the header's own text and line."""

    names: tuple[str, ...]
    delimiter: str
    text: str
    line: int

    def split(self, line: str) -> Sequence[str] | Reason:
        """The fields of a line, without blanks around them."""
        return split_fields(line, self.delimiter)

    def is_comment(self, line: str) -> bool:
        """Whether a line behind the header is a comment: IGNORE=#, IGNORE=@, IGNORE=C, or a header that comes again."""
        start = line.lstrip()
        if starts_like_comment(start) or start.strip() == self.text:
            return True
        return self.names[0].upper() == "C" and re.match(r"[Cc][ ,;\t]", start) is not None


def starts_like_comment(text: str) -> bool:
    """Whether a text begins as a comment behind the header does."""
    return text[:1] in _COMMENTS or text.startswith("TABLE")


def split_fields(line: str, delimiter: str) -> Sequence[str] | Reason:
    """The fields of a line; blanks are one separator however many they are."""
    if not delimiter:
        return line.split()
    if '"' not in line:
        return [field.strip() for field in line.split(delimiter)]
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=delimiter, strict=True))]
    except csv.Error:
        return Reason.ROW_UNREADABLE


def find_header(path: Path, encoding: str, delimiter: str | None, subject: str, shown: str) -> NonmemHeader:
    """The header: the first line with the subject's column and TIME, DV or AMT among its fields.

    Raises:
        IngestError: there is none, the file is empty, or two columns have one name.
    """
    for seen, (number, line, _) in enumerate(read_lines(path, encoding, shown)):
        bare = line.strip().lstrip(_MARKS).strip()
        mark = delimiter or next((one for one in (",", ";", "\t") if one in bare), "")
        names = split_fields(bare, mark)
        if not isinstance(names, Reason):
            upper = [name.upper() for name in names]
            if subject.upper() in upper and {"TIME", "DV", "AMT"} & set(upper):
                _check_distinct(upper, f"{shown} line {number}")
                return NonmemHeader(tuple(names), mark, line.strip(), number)
        if seen >= PREFACE or not _COMMENT.match(line.lstrip()):
            raise IngestError(
                "no header",
                where=f"{shown} line {number}",
                expected=f"names of columns, {subject} and TIME, DV or AMT among them",
                remedy="check the file's first line and the mapping's subject",
            )
    raise IngestError("the file is empty, 0 records", where=shown, expected="a header and rows")


def _check_distinct(names: Sequence[str], where: str) -> None:
    for number, name in enumerate(names):
        if name and name in names[:number]:
            raise IngestError(
                "two columns have one name",
                where=f"{where}, columns {names.index(name) + 1} and {number + 1}",
                expected="distinct names in the header, whatever their case",
            )
