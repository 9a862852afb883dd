"""The tables of the OMOP Common Data Model 5.4 that can be read, and what is derived from their columns.

Source: https://ohdsi.github.io/CommonDataModel/cdm54.html
"""

from dataclasses import dataclass

from neurotwin.errors import IngestError
from neurotwin.ingest.mapping import Table
from neurotwin.ingest.mapping_columns import nearest

CONCEPT = "concept"
PERSON = "person"
SUBJECT = "person_id"

OPERATORS = {"": "", "0": "", "4172703": "", "4171756": "<", "4171754": "<=", "4172704": ">", "4171755": ">="}
"""Concepts of ``operator_concept_id``, as `text.read_measurement` writes them; any other makes no number."""


@dataclass(frozen=True)
class CdmTable:
    """A table, and the columns that derived ones come from; the first that is filled counts.

    Attributes:
        name: in lower case.
        key: column that numbers the rows.
        about: concept and source value of what a row is about.
        start, end: moment and date of a row or of a period.
        value, operator: a number, and the concept that compares it.
        unit: concept and source value of its unit.
        birth: birth's moment, year, month and day.
    """

    name: str
    key: str
    about: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    value: str = ""
    operator: str = ""
    unit: tuple[str, ...] = ()
    birth: tuple[str, ...] = ()


def _moments(stem: str) -> tuple[str, str]:
    return f"{stem}_datetime", f"{stem}_date"


def _about(stem: str) -> tuple[str, str]:
    return f"{stem}_concept_id", f"{stem}_source_value"


_UNIT = ("unit_concept_id", "unit_source_value")

TABLES = {
    one.name: one
    for one in (
        CdmTable(
            "measurement",
            "measurement_id",
            about=_about("measurement"),
            start=_moments("measurement"),
            value="value_as_number",
            operator="operator_concept_id",
            unit=_UNIT,
        ),
        CdmTable(
            "observation",
            "observation_id",
            about=_about("observation"),
            start=_moments("observation"),
            value="value_as_number",
            unit=_UNIT,
        ),
        CdmTable(
            "drug_exposure",
            "drug_exposure_id",
            about=_about("drug"),
            start=_moments("drug_exposure_start"),
            end=_moments("drug_exposure_end"),
            unit=("", "dose_unit_source_value"),
        ),
        CdmTable(
            "visit_occurrence",
            "visit_occurrence_id",
            about=_about("visit"),
            start=_moments("visit_start"),
            end=_moments("visit_end"),
        ),
        CdmTable(
            PERSON,
            SUBJECT,
            about=_about("gender"),
            birth=("birth_datetime", "year_of_birth", "month_of_birth", "day_of_birth"),
        ),
        CdmTable("death", SUBJECT, about=_about("cause"), start=_moments("death")),
    )
}

DERIVED = ("code", "concept", "time", "end", "value", "unit", "birth")
"""Names of derived columns; none of them is a column of these tables."""


def sources_of(name: str, cdm: CdmTable) -> tuple[str, ...]:
    """Columns that a derived one comes from, those that say most first; none where the table has no such thing."""
    found = {
        "code": cdm.about,
        "concept": cdm.about,
        "time": cdm.start,
        "end": cdm.end,
        "value": (cdm.value, cdm.operator),
        "unit": cdm.unit,
        "birth": cdm.birth,
    }[name]
    return tuple(one for one in found if one)


def cdm_table(table: Table, number: int) -> tuple[CdmTable, str]:
    """What a table of a mapping is, and the schema that it names ("" for none): ``MEASUREMENT``, ``cdm.measurement``.

    Raises IngestError when it names no table that can be read.
    """
    named = ", ".join(one.upper() for one in TABLES)
    if table.table is None:
        raise IngestError(
            "a table without its name", where=f"mapping: tables.{number}", expected=f"table: one of {named}"
        )
    schema, _, name = table.table.rpartition(".")
    if name.lower() not in TABLES:
        hint = nearest(name.lower(), TABLES).upper().replace("DID YOU MEAN", "did you mean")
        raise IngestError(f"no OMOP table {name!r}{hint}", where=f"mapping: tables.{number}", expected=named)
    return TABLES[name.lower()], schema
