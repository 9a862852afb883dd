"""The text tables of a FHIR source: one for each file and each table of the mapping that finds resources in it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import OUT_OF_SCOPE, Outcomes
from neurotwin.ingest.batches import Advance, TextBatch, text_batch
from neurotwin.ingest.fhir.files import FhirFile, FhirSource, find_fhir_files
from neurotwin.ingest.fhir.references import References
from neurotwin.ingest.fhir.rows import Row, RowMaker
from neurotwin.ingest.fhir.versions import Versions
from neurotwin.ingest.mapping import SourceMapping

BATCH = 8192
OTHERS = "other resources"


@dataclass
class Scanned:
    """What the first reading of a file found: how many resources of each type, and where its numbering begins."""

    file: FhirFile
    first: int
    sha256: str = ""
    counts: Counter[str] = field(default_factory=Counter)


class FhirTable:
    """Rows of the resources of one type in one file: a `batches.TextTable`. ``strays`` have no table of their own."""

    def __init__(
        self, scanned: Scanned, number: int, maker: RowMaker, outcomes: Outcomes, advance: Advance, claimed: set[str]
    ) -> None:
        self.shown, self.table, self.volume = scanned.file.shown, number, scanned.file.volume
        self.size, self.sha256, self.columns_ignored = 0, "", 0
        self.maker: RowMaker | None = maker
        self.strays = False
        self._columns = maker.columns
        self._scanned, self._outcomes, self._advance, self._claimed = scanned, outcomes, advance, claimed

    def position(self, column: str) -> int:
        """0: resources have no positions."""
        return 0

    def batches(self) -> Iterator[TextBatch]:
        """See `batches.TextTable`. Raises IngestError when the file is not what it was at the first reading."""
        lines: list[int] = []
        rows: list[Row] = []
        for line, row in self._rows():
            lines.append(line)
            rows.append(row)
            if len(rows) == BATCH:
                yield self._batch(lines, rows)
                lines, rows = [], []
        if rows:
            yield self._batch(lines, rows)

    def _rows(self) -> Iterator[tuple[int, Row]]:
        source = FhirSource(self._scanned.file, self._advance)
        nothing = ("",) * len(self._columns)
        for number, entry in enumerate(source.entries(), start=self._scanned.first):
            if self.maker is not None and entry.kind == self.maker.kind:
                outcome = int(self._outcomes[number]) if number < len(self._outcomes) else 0
                for row in self.maker.rows(entry, outcome):
                    yield entry.line, row
            elif self.strays and entry.kind not in self._claimed:
                # An entry without a resource tells itself what it is; a type that no table asks for is out of scope.
                yield entry.line, Row(nothing, OUT_OF_SCOPE if entry.resource is not None else entry.fault)
        self.size, self.sha256 = source.size, source.sha256
        if source.sha256 != self._scanned.sha256:
            raise IngestError("the file changed while it was read", where=self.shown, remedy="read it again")

    def _batch(self, lines: list[int], rows: list[Row]) -> TextBatch:
        cells = zip(*(row.cells for row in rows), strict=True)
        columns: dict[str, list[str]] = {name: list(one) for name, one in zip(self._columns, cells, strict=True)}
        return text_batch(lines, dict(columns), [row.fault for row in rows])


def build_tables(
    source: Path | str, mapping: SourceMapping, scratch: Path, advance: Advance, references: References
) -> list[FhirTable]:
    """Read a source through once, for versions and references, and lay out its tables.

    Raises:
        IngestError: files and the mapping's tables do not fit each other, or a file is not FHIR.
    """
    makers = [
        RowMaker(table, f"{mapping.name}: table {number}", references)
        for number, table in enumerate(mapping.tables, start=1)
    ]
    files = find_fhir_files(source)
    claims = [_claims(mapping, makers, one) for one in files]
    for number, table in enumerate(mapping.tables):
        if table.file is not None and not any(number in one.values() for one in claims):
            raise IngestError(f"no file {table.file!r}", where=Path(source).name, expected="the mapping's files")
    versions = Versions(scratch, sum(one.volume for one in files))
    try:
        scans, count = [], 0
        for one, claimed in zip(files, claims, strict=True):
            scans.append(_scan(one, set(claimed), count, versions, references))
            count += scans[-1].counts.total()
        references.settle_links()
        outcomes = versions.settle(count)
    finally:
        versions.close()
    found = [
        table
        for scan, claimed in zip(scans, claims, strict=True)
        for table in _tables_of(scan, claimed, makers, outcomes, advance)
    ]
    return sorted(found, key=lambda one: one.table)  # stable: files stay in the order of their names


def _claims(mapping: SourceMapping, makers: list[RowMaker], file: FhirFile) -> dict[str, int]:
    """By type of resource the table that takes those of a file."""
    claims: dict[str, int] = {}
    for number, (table, maker) in enumerate(zip(mapping.tables, makers, strict=True)):
        if table.file is None or fnmatchcase(file.path.name, table.file):
            if maker.kind in claims:
                what = f"two tables take {maker.kind} from one file"
                raise IngestError(what, where=file.shown, remedy="make the tables' file names distinct")
            claims[maker.kind] = number
    return claims


def _scan(file: FhirFile, claimed: set[str], first: int, versions: Versions, references: References) -> Scanned:
    source, scanned = FhirSource(file), Scanned(file, first)
    for number, entry in enumerate(source.entries(), start=first):
        scanned.counts[entry.kind] += 1
        if entry.fault:
            continue
        if entry.kind in ("Patient", "Medication"):
            references.add(entry, file.shown)
        if entry.kind in claimed:
            with suppress(ValueError, RecursionError):  # rejected at the second reading
                versions.add(number, entry)
    scanned.sha256 = source.sha256
    return scanned


def _tables_of(
    scan: Scanned, claims: dict[str, int], makers: list[RowMaker], outcomes: Outcomes, advance: Advance
) -> list[FhirTable]:
    """A file's tables. What no table asks for goes with the only one, or makes a table of its own beside several."""
    asked = {kind: number for kind, number in claims.items() if scan.counts[kind]}
    found = [FhirTable(scan, number, makers[number], outcomes, advance, set(asked)) for number in asked.values()]
    strays = scan.counts.total() > sum(scan.counts[kind] for kind in asked)
    if len(found) != 1 and (strays or not found):
        number = min(claims.values(), default=0)
        found.append(FhirTable(scan, number, makers[number], outcomes, advance, set(asked)))
        found[-1].maker = None
    if strays:
        found[-1].strays = True
    for table in found:
        table.volume = scan.file.volume // len(found)
        if len(found) > 1:
            table.shown = f"{scan.file.shown}: {table.maker.kind if table.maker else OTHERS}"
    return found
