"""OMOP tables as files: in a folder, in a zip archive, or one alone. Case does not matter in their names."""

import stat
import zipfile
import zlib
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from neurotwin.errors import IngestError
from neurotwin.ingest.mapping import Table
from neurotwin.ingest.omop.parquet import ParquetTable
from neurotwin.ingest.omop.raw import DelimitedTable, RawTable

TEXT = (".csv", ".tsv", ".txt")
PARQUET = (".parquet", ".pq")
MAX_RATIO = 200
"""How many times its packed size an archive's file may have; text of tables packs 5 to 40 times."""
MAX_UNPACKED = 64 << 30
"""Bytes that an archive's files may unpack to in all."""
MAX_ENTRIES = 100_000
_FREE = 1 << 20
"""A file so small may pack as well as it likes."""


class _Candidate(NamedTuple):
    path: Path
    shown: str
    name: str


class FolderSource:
    """Files of a folder, or a single file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._alone = not path.is_dir()

    def find(self, table: str, *, schema: str = "", mapped: Table | None = None) -> list[RawTable]:
        """See `omop.raw.RawSource.find`; a folder of the table's name may hold parquet files."""
        file = None if mapped is None else mapped.file
        paths = [self._path] if self._alone else sorted(self._path.iterdir())
        chosen = [one for one in paths if _fits(one.name, table, file) or _is_parts(one, table, file)]
        for one in chosen:
            _check_link(one)
        parts = [_Candidate(one, one.name, one.name) for one in chosen if not one.is_dir()]
        for folder in (one for one in chosen if one.is_dir()):
            inner = [one for one in sorted(folder.iterdir()) if one.suffix.lower() in PARQUET]
            for one in inner:
                _check_link(one)
            parts += [_Candidate(one, f"{folder.name}/{one.name}", one.name) for one in inner]
        if len(chosen) > 1 and file is None:
            raise _ambiguous(table, self._path.name)
        return [_open(one, mapped) for one in parts]


class ZipSource:
    """Files of a zip archive, of any folder in it; those that are wanted are unpacked into ``scratch``."""

    def __init__(self, path: Path, scratch: Path) -> None:
        self._path, self._scratch, self._unpacked = path, scratch, 0
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):
            raise IngestError("a broken zip archive", where=path.name, expected="a whole one") from None
        if len(entries) > MAX_ENTRIES:
            raise IngestError("too many files in an archive", where=path.name, expected=f"at most {MAX_ENTRIES}")
        for entry in entries:
            _check_entry(entry, path.name)
        self._entries = [one for one in entries if not one.is_dir() and not _is_rubbish(one.filename)]

    def find(self, table: str, *, schema: str = "", mapped: Table | None = None) -> list[RawTable]:
        """See `omop.raw.RawSource.find`."""
        file = None if mapped is None else mapped.file
        chosen = [one for one in self._entries if _fits(PurePosixPath(one.filename).name, table, file)]
        chosen.sort(key=lambda one: one.filename)
        if len(chosen) > 1 and file is None:
            raise _ambiguous(table, self._path.name)
        return [_open(self._unpack(one), mapped) for one in chosen]

    def _unpack(self, entry: zipfile.ZipInfo) -> _Candidate:
        name = PurePosixPath(entry.filename).name
        number = self._entries.index(entry)
        target, shown = self._scratch / f"{number}{Path(name).suffix.lower()}", f"{self._path.name}/{name}"
        if target.exists():
            return _Candidate(target, shown, name)
        packed_size = min(entry.compress_size, self._path.stat().st_size)  # whatever the archive says
        limit = min(max(_FREE, MAX_RATIO * packed_size), MAX_UNPACKED - self._unpacked)
        size = 0
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(entry) as packed, target.open("wb") as out:
                while size <= limit and (piece := packed.read(1 << 20)):
                    size += len(piece)
                    if size <= limit:
                        out.write(piece)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error):
            raise IngestError("a broken file in an archive", where=shown, expected="a whole one") from None
        if size > limit:
            raise IngestError(
                "a file unpacks to far more than it should",
                where=shown,
                expected=f"at most {MAX_RATIO} times its packed size, and {MAX_UNPACKED >> 30} GiB in all",
                remedy="if it is meant so, unpack it and give the folder",
            )
        self._unpacked += size
        return _Candidate(target, shown, name)


def _open(found: _Candidate, mapped: Table | None) -> RawTable:
    if Path(found.name).suffix.lower() in PARQUET:
        return ParquetTable(found.path, found.shown)
    return DelimitedTable(found.path, found.shown, mapped)


def _fits(name: str, table: str, file: str | None) -> bool:
    name = name.lower()
    if Path(name).suffix not in TEXT + PARQUET or name.startswith("."):
        return False
    return fnmatchcase(name, file.lower()) if file is not None else Path(name).stem == table


def _is_parts(path: Path, table: str, file: str | None) -> bool:
    names = {table, *(f"{table}{one}" for one in PARQUET)} if file is None else {file.lower()}
    return path.is_dir() and path.name.lower() in names


def _ambiguous(table: str, where: str) -> IngestError:
    return IngestError(
        f"several files for the table {table.upper()}",
        where=where,
        expected="one",
        remedy="name those that belong together with the mapping's file: NAME*.csv",
    )


def _check_link(path: Path) -> None:
    if path.is_symlink():
        raise IngestError("a symbolic link among the files", where=path.name, expected="regular files")


def _check_entry(entry: zipfile.ZipInfo, where: str) -> None:
    """Refuse what a harmless archive does not have. Names are not shown: they may say anything."""
    parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
    outside = ".." in parts or entry.filename.startswith(("/", "\\")) or (parts and ":" in parts[0])
    if outside or "\\" in entry.orig_filename or not entry.filename.isprintable():
        raise IngestError("an archive whose files lead outside of it", where=where, expected="plain names")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise IngestError("a symbolic link in an archive", where=where, expected="regular files")
    if entry.flag_bits & 0x1:
        raise IngestError("an archive with a password", where=where, remedy="unpack it and give the folder")


def _is_rubbish(name: str) -> bool:
    """What macOS adds to archives: a folder of its own, and files of attributes."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith("._")
