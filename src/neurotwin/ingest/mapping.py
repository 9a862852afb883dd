"""The mapping: where in a source each variable, treatment and static covariate is found, and in which unit.

A mapping says what the cohort holds (`SourceMapping`: the schema, time, index event, split) and, table by table, which
columns it comes from (`VisitsTable`, `LongTable`). Only columns named here are ever read. Names are text, keys are
closed, and an unknown key is refused with the nearest known one.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from neurotwin.ingest.mapping_columns import (
    BirthColumn,
    Column,
    DeathColumn,
    FoldColumn,
    FollowUpColumn,
    LongVariable,
    Part,
    StaticColumn,
    Texts,
    TimeColumn,
    TreatmentColumn,
    VisitsVariable,
    check_dates,
)
from neurotwin.ingest.mapping_nonmem import NonmemOptions
from neurotwin.schema import Name, Outcome, Schema, Static, Treatment, Unit, Variable


class _Table(Part):
    """What both layouts share. ``file`` names files in a folder, ``table`` a table inside the format (an OMOP table, a
    FHIR resource). Rows that ``drop`` names are left out; measurements of rows that ``post_dose`` names were taken
    after the doses of their instant."""

    file: Annotated[str, Field(pattern=r"^[^/\\]+$")] | None = None
    table: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    delimiter: Literal[",", ";", "\t", "|"] = ","
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    decimal: Literal[".", ","] = "."
    multiline: bool = False
    missing: Texts = ()
    drop: dict[Column, Texts] = {}
    units: dict[str, Unit] = {}
    subject: Column
    time: TimeColumn | None = None
    index: TimeColumn | None = None
    birth: BirthColumn | None = None
    death: DeathColumn | None = None
    fold: FoldColumn | None = None
    follow_up: FollowUpColumn | None = None
    post_dose: dict[Column, Texts] = {}
    nonmem: NonmemOptions | None = None
    treatments: tuple[TreatmentColumn, ...] = ()
    statics: tuple[StaticColumn, ...] = ()

    @property
    def time_columns(self) -> Iterator[TimeColumn]:
        """All columns of times."""
        yield from (one for one in (self.time, self.index, self.birth, self.death, self.follow_up) if one is not None)
        for item in self.treatments:
            yield from (one for one in (item.start, item.stop) if isinstance(one, TimeColumn))

    @property
    def columns(self) -> Iterator[str]:
        """All columns that are named; some may come again."""
        yield self.subject
        yield from (one.column for one in self.time_columns)
        yield from (*self.drop, *self.post_dose)
        yield from () if self.fold is None else (self.fold.column,)
        yield from () if self.follow_up is None else (self.follow_up.status,)
        for item in (*self.treatments, *self.statics):
            yield from item.columns


class VisitsTable(_Table):
    """One row is one visit (or dose, or person); each mapped column is one quantity."""

    layout: Literal["visits"]
    variables: tuple[VisitsVariable, ...] = ()

    @property
    def columns(self) -> Iterator[str]:
        """All columns that are named; some may come again."""
        yield from super().columns
        for item in self.variables:
            yield from item.columns


class LongTable(_Table):
    """One row is one measurement: what (``code``), how much (``value``), in which unit (``unit``)."""

    layout: Literal["long"]
    code: Column
    value: Column
    unit: Column | None = None
    variables: Annotated[tuple[LongVariable, ...], Field(min_length=1)]

    @property
    def columns(self) -> Iterator[str]:
        """All columns that are named; some may come again."""
        yield from super().columns
        yield from (one for one in (self.code, self.value, self.unit) if one is not None)
        for item in self.variables:
            yield from item.columns


Table = Annotated[VisitsTable | LongTable, Field(discriminator="layout")]


class Index(Part):
    """The event from which time counts: ``at`` zero (times count from it already), the subject's first measurement,
    or the column ``index`` of a table."""

    event: Annotated[str, Field(min_length=1, max_length=200)]
    at: Literal["zero", "first", "column"] = "zero"


class SourceMapping(Part):
    """A source's mapping.

    ``about`` is free text for the provenance (title, source, licence, notes). ``replicates`` are variables measured
    several times at one instant, whose differing values are all kept. ``before_index`` tells what becomes of
    measurements and boluses before the index event. What is dated later than ``not_after`` (a date, by default
    tomorrow) is rejected, unless dates are ``shifted``, as in records without their true dates. ``subject_prefix``
    stands before each id of the source and is no part of it (``p`` of ``p1``); an id without it is rejected.
    """

    name: Name
    about: dict[str, str] = {}
    time_unit: Unit
    index: Index
    split_key: Annotated[str, Field(min_length=1, max_length=64)]
    pseudonymise: Literal["none", "hmac"]
    subject_prefix: Annotated[str, Field(min_length=1, max_length=50)] | None = None
    before_index: Literal["reject", "keep"] = "reject"
    not_after: str | None = None
    shifted: bool = False
    variables: Annotated[tuple[Variable, ...], Field(min_length=1)]
    treatments: tuple[Treatment, ...] = ()
    statics: tuple[Static, ...] = ()
    outcomes: Annotated[tuple[Outcome, ...], Field(max_length=100)] = ()
    replicates: tuple[Name, ...] = ()
    tables: Annotated[tuple[Table, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.not_after is not None:
            check_dates((self.not_after,))
            if self.shifted:
                raise ValueError("shifted dates say nothing about today, so they take no not_after")
        if not self.dated and (self.shifted or self.not_after is not None):
            raise ValueError("shifted and not_after are for dates, and times are numbers here")
        return self

    @property
    def cohort_schema(self) -> Schema:
        """The schema of the cohort to be."""
        return Schema(
            name=self.name,
            time_unit=self.time_unit,
            variables=self.variables,
            treatments=self.treatments,
            statics=self.statics,
            outcomes=self.outcomes,
        )

    @property
    def dated(self) -> bool:
        """Whether times are dates (all of them are, or none is)."""
        return any(column.format is not None for table in self.tables for column in table.time_columns)
