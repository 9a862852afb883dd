"""Files of a FHIR source to single resources: Bundles and single resources as JSON, bulk exports as NDJSON, also gzip.

NDJSON is read line by line, in constant memory. A JSON document must be read whole, so its size is limited.
"""

import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import CODES, OUT_OF_SCOPE, Reason
from neurotwin.ingest.batches import Advance
from neurotwin.ingest.fhir.json import JsonFault, Resource, parse_json

MAX_LINE = 16 << 20
MAX_DOCUMENT = 128 << 20
"""Bytes of a line of NDJSON, and of a JSON document, after unpacking."""
GZIP_RATIO = 200
"""How much larger than its file unpacked text may be, beyond `MAX_LINE`; NDJSON packs 10 to 40 to 1."""
_LINES, _DOCUMENTS = (".ndjson", ".jsonl"), (".json",)
BUNDLES = ("batch", "collection", "document", "searchset", "transaction")
"""Types of Bundle that hold resources as they are; histories and messages mean something else."""


@dataclass(frozen=True)
class FhirFile:
    """A file with the name under which reports show it; ``lines`` where it is NDJSON."""

    path: Path
    shown: str
    lines: bool
    size: int
    packed: bool

    @property
    def volume(self) -> int:
        """About how many bytes of text it holds."""
        return self.size * (10 if self.packed else 1)


@dataclass(frozen=True)
class Entry:
    """One resource of a file.

    Attributes:
        line: number of the line, or in a Bundle of the entry, from 1.
        resource: what it says; None where there is none to look at, and then ``fault`` tells why.
        url: the ``fullUrl`` of its entry, without a version, or "".
        fault: 0, or a code as in `batches.TextBatch`.
    """

    line: int
    resource: Resource | None
    url: str = ""
    fault: int = 0

    @property
    def kind(self) -> str:
        """Type of the resource, "" where there is none."""
        return "" if self.resource is None else str(self.resource["resourceType"])


def find_fhir_files(source: Path | str) -> list[FhirFile]:
    """The files of a source: itself, or those in the folder that end on .json, .ndjson or .jsonl, with or without .gz.

    Raises:
        IngestError: nothing there to read, a symbolic link among the files, or a file that is not a regular one.
    """
    path = Path(source)
    if not path.is_dir():
        return [_file(path)]
    found = sorted(one for one in path.iterdir() if _kind(one.name) and not one.name.startswith("."))
    if not found:
        raise IngestError(
            "no FHIR file in the folder", where=path.name, expected="files .json, .ndjson or .jsonl (.gz)"
        )
    if any(one.is_symlink() for one in found):
        raise IngestError("a symbolic link among the files", where=path.name, expected="regular files")
    return [_file(one) for one in found]


def _kind(name: str) -> str:
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    return suffix if suffix in (*_LINES, *_DOCUMENTS) else ""


def _file(path: Path) -> FhirFile:
    kind = _kind(path.name)
    if not path.is_file():
        raise IngestError("no regular file here", where=path.name, expected="a FHIR file or a folder of them")
    if not kind:
        raise IngestError(
            "not named like a FHIR file", where=path.name, expected="a file .json, .ndjson or .jsonl (.gz)"
        )
    with _open(path) as file:
        packed = file.read(2) == b"\x1f\x8b"
    return FhirFile(path, path.name, kind in _LINES, path.stat().st_size, packed)


def _open(path: Path) -> BinaryIO:
    """Open without waiting, should it have become a pipe meanwhile."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise IngestError("no regular file here", where=path.name, expected="a FHIR file or a folder of them")
    return os.fdopen(handle, "rb", buffering=0)


class _Counted(io.RawIOBase):
    """Bytes of a file on their way: hashed, counted, told to the progress bar."""

    def __init__(self, file: BinaryIO, advance: Advance) -> None:
        self._file, self._advance = file, advance
        self.size, self.digest = 0, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        piece = self._file.read(len(into))
        into[: len(piece)] = piece
        self.size += len(piece)
        self.digest.update(piece)
        self._advance(len(piece))
        return len(piece)


class FhirSource:
    """Reads one file, once; ``sha256`` and ``size`` are those of the bytes read, known at the end."""

    def __init__(self, file: FhirFile, advance: Advance = lambda size: None) -> None:
        self._shown, self._lines, self._packed, self._path = file.shown, file.lines, file.packed, file.path
        self._advance = advance
        self.sha256, self.size = "", 0

    def entries(self) -> Iterator[Entry]:
        """All resources, in the order of the file; lines without a character are none.

        Raises:
            IngestError: the file is empty, a line or the document is too long, or what cannot be looked at line by
                line (the document, the packing) is broken.
        """
        empty = True
        with _open(self._path) as file:
            raw = _Counted(file, self._advance)
            buffered = io.BufferedReader(raw, 1 << 20)
            stream: Any = gzip.GzipFile(fileobj=buffered) if self._packed else buffered
            try:
                for entry in self._of_lines(stream, raw) if self._lines else self._of_document(stream):
                    empty = False
                    yield entry
            except (EOFError, zlib.error, gzip.BadGzipFile):
                raise IngestError("the gzip file is damaged", where=self._shown, remedy="fetch it again") from None
            self.sha256, self.size = raw.digest.hexdigest(), raw.size
        if empty:
            raise IngestError("no resource, 0 records", where=self._shown, expected="at least one resource")

    def _of_lines(self, stream: Any, raw: _Counted) -> Iterator[Entry]:
        number, unpacked = 0, 0
        while line := stream.readline(MAX_LINE + 1):
            number, unpacked = number + 1, unpacked + len(line)
            if number == 1:
                line = self._start(line)
            if len(line) > MAX_LINE:
                where = f"{self._shown} line {number}"
                raise IngestError("a line is too long", where=where, expected=f"at most {MAX_LINE} bytes")
            if self._packed and unpacked > MAX_LINE + GZIP_RATIO * raw.size:
                raise IngestError("unpacks to far more than text does", where=self._shown, expected="a bulk export")
            if not line.strip():
                continue
            try:
                document = parse_json(line)
                yield from _entries_of(document, number, apart=False)
            except JsonFault:
                yield Entry(number, None, fault=CODES[Reason.ROW_UNREADABLE])

    def _of_document(self, stream: Any) -> Iterator[Entry]:
        text = stream.read(MAX_DOCUMENT + 1)
        if len(text) > MAX_DOCUMENT:
            raise IngestError(
                "the Bundle is too large to be read whole",
                where=self._shown,
                expected=f"at most {MAX_DOCUMENT >> 20} MiB",
                remedy="export NDJSON, one resource a line, which is read at any size",
            )
        try:
            document = parse_json(self._start(text)) if text.strip() else {}
        except JsonFault as fault:
            remedy = "name the file .ndjson if each of its lines is a resource"
            raise IngestError(str(fault), where=self._shown, expected="one JSON document", remedy=remedy) from None
        del text
        if not document:
            return
        try:
            yield from _entries_of(document, 1, apart=True)
        except JsonFault as fault:
            expected = f"a resource or a Bundle of type {', '.join(BUNDLES)}"
            raise IngestError(str(fault), where=self._shown, expected=expected) from None

    def _start(self, text: bytes) -> bytes:
        if text.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in text[:4]:
            raise IngestError("not UTF-8 text", where=self._shown, expected="JSON encoded as UTF-8")
        return text.removeprefix(b"\xef\xbb\xbf")


def _entries_of(document: Any, line: int, *, apart: bool) -> Iterator[Entry]:
    """The resource, or those of a Bundle; ``apart`` numbers a Bundle's entries, else all have the line's number."""
    if not isinstance(document, dict) or not isinstance(document.get("resourceType"), str):
        raise JsonFault("JSON that is no FHIR resource")
    if document["resourceType"] != "Bundle":
        yield Entry(line, document)
        return
    entries = document.get("entry", [])
    if document.get("type") not in BUNDLES or not isinstance(entries, list):
        raise JsonFault("a Bundle of a type that is not read, or without a list of entries")
    for number, entry in enumerate(entries, start=1):
        yield _entry(entry, number if apart else line)


def _entry(entry: Any, line: int) -> Entry:
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if isinstance(entry, dict) and resource is None:
        return Entry(line, None, fault=OUT_OF_SCOPE)
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        return Entry(line, None, fault=CODES[Reason.ROW_UNREADABLE])
    if resource["resourceType"] == "Bundle":
        return Entry(line, None, fault=CODES[Reason.RESOURCE_INVALID])
    url, fault = entry.get("fullUrl"), CODES[Reason.MODIFIER_EXTENSION] if entry.get("modifierExtension") else 0
    plain = isinstance(url, str) and len(url) <= 2000 and url.isprintable()
    return Entry(line, resource, str(url).split("/_history/")[0] if plain else "", fault)
