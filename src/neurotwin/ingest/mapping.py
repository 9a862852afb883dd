"""The mapping: where in a source each variable, treatment and static covariate is found, and in which unit.

A mapping says what the cohort holds (`SourceMapping`: the schema, time, index event, split) and, table by table, which
columns it comes from (`VisitsTable`, `LongTable`). Only columns named here are ever read. Names are text, keys are
closed, and an unknown key is refused with the nearest known one.
"""

import difflib
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from neurotwin.schema import Name, Schema, Static, Treatment, Unit, Variable

Column = Annotated[str, Field(min_length=1, max_length=200)]
Texts = tuple[str, ...]
PLACEHOLDER_DATES = ("0001-01-01", "1900-01-01", "1970-01-01", "9999-12-31")
_DIRECTIVES = frozenset("YmdHMSfbBjpIz%")


def nearest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean X?)`` or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class TimeColumn(_Part):
    """A column of times: numbers with their ``unit``, or dates with their ``format`` (strptime), never guessed.

    Of several formats just one may fit a date, or they must agree about it.
    ``between`` is the believed range, numbers in ``unit`` or dates. ``placeholders`` are dates that stand for nothing.
    """

    column: Column
    unit: Unit | None = None
    format: str | Annotated[Texts, Field(min_length=1)] | None = None
    between: tuple[float, float] | tuple[str, str] | None = None
    placeholders: Texts = PLACEHOLDER_DATES

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.unit is None) == (self.format is None):
            raise ValueError("a time column needs either a unit (numbers) or a format (dates)")
        for one in self.formats:
            _check_format(one)
        if self.between is not None and isinstance(self.between[0], str) == (self.format is None):
            raise ValueError("between must be numbers for a unit, and dates YYYY-MM-DD for a format")
        if self.format is not None:
            _check_dates((*(self.between or ()), *self.placeholders))
        return self

    @property
    def formats(self) -> Texts:
        """The formats, none for a column of numbers."""
        return (self.format,) if isinstance(self.format, str) else self.format or ()


def _check_format(text: str) -> None:
    used = [part[:1] for part in text.replace("%%", "").split("%")[1:]]
    if unknown := sorted(set(used) - _DIRECTIVES):
        raise ValueError(f"format has %{unknown[0]}, which depends on place or century; use %Y %m %d %H %M %S")
    if "Y" not in used or not ("j" in used or ("d" in used and set(used) & set("mbB"))):
        raise ValueError("format must give year, month and day, as in %Y-%m-%d")


def _check_dates(texts: Iterable[object]) -> None:
    for text in texts:
        try:
            date.fromisoformat(str(text))
        except ValueError:
            raise ValueError(f"{text!r} is not a date YYYY-MM-DD") from None


class StopColumn(TimeColumn):
    """When a period ended; an ``empty`` cell is rejected or means that it goes on."""

    empty: Literal["reject", "ongoing"] = "reject"


class _Measured(_Part):
    """Unit of a cell: that of ``unit_column`` where the cell there is filled, else ``unit``; no unit, no value.

    ``values`` gives words a number in ``unit``. ``molar_mass`` in g/mol allows mass to amount of substance.
    """

    unit: Unit | None = None
    unit_column: Column | None = None
    molar_mass: Annotated[float, Field(gt=0)] | None = None
    values: dict[str, float] = {}

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if self.values and self.unit is None:
            raise ValueError("values need a unit")
        return self


class VisitsVariable(_Measured):
    """A column that holds one variable."""

    variable: Name
    column: Column


class LongVariable(_Measured):
    """Rows whose code is one of ``codes`` hold one variable."""

    variable: Name
    codes: Annotated[Texts, Field(min_length=1)]


class TreatmentColumn(_Measured):
    """A column that tells what was given, or a constant ``amount`` for each row; 0 means nothing.

    ``when`` names columns and the texts that select a row. ``start`` is the row's own time, the index event, or a
    column; ``stop`` is a column or never (a bolus has none).
    """

    treatment: Name
    column: Column | None = None
    amount: float | None = None
    when: dict[Column, Texts] = {}
    start: Literal["row", "index"] | TimeColumn = "row"
    stop: Literal["never"] | StopColumn | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.column is None) == (self.amount is None):
            raise ValueError(f"treatment {self.treatment} needs either a column or an amount")
        if self.unit is None and self.unit_column is None:
            raise ValueError(f"treatment {self.treatment} needs a unit or a unit_column")
        return self


class StaticColumn(_Measured):
    """A column that holds one static covariate: numbers with their unit, or ``levels`` (source text to level)."""

    static: Name
    column: Column
    levels: dict[str, str] = {}


class _Table(_Part):
    file: Annotated[str, Field(pattern=r"^[^/\\]+$")] | None = None
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
    treatments: tuple[TreatmentColumn, ...] = ()
    statics: tuple[StaticColumn, ...] = ()

    @property
    def time_columns(self) -> Iterator[TimeColumn]:
        """All columns of times."""
        yield from (one for one in (self.time, self.index) if one is not None)
        for item in self.treatments:
            yield from (one for one in (item.start, item.stop) if isinstance(one, TimeColumn))


class VisitsTable(_Table):
    """One row is one visit (or dose, or person); each mapped column is one quantity."""

    layout: Literal["visits"]
    variables: tuple[VisitsVariable, ...] = ()


class LongTable(_Table):
    """One row is one measurement: what (``code``), how much (``value``), in which unit (``unit``)."""

    layout: Literal["long"]
    code: Column
    value: Column
    unit: Column | None = None
    variables: Annotated[tuple[LongVariable, ...], Field(min_length=1)]


Table = Annotated[VisitsTable | LongTable, Field(discriminator="layout")]


class Index(_Part):
    """The event from which time counts: ``at`` zero (times count from it already), the subject's first measurement,
    or the column ``index`` of a table."""

    event: Annotated[str, Field(min_length=1, max_length=200)]
    at: Literal["zero", "first", "column"] = "zero"


class SourceMapping(_Part):
    """A source's mapping.

    ``about`` is free text for the provenance (title, source, licence, notes). ``replicates`` are variables measured
    several times at one instant, whose differing values are all kept. ``before_index`` tells what becomes of
    measurements and boluses before the index event.
    """

    name: Name
    about: dict[str, str] = {}
    time_unit: Unit
    index: Index
    split_key: Annotated[str, Field(min_length=1, max_length=64)]
    pseudonymise: Literal["none", "hmac"]
    before_index: Literal["reject", "keep"] = "reject"
    variables: Annotated[tuple[Variable, ...], Field(min_length=1)]
    treatments: tuple[Treatment, ...] = ()
    statics: tuple[Static, ...] = ()
    replicates: tuple[Name, ...] = ()
    tables: Annotated[tuple[Table, ...], Field(min_length=1)]

    @property
    def cohort_schema(self) -> Schema:
        """The schema of the cohort to be."""
        return Schema(
            name=self.name,
            time_unit=self.time_unit,
            variables=self.variables,
            treatments=self.treatments,
            statics=self.statics,
        )

    @property
    def dated(self) -> bool:
        """Whether times are dates (all of them are, or none is)."""
        return any(column.format is not None for table in self.tables for column in table.time_columns)
