"""The files of a MEDS data set: found and checked, never followed out of their folder."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from neurotwin.errors import IngestError
from neurotwin.extras import need
from neurotwin.ingest.parquet import ParquetInput

VERSIONS = ("0.3", "0.4")
"""Versions of MEDS with these columns."""
DEPTH = 8
"""Folders below ``data`` at most."""
_METADATA = 1 << 20


def find_shards(source: Path | str) -> list[ParquetInput]:
    """The parquet files of a source in the order of their names.

    Raises:
        IngestError: there is none, a link is among them, or the data set is of another version.
    """
    path = Path(source)
    if path.is_file() and not path.is_symlink():
        return [ParquetInput(path, path.name)]
    meds = need("meds", "ehr")
    data = path / meds.data_subdirectory
    if not data.is_dir() or data.is_symlink():
        raise IngestError(
            "no MEDS data set here",
            where=path.name,
            expected=f"a folder with {meds.data_subdirectory}/**/*.parquet, or one parquet file",
        )
    _check_version(path / meds.dataset_metadata_filepath)
    found = sorted(_walk(data, path.name, DEPTH), key=lambda one: one.relative_to(data).as_posix())
    if not found:
        raise IngestError("no parquet file, 0 records", where=f"{path.name}/{meds.data_subdirectory}")
    return [ParquetInput(one, one.relative_to(path).as_posix()) for one in found]


def _walk(folder: Path, shown: str, depth: int) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        if entry.is_symlink():
            raise IngestError("a symbolic link among the files", where=shown, expected="regular files")
        if entry.is_dir():
            if not depth:
                raise IngestError("folders too deep", where=shown, expected=f"at most {DEPTH} below data")
            yield from _walk(Path(entry.path), shown, depth - 1)
        elif entry.name.endswith(".parquet"):
            if not entry.is_file():
                raise IngestError("no regular file", where=shown, expected="parquet files")
            yield Path(entry.path)


def _check_version(path: Path) -> None:
    """The version in ``dataset.json``, where it is told."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        content = file.read(_METADATA + 1)
    try:
        told = json.loads(content) if len(content) <= _METADATA else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise IngestError("not a readable dataset.json", where=path.name, expected="the metadata of a MEDS data set")
    version = told.get("meds_version")
    if version is not None and ".".join(str(version).split(".")[:2]) not in VERSIONS:
        raise IngestError(
            "a data set of another version of MEDS", where=path.name, expected=f"version {' or '.join(VERSIONS)}"
        )
