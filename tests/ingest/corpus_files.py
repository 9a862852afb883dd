"""Faults of files: in their bytes, in the shape of a parquet table, and in what lies where a file should be."""

import gzip
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corpus import GOOD, Format, Row
from corpus_formats import TEXT

Change = Callable[[bytes], bytes]


def _line(number: int, change: Callable[[bytes], bytes]) -> Change:
    def apply(content: bytes) -> bytes:
        lines = content.split(b"\n")
        lines[number] = change(lines[number])
        return b"\n".join(lines)

    return apply


def _utf(name: str) -> Change:
    return lambda content: content.decode().encode(name)


BYTES: dict[str, Change] = {
    "empty": lambda content: b"",
    "a byte order mark alone": lambda content: b"\xef\xbb\xbf",
    "blanks alone": lambda content: b" \n\t\n \n",
    "the first line alone": lambda content: content.split(b"\n")[0],
    "a byte order mark": lambda content: b"\xef\xbb\xbf" + content,
    "two byte order marks": lambda content: b"\xef\xbb\xbf" * 2 + content,
    "utf-16": _utf("utf-16"),
    "utf-16-le": _utf("utf-16-le"),
    "utf-16-be": _utf("utf-16-be"),
    "utf-32": _utf("utf-32"),
    "utf-7": lambda content: content.replace(b"note", b"+AOk-"),
    "latin-1": lambda content: content.replace(b"note", b"n\xf6te"),
    "cp1252": lambda content: content.replace(b"note", b"\x93note\x94"),
    "a surrogate": lambda content: content.replace(b"note", b"\xed\xa0\x80"),
    "overlong text": lambda content: content.replace(b"note", b"\xc0\xaf"),
    "half a character": lambda content: content + b"\xc3",
    "nul": lambda content: content.replace(b"note", b"no\0te"),
    "nul at the end": lambda content: content + b"\0" * 100,
    "an end of file of old": lambda content: content + b"\x1a",
    "an unclosed quote": _line(1, lambda line: line + b'"'),
    "an unclosed quote at the end": lambda content: content + b'"a,b',
    "quotes all over": lambda content: content.replace(b",", b'","'),
    "a quote within": lambda content: content.replace(b"note", b'no"te'),
    "a line end within": lambda content: content.replace(b" note", b"\nnote"),
    "a long line": lambda content: content + b"7" * 2_500_000 + b"\n",
    "a long line first": lambda content: b"7" * 2_500_000 + b"\n" + content,
    "carriage returns": lambda content: content.replace(b"\n", b"\r"),
    "windows": lambda content: content.replace(b"\n", b"\r\n"),
    "mixed line ends": _line(0, lambda line: line + b"\r"),
    "form feeds": lambda content: content.replace(b"\n", b"\n\x0c"),
    "vertical tabs": lambda content: content.replace(b"note", b"no\x0bte"),
    "next lines": lambda content: content.replace(b"note", "no\x85te".encode()),
    "line separators": lambda content: content.replace(b"note", "no\u2028te".encode()),
    "blank lines": lambda content: content.replace(b"\n", b"\n\n\n"),
    "no line end": lambda content: content.rstrip(b"\n"),
    "a zip": lambda content: b"PK\x03\x04" + content,
    "a gzip file cut": lambda content: gzip.compress(content * 50)[:-20],
    "a parquet file": lambda content: b"PAR1" + content,
    "a spreadsheet": lambda content: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + content,
    "a web page": lambda content: b"<!DOCTYPE html><html><body>" + content + b"</body></html>",
    "a log": lambda content: b"ERROR: " + content,
    "a list": lambda content: b"[" + content + b"]",
    "half": lambda content: content[: len(content) // 2],
    "three quarters": lambda content: content[: 3 * len(content) // 4],
    "no header": lambda content: content.split(b"\n", 1)[1],
    "all twice": lambda content: content * 2,
    "the first line twice": lambda content: content.split(b"\n")[0] + b"\n" + content,
    "a header twice as wide": _line(0, lambda line: line + b"," + line),
    "a column twice": _line(0, lambda line: line.replace(b"note", b"id").replace(b"NOTE", b"ID")),
    "another delimiter": lambda content: content.replace(b",", b";"),
    "a delimiter in the header only": _line(0, lambda line: line.replace(b",", b";")),
    "a field more": _line(2, lambda line: line + b","),
    "a field more at its start": _line(2, lambda line: b"," + line),
    "a field less": _line(2, lambda line: line[: line.rfind(b",")]),
    "a field more in every row": lambda content: re.sub(rb"(?<=note|nary)$", b",", content, flags=re.M),
    "an empty row": _line(2, lambda line: re.sub(rb"[^,]", b"", line)),
    "a total at the end": lambda content: content + b"total,2\n",
    "an index column": lambda content: b"".join(b"%d,%s\n" % pair for pair in enumerate(content.splitlines())),
    "deeply nested": lambda content: content + b"[" * 100_000 + b"\n",
    "deeply nested objects": lambda content: content + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"\n",
    "a key twice": lambda content: content.replace(b'"status"', b'"status": "final", "status"'),
    "numbers that are none": lambda content: content.replace(b"90", b"NaN"),
    "an infinite number": lambda content: content.replace(b"90", b"-Infinity"),
    "numbers of many digits": lambda content: content.replace(b"90", b"9" * 5000),
}


SPOILT = ("a field more", "a field more at its start", "a field less", "an empty row")
"""Kinds that spoil the second row of a delimited file, whose value is 90."""


def source_of(folder: Path, form: Format, content: bytes | None = None) -> Path:
    """A good source of a format, or one with this content."""
    path = form.write(folder, [GOOD, Row(), Row(time="2024-01-03 12:00:00", value="95")])
    if content is not None:
        path.write_bytes(content)
    return path


def symlink(folder: Path, form: Format) -> Path:
    good = source_of(folder, form)
    inner = folder / "data"
    inner.mkdir()
    (inner / f"{form.file}{form.suffix}").symlink_to(good)
    return folder if form.name == "meds" else inner


def pipe(folder: Path, form: Format) -> Path:
    path = folder / f"{form.file}{form.suffix}"
    os.mkfifo(path)
    return path


def pipe_in_a_folder(folder: Path, form: Format) -> Path:
    (folder / "data").mkdir()
    pipe(folder / "data", form)
    return folder if form.name == "meds" else folder / "data"


def nothing(folder: Path, form: Format) -> Path:
    return folder / f"nothing{form.suffix}"


def empty_folder(folder: Path, form: Format) -> Path:
    (folder / "data").mkdir()
    return folder / "data"


def folder_for_a_file(folder: Path, form: Format) -> Path:
    path = folder / "set" / f"{form.file}{form.suffix}"
    path.mkdir(parents=True)
    return path.parent


def device(folder: Path, form: Format) -> Path:
    return Path("/dev/zero")


def holes(folder: Path, form: Format) -> Path:
    """A gigabyte that takes no place on the disk."""
    path = folder / f"{form.file}{form.suffix}"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    return path


def holes_behind(folder: Path, form: Format) -> Path:
    path = source_of(folder, form)
    with path.open("r+b") as file:
        file.truncate(1 << 30)
    return path


def longest_name(folder: Path, form: Format) -> Path:
    return folder / ("a" * 300 + form.suffix)


PLACES = (
    symlink, pipe, pipe_in_a_folder, nothing, empty_folder, folder_for_a_file, device, holes, holes_behind,
    longest_name,
)  # fmt: skip


def zip_bomb(folder: Path, form: Format) -> Path:
    """Much from little, 1000 to 1: a zip archive for OMOP, gzip for FHIR; both are beyond the limits of those."""
    if form.name == "fhir":
        path = folder / "data.ndjson.gz"
        path.write_bytes(gzip.compress(form.encode([GOOD]) + (b" " * 99_999 + b"\n") * 400))
        return path
    path = folder / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("MEASUREMENT.csv", form.encode([GOOD]) + b" " * (24 << 20))
    return path


def traversal(folder: Path, form: Format) -> Path:
    path = folder / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../MEASUREMENT.csv", form.encode([GOOD]))
    return path


def archives() -> list[tuple[str, Callable[[Path, Format], Path]]]:
    return [("fhir", zip_bomb), ("omop", zip_bomb), ("omop", traversal)]


def parquet_faults() -> dict[str, Callable[[Any], Any]]:
    """Changes of a whole table of parquet."""
    import pyarrow as pa

    def cast(kind: Any) -> Callable[[Any], Any]:
        def apply(table: Any) -> Any:
            column = pa.array([None] * len(table), kind)
            return table.set_column(table.schema.get_field_index(table.column_names[0]), table.column_names[0], column)

        return apply

    lists = pa.list_(pa.string())
    return {
        "no row": lambda table: table.slice(0, 0),
        "no column": lambda table: table.select([]),
        "a column less": lambda table: table.select(table.column_names[1:]),
        "a column twice": lambda table: table.append_column(table.column_names[0], table.column(0)),
        "columns in another order": lambda table: table.select(table.column_names[::-1]),
        "names in capitals": lambda table: table.rename_columns([one.upper() for one in table.column_names]),
        "ids of lists": cast(lists),
        "ids of floats": cast(pa.float64()),
        "ids of truth": cast(pa.bool_()),
        "ids of bytes": cast(pa.binary()),
        "ids of nothing": cast(pa.null()),
        "ids of structs": cast(pa.struct([("a", pa.int8())])),
        "all of lists": lambda table: pa.table({name: [["a"]] * len(table) for name in table.column_names}),
        "all of numbers": lambda table: pa.table({name: [1] * len(table) for name in table.column_names}),
        "all missing": lambda table: pa.table({name: [None] * len(table) for name in table.column_names}),
        "all dictionaries": lambda table: pa.table({
            name: table.column(name).dictionary_encode() for name in table.column_names
        }),
    }  # fmt: skip


def file_faults() -> list[tuple[str, str]]:
    """Each kind of bytes with each format of text."""
    return [(name, kind) for kind in BYTES for name in TEXT]
