"""FHIR R4 to a Cohort: ``neurotwin ingest fhir SOURCE --mapping MAPPING -o COHORT``.

A source is a file or a folder of Bundles, single resources and bulk exports. It is read twice: first for what refers to
what and which versions there are, then for its rows. The columns that a mapping may name are those of `fhir.columns`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurotwin.ingest.batches import Advance
from neurotwin.ingest.fhir.references import References
from neurotwin.ingest.fhir.tables import FhirTable, build_tables
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.pipeline import ingest
from neurotwin.ingest.report import IngestReport
from neurotwin.ingest.sources import shown_source


class FhirReader:
    """Reads a file or a folder; each table of the mapping names its type of resource as ``table``. Use it once."""

    kind = "fhir"

    def __init__(self) -> None:
        self._references: References | None = None

    def shown(self, source: Path | str) -> str:
        """See `batches.Reader`."""
        return shown_source(source)

    def tables(self, source: Path | str, mapping: SourceMapping, scratch: Path, advance: Advance) -> list[FhirTable]:
        """See `batches.Reader`."""
        self._references = References(scratch)
        return build_tables(source, mapping, scratch, advance, self._references)

    def close(self) -> None:
        """Close what was opened in ``scratch``."""
        if self._references is not None:
            self._references.close()


def ingest_fhir(
    source: Path | str,
    mapping: SourceMapping | Mapping[str, Any] | Path | str,
    output: Path,
    *,
    key_file: Path | None = None,
    progress: bool = True,
) -> IngestReport:
    """Read FHIR into a new cohort at ``output``; see `pipeline.ingest`.

    Args:
        source: a file or a folder: Bundles or single resources (.json), bulk exports (.ndjson, .jsonl), also .gz.
        mapping, output, key_file, progress: as in `pipeline.ingest`.
    """
    reader = FhirReader()
    try:
        return ingest(reader, source, mapping, output, key_file=key_file, progress=progress)
    finally:
        reader.close()
