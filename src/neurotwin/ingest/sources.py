"""The files of a source: one file, a folder with the tables' files, or a public data set."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from neurotwin.errors import IngestError
from neurotwin.ingest.datasets import PREFIX, export_dataset
from neurotwin.ingest.mapping import SourceMapping, Table


@dataclass(frozen=True)
class SourceFile:
    """A file, the name under which reports show it, and the number of its table in the mapping."""

    path: Path
    shown: str
    table: int


def is_dataset(source: Path | str) -> bool:
    """Whether the source is named as a public data set."""
    return str(source).startswith(PREFIX)


def shown_source(source: Path | str) -> str:
    """The name of a source in reports and messages: of a path its last part, and of a URL, which may have a user, a
    password and more in it, what kind of database it leads to."""
    text = str(source)
    if is_dataset(text):
        return text
    if "://" in text:
        kind = text.partition(":")[0].partition("+")[0]
        return f"{kind} database" if kind.isalnum() else "database"
    return Path(text).name


def hash_file(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size


def find_files(source: Path | str, mapping: SourceMapping, scratch: Path) -> list[SourceFile]:
    """The files of a source with their tables, in the order of the mapping and of their names.

    A data set is written to ``scratch`` first. Raises IngestError when files and tables do not fit each other.
    """
    if is_dataset(source):
        path = export_dataset(str(source).removeprefix(PREFIX), scratch)
    else:
        path = Path(source)
    shown = shown_source(source)
    if not path.is_dir():
        if len(mapping.tables) > 1:
            raise IngestError(
                "one file for a mapping of several tables", where=shown, expected="a folder with the tables' files"
            )
        return [SourceFile(path, shown, 0)]
    found = []
    for number, table in enumerate(mapping.tables):
        found += [SourceFile(one, one.name, number) for one in _matching(path, table)]
    if len({one.path for one in found}) < len(found):
        raise IngestError(
            "a file belongs to two tables", where=str(path), remedy="make the tables' file names distinct"
        )
    return found


def _matching(folder: Path, table: Table) -> list[Path]:
    if table.file is None:
        raise IngestError(
            "a folder for a table without a file name", where=str(folder), remedy="name the table's file in the mapping"
        )
    found = sorted(folder.glob(table.file))
    if not found:
        raise IngestError(f"no file {table.file!r}", where=str(folder), expected="the files that the mapping names")
    if any(one.is_symlink() for one in found):
        raise IngestError("a symbolic link among the files", where=str(folder), expected="regular files")
    return found
