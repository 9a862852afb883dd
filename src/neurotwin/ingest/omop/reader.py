"""OMOP CDM 5.4 to a Cohort: ``neurotwin ingest omop SOURCE --mapping MAPPING -o COHORT``.

The source is a folder or a zip archive of delimited or parquet files, a DuckDB file, or the URL of a database. Columns
that the mapping may name beside the tables' own are told in `omop.derive`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from neurotwin.errors import IngestError
from neurotwin.ingest.batches import Advance, TextBatch
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.omop.cdm import cdm_table
from neurotwin.ingest.omop.derive import Derivation
from neurotwin.ingest.omop.duckdb import DuckdbSource, is_duckdb
from neurotwin.ingest.omop.files import FolderSource, ZipSource
from neurotwin.ingest.omop.lookup import find_concepts, find_persons
from neurotwin.ingest.omop.raw import RawSource, RawTable
from neurotwin.ingest.omop.sql import SQLITE, SqlSource, sqlite_url
from neurotwin.ingest.pipeline import ingest
from neurotwin.ingest.report import IngestReport
from neurotwin.ingest.sources import shown_source

MAY_BE_EMPTY = ("death",)
"""Tables that may have no row: nobody may have died."""


class OmopReader:
    """Reads OMOP tables from files or from a database, whose URL is the source and is never shown."""

    kind = "omop"

    def shown(self, source: Path | str) -> str:
        """See `batches.Reader`."""
        return shown_source(source)

    def tables(self, source: Path | str, mapping: SourceMapping, scratch: Path, advance: Advance) -> list["OmopTable"]:
        """See `batches.Reader`."""
        plans = [(table, *cdm_table(table, number)) for number, table in enumerate(mapping.tables)]
        opened = open_source(source, scratch)
        concepts = find_concepts(opened, mapping, plans[0][2])
        persons = find_persons(opened, [(table, cdm.name, schema) for table, cdm, schema in plans])
        tables = []
        for number, (table, cdm, schema) in enumerate(plans):
            found = opened.find(cdm.name, schema=schema, mapped=table)
            if not found:
                wanted = cdm.name.upper() if table.file is None else table.file
                raise IngestError(
                    f"no table {wanted}",
                    where=self.shown(source),
                    expected="the tables that the mapping names (files: NAME.csv, .tsv, .txt or .parquet)",
                )
            for raw in found:
                derivation = Derivation(table, cdm, raw.names, raw.shown, concepts, persons)
                tables.append(OmopTable(raw, number, derivation, advance, may_be_empty=cdm.name in MAY_BE_EMPTY))
        return tables


class OmopTable:
    """One table of an OMOP source: a `batches.TextTable`."""

    def __init__(
        self, raw: RawTable, number: int, derivation: Derivation, advance: Advance, *, may_be_empty: bool
    ) -> None:
        self._may_be_empty = may_be_empty
        self._raw, self._derivation, self._advance = raw, derivation, advance
        self.shown, self.table, self.volume = raw.shown, number, raw.volume

    def batches(self) -> Iterator[TextBatch]:
        """See `batches.TextTable.batches`."""
        empty = True
        for batch in self._raw.read(self._derivation.physical, self._advance):
            empty = empty and not len(batch)
            yield self._derivation.batch(batch)
        if empty and not self._may_be_empty:
            raise IngestError("a table without rows, 0 records", where=self.shown, expected="at least one row")

    def position(self, column: str) -> int:
        """Position from 1 of the column, or of the first that it is derived from."""
        return self._raw.names.index(self._derivation.main(column)) + 1

    @property
    def columns_ignored(self) -> int:
        """How many columns nobody asked for."""
        return len(self._raw.names) - len(self._derivation.physical)

    @property
    def sha256(self) -> str:
        """Hash of the file, or of the text that a database gave."""
        return self._raw.sha256

    @property
    def size(self) -> int:
        """Bytes of the same."""
        return self._raw.size


def open_source(source: Path | str, scratch: Path) -> RawSource:
    """What a source is, by its content. Raises IngestError when it is nothing that holds tables."""
    text, schema = str(source), ""
    if is_url(text):
        if not text.startswith("duckdb:"):
            return SqlSource(text)
        text = text.removeprefix("duckdb:///")
    if "?" in text and not Path(text).exists():
        schema = parse_qs(urlsplit(text).query).get("schema", [""])[-1]
        text = text.partition("?")[0]
    path = Path(text)
    if path.is_dir():
        return FolderSource(path)
    if not path.is_file():
        raise IngestError(
            "no such folder or file",
            where=shown_source(source),
            expected="a folder, a zip archive, a DuckDB file or a URL",
        )
    with path.open("rb") as file:
        start = file.read(len(SQLITE))
    if start == SQLITE:
        return SqlSource(sqlite_url(path))
    if is_duckdb(path):
        return DuckdbSource(path, schema)
    return ZipSource(path, scratch) if start.startswith((b"PK\x03\x04", b"PK\x05\x06")) else FolderSource(path)


def is_url(source: Path | str) -> bool:
    """Whether a source is named by a URL."""
    return "://" in str(source)


def ingest_omop(
    source: Path | str,
    mapping: SourceMapping | Mapping[str, Any] | Path | str,
    output: Path,
    *,
    key_file: Path | None = None,
    progress: bool = True,
) -> IngestReport:
    """Read OMOP tables into a new cohort at ``output``; see `pipeline.ingest`.

    Args:
        source: a folder, a zip archive, a DuckDB file (``FILE?schema=NAME``), or the URL of a database.
        mapping, output, key_file, progress: as in `pipeline.ingest`.
    """
    return ingest(OmopReader(), source, mapping, output, key_file=key_file, progress=progress)
