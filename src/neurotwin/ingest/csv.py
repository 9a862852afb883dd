"""Delimited text to a Cohort: ``neurotwin ingest csv SOURCE --mapping MAPPING -o COHORT``.

Each row is accounted for (`report`), nothing is guessed, and the cohort appears whole or not at all.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurotwin.ingest.batches import Advance
from neurotwin.ingest.delimited import DelimitedFile
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.pipeline import ingest
from neurotwin.ingest.report import IngestReport
from neurotwin.ingest.sources import find_files, shown_source


class CsvReader:
    """Reads a file, a folder in which tables of the mapping name their files, or ``dataset:NAME``."""

    kind = "csv"

    def shown(self, source: Path | str) -> str:
        """See `batches.Reader`."""
        return shown_source(source)

    def tables(
        self, source: Path | str, mapping: SourceMapping, scratch: Path, advance: Advance
    ) -> list[DelimitedFile]:
        """See `batches.Reader`."""
        files = find_files(source, mapping, scratch)
        return [DelimitedFile(one.path, one.table, mapping.tables[one.table], one.shown, advance) for one in files]


def ingest_csv(
    source: Path | str,
    mapping: SourceMapping | Mapping[str, Any] | Path | str,
    output: Path,
    *,
    key_file: Path | None = None,
    progress: bool = True,
) -> IngestReport:
    """Read delimited text into a new cohort at ``output``; see `pipeline.ingest`.

    Args:
        source: a file, a folder (tables of the mapping name their files in it), or ``dataset:NAME``.
        mapping, output, key_file, progress: as in `pipeline.ingest`.
    """
    return ingest(CsvReader(), source, mapping, output, key_file=key_file, progress=progress)
