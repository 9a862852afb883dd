"""neurotwin ingest csv, fhir, omop, meds, nonmem. Each verb imports its reader when it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurotwin.verbs.next_step import tell_next

if TYPE_CHECKING:
    from neurotwin.ingest.report import IngestReport

ingest = typer.Typer(no_args_is_help=True, help="Read health records into a cohort, every row accounted for.")

MappingName = Annotated[
    str, typer.Option("--mapping", "-m", help="YAML file, or the name of one that comes with neurotwin.")
]
CohortToBe = Annotated[Path, typer.Option("--output", "-o", help="Cohort folder to be.")]
KeyFile = Annotated[Path | None, typer.Option(help="Key of the pseudonyms.")]


@ingest.command("csv")
def ingest_csv(
    source: Annotated[str, typer.Argument(help="A file, a folder, or dataset:NAME.")],
    mapping: MappingName,
    output: CohortToBe,
    key_file: KeyFile = None,
) -> None:
    """Delimited text: long (one row a measurement) or visits (one row a visit)."""
    from neurotwin.ingest.csv import ingest_csv as read

    _tell(read(source, mapping, output, key_file=key_file))


@ingest.command("fhir")
def ingest_fhir(
    source: Annotated[
        str, typer.Argument(help="A file or a folder: Bundles (.json), bulk exports (.ndjson), also .gz.")
    ],
    mapping: MappingName,
    output: CohortToBe,
    key_file: KeyFile = None,
) -> None:
    """FHIR R4: Bundles, single resources and bulk exports."""
    from neurotwin.ingest.fhir import ingest_fhir as read

    _tell(read(source, mapping, output, key_file=key_file))


@ingest.command("omop")
def ingest_omop(
    source: Annotated[
        str,
        typer.Argument(help="A folder or zip of CSV or parquet files, a DuckDB file, or a database's URL."),
    ],
    mapping: MappingName,
    output: CohortToBe,
    key_file: KeyFile = None,
) -> None:
    """OMOP CDM 5.4: measurements, drug exposures, persons, visits and deaths."""
    from neurotwin.ingest.omop import ingest_omop as read

    _tell(read(source, mapping, output, key_file=key_file))


@ingest.command("meds")
def ingest_meds(
    source: Annotated[str, typer.Argument(help="A data set's folder, or one parquet file.")],
    mapping: MappingName,
    output: CohortToBe,
    key_file: KeyFile = None,
) -> None:
    """MEDS 0.4 (Medical Event Data Standard): one coded event a row, in parquet files."""
    from neurotwin.ingest.meds import ingest_meds as read

    _tell(read(source, mapping, output, key_file=key_file))


@ingest.command("nonmem")
def ingest_nonmem(
    source: Annotated[str, typer.Argument(help="A text table, or a folder of them.")],
    mapping: MappingName,
    output: CohortToBe,
    key_file: KeyFile = None,
) -> None:
    """NONMEM-style tables: one observation or dose a row (ID TIME AMT RATE EVID MDV DV ...)."""
    from neurotwin.ingest.nonmem import ingest_nonmem as read

    _tell(read(source, mapping, output, key_file=key_file))


def _tell(report: "IngestReport") -> None:
    """The report's table on standard output, and what can be done next on standard error."""
    from neurotwin.ingest.report import print_summary

    print_summary(report)
    tell_next(f"neurotwin train data.cohort={report.output}")
