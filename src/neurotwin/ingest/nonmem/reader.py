"""NONMEM-style tables to a Cohort: ``neurotwin ingest nonmem SOURCE --mapping MAPPING -o COHORT``.

One row is an observation or a dose (ID TIME AMT RATE EVID MDV DV ...). `nonmem.lines` tells how lines are read,
`nonmem.events` what a row says, `nonmem.columns` which columns a mapping may name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurotwin.ingest.batches import Advance
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.nonmem.table import AdditionalDoses, NonmemTable
from neurotwin.ingest.pipeline import ingest
from neurotwin.ingest.report import IngestReport
from neurotwin.ingest.sources import find_files, shown_source


class NonmemReader:
    """Reads a file, or a folder in which tables of the mapping name their files.

    A file with ADDL or SS gives its additional doses as a table of their own, so that each row counts once.
    """

    kind = "nonmem"

    def shown(self, source: Path | str) -> str:
        """See `batches.Reader`."""
        return shown_source(source)

    def tables(self, source: Path | str, mapping: SourceMapping, scratch: Path, advance: Advance) -> list[NonmemTable]:
        """See `batches.Reader`."""
        found: list[NonmemTable] = []
        for one in find_files(source, mapping, scratch):
            table = mapping.tables[one.table]
            found.append(NonmemTable(one.path, one.table, table, one.shown, advance))
            if table.treatments and {"ADDL", "SS"} & {name.upper() for name in found[-1].header.names}:
                found.append(AdditionalDoses(found[-1], one.path, table))
        return found


def ingest_nonmem(
    source: Path | str,
    mapping: SourceMapping | Mapping[str, Any] | Path | str,
    output: Path,
    *,
    key_file: Path | None = None,
    progress: bool = True,
) -> IngestReport:
    """Read a NONMEM-style table into a new cohort at ``output``; see `pipeline.ingest`.

    Args:
        source: a text table, or a folder of them.
        mapping, output, key_file, progress: as in `pipeline.ingest`.
    """
    return ingest(NonmemReader(), source, mapping, output, key_file=key_file, progress=progress)
