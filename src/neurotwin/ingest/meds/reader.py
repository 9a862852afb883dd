"""MEDS to a Cohort: ``neurotwin ingest meds SOURCE --mapping MAPPING -o COHORT``.

MEDS (Medical Event Data Standard, version 0.4, https://github.com/Medical-Event-Data-Standard/meds) keeps one event a
row: ``subject_id``, ``time`` (null for what does not change), ``code``, ``numeric_value``, ``text_value``. It has no
units, so the mapping declares them. `meds.columns` tells which columns a mapping may name, `meds.files` which files are
read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurotwin.errors import IngestError
from neurotwin.ingest.batches import Advance
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.meds.files import find_shards
from neurotwin.ingest.meds.splits import SPLIT, find_splits
from neurotwin.ingest.meds.table import CodeRoutes, MedsTable
from neurotwin.ingest.pipeline import ingest
from neurotwin.ingest.report import IngestReport
from neurotwin.ingest.sources import shown_source


class MedsReader:
    """Reads a data set's folder (``data/**/*.parquet``) or one of its files.

    A mapping of several tables tells them apart by code: ``table`` is a code in which ``*`` stands for any text, each
    row belongs to the first table that it fits, and rows that fit none are out of scope in the last one.
    """

    kind = "meds"

    def shown(self, source: Path | str) -> str:
        """See `batches.Reader`."""
        return shown_source(source)

    def tables(self, source: Path | str, mapping: SourceMapping, scratch: Path, advance: Advance) -> list[MedsTable]:
        """See `batches.Reader`."""
        if any(table.file is not None for table in mapping.tables):
            raise IngestError(
                "a table of a MEDS mapping names a file",
                where=mapping.name,
                expected="tables told apart by code, as in table: LAB//*",
            )
        shards = find_shards(source)
        routes = CodeRoutes([table.table or "*" for table in mapping.tables])
        wanted = any(SPLIT in table.columns for table in mapping.tables)
        splits = find_splits(source) if wanted else None
        return [
            MedsTable(shard, number, table, routes, advance, splits)
            for number, table in enumerate(mapping.tables)
            for shard in shards
        ]


def ingest_meds(
    source: Path | str,
    mapping: SourceMapping | Mapping[str, Any] | Path | str,
    output: Path,
    *,
    key_file: Path | None = None,
    progress: bool = True,
) -> IngestReport:
    """Read a MEDS data set into a new cohort at ``output``; see `pipeline.ingest`.

    Args:
        source: the data set's folder, or one parquet file.
        mapping, output, key_file, progress: as in `pipeline.ingest`.
    """
    return ingest(MedsReader(), source, mapping, output, key_file=key_file, progress=progress)
