"""The columns of a mapping: times, quantities, doses and covariates, each with how it is to be read."""

import difflib
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from neurotwin.cohort import N_FOLDS
from neurotwin.schema import Name, Unit

Column = Annotated[str, Field(min_length=1, max_length=200)]
Texts = tuple[str, ...]
Fold = Annotated[int, Field(ge=0, lt=N_FOLDS)]
PLACEHOLDER_DATES = ("0001-01-01", "1900-01-01", "1970-01-01", "9999-12-31")
_DIRECTIVES = frozenset("YmdHMSfbBjpIz%")


def nearest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean X?)`` or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


class Part(BaseModel):
    """A piece of a mapping: closed keys, no coercion, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class TimeColumn(Part):
    """A column of times: numbers with their ``unit``, or dates with their ``format`` (strptime), never guessed.

    Of several formats just one may fit a date, or they must agree about it. ``zones`` lets dates with and without a
    time zone stand in one column: ``utc`` takes those without one as universal time, ``wall`` drops the zone.
    ``between`` is the believed range, numbers in ``unit`` or dates. ``placeholders`` are dates that stand for nothing.
    """

    partial: ClassVar[bool] = False

    column: Column
    unit: Unit | None = None
    format: str | Annotated[Texts, Field(min_length=1)] | None = None
    zones: Literal["utc", "wall"] | None = None
    between: tuple[float, float] | tuple[str, str] | None = None
    placeholders: Texts = PLACEHOLDER_DATES

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.unit is None) == (self.format is None):
            raise ValueError("a time column needs either a unit (numbers) or a format (dates)")
        for one in self.formats:
            _check_format(one, partial=self.partial)
        if self.between is not None and isinstance(self.between[0], str) == (self.format is None):
            raise ValueError("between must be numbers for a unit, and dates YYYY-MM-DD for a format")
        if self.zones is not None and self.format is None:
            raise ValueError("zones are for dates, so they need a format")
        if self.format is not None:
            check_dates((*(self.between or ()), *self.placeholders))
        return self

    @property
    def formats(self) -> Texts:
        """The formats, none for a column of numbers."""
        return (self.format,) if isinstance(self.format, str) else self.format or ()

    @property
    def zoned(self) -> bool:
        """Whether times are in universal time, as their zones or ``zones: utc`` tell; otherwise wall times."""
        return any("%z" in one for one in self.formats) if self.zones is None else self.zones == "utc"


def _check_format(text: str, *, partial: bool) -> None:
    used = [part[:1] for part in text.replace("%%", "").split("%")[1:]]
    if unknown := sorted(set(used) - _DIRECTIVES):
        raise ValueError(f"format has %{unknown[0]}, which depends on place or century; use %Y %m %d %H %M %S")
    if partial and "Y" in used:
        return
    if "Y" not in used or not ("j" in used or ("d" in used and set(used) & set("mbB"))):
        raise ValueError("format must give year, month and day, as in %Y-%m-%d")


def check_dates(texts: Iterable[object]) -> None:
    for text in texts:
        try:
            date.fromisoformat(str(text))
        except ValueError:
            raise ValueError(f"{text!r} is not a date YYYY-MM-DD") from None


class BirthColumn(TimeColumn):
    """When the subject was born, empty where it is not known. A format may leave out day and month, which then are the
    first. ``age`` names the static covariate that becomes the age at the index event."""

    partial: ClassVar[bool] = True

    age: Name | None = None


class FoldColumn(Part):
    """A column that tells the fold of the row's subject, by the text itself (0 to 4) or by what ``folds`` makes of it:
    one fold, or several of which a hash of the subject's id chooses one."""

    column: Column
    folds: dict[str, Fold | Annotated[tuple[Fold, ...], Field(min_length=1)]] = {}

    @property
    def meaning(self) -> dict[str, tuple[int, ...]]:
        """Text to folds."""
        given = self.folds or {str(one): one for one in range(N_FOLDS)}
        return {text: (folds,) if isinstance(folds, int) else folds for text, folds in given.items()}


class StopColumn(TimeColumn):
    """When a period ended; an ``empty`` cell is rejected, or means that it goes on, or that it ended when the
    subject's next period of the treatment began."""

    empty: Literal["reject", "ongoing", "next"] = "reject"


class DeathColumn(TimeColumn):
    """When the subject died, empty where it did not. What is later by more than ``margin`` (in the mapping's time unit,
    by default one day, since a date is its midnight) is rejected."""

    margin: Annotated[float, Field(ge=0)] | None = None


class FollowUpColumn(TimeColumn):
    """When the subject was last known of, and in the column ``status`` why no longer: ``outcomes`` gives texts the
    outcome of the schema that they stand for, ``censored`` are those of subjects who were still free of all of them.

    Measurements and doses that are later by more than ``margin`` (as of a `DeathColumn`) are rejected.
    """

    status: Column
    outcomes: Annotated[dict[str, Name], Field(min_length=1)]
    censored: Texts = ()
    margin: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _check_status(self) -> Self:
        if both := sorted(set(self.outcomes) & set(self.censored)):
            raise ValueError(f"the status {both[0]!r} is an outcome and censored")
        return self


class Measured(Part):
    """Unit of a cell: that of ``unit_column`` where the cell there is filled, else ``unit``; no unit, no value.

    ``values`` gives words a number in ``unit``. ``molar_mass`` in g/mol allows mass to amount of substance.
    """

    unit: Unit | None = None
    unit_column: Column | None = None
    molar_mass: Annotated[float, Field(gt=0)] | None = None
    values: dict[str, float] = {}

    @property
    def columns(self) -> Iterator[str]:
        """The columns that are named, those of times apart."""
        yield from (one for one in (getattr(self, "column", None), self.unit_column) if one is not None)
        yield from getattr(self, "when", ())

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if self.values and self.unit is None:
            raise ValueError("values need a unit")
        return self


class VisitsVariable(Measured):
    """A column that holds one variable."""

    variable: Name
    column: Column


class LongVariable(Measured):
    """Rows whose code is one of ``codes`` hold one variable."""

    variable: Name
    codes: Annotated[Texts, Field(min_length=1)]


class DurationColumn(Measured):
    """How long a period lasted from its start, as a number with its unit."""

    column: Column

    @model_validator(mode="after")
    def _check_unit(self) -> Self:
        if self.unit is None and self.unit_column is None:
            raise ValueError("a duration needs a unit or a unit_column")
        return self


class TreatmentColumn(Measured):
    """A column that tells what was given, or a constant ``amount`` for each row; 0 means nothing.

    ``when`` names columns and the texts that select a row. ``start`` is the row's own time, the index event, or a
    column. A period has a ``stop`` (a column, never, or next: when the subject's next one begins) or a ``duration``; a
    bolus has neither. The number is the period's rate or level, or, ``as: amount_over_period``, what was given in all.
    """

    treatment: Name
    column: Column | None = None
    amount: float | None = None
    when: dict[Column, Texts] = {}
    start: Literal["row", "index"] | TimeColumn = "row"
    stop: Literal["never", "next"] | StopColumn | None = None
    duration: DurationColumn | None = None
    given: Annotated[Literal["rate", "amount_over_period"], Field(alias="as")] = "rate"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.column is None) == (self.amount is None):
            raise ValueError(f"treatment {self.treatment} needs either a column or an amount")
        if self.unit is None and self.unit_column is None:
            raise ValueError(f"treatment {self.treatment} needs a unit or a unit_column")
        if self.stop is not None and self.duration is not None:
            raise ValueError(f"treatment {self.treatment} takes a stop or a duration, not both")
        if self.start == "index" and (self.duration is not None or self.given != "rate"):
            raise ValueError(f"treatment {self.treatment} starts at the index event, so it takes a rate and a stop")
        ends = self.duration is not None or (isinstance(self.stop, StopColumn) and self.stop.empty == "reject")
        if self.given != "rate" and not ends:
            raise ValueError(
                f"treatment {self.treatment} is an amount over a period, so it needs a duration or a column of stops"
                " without empty: ongoing or next"
            )
        return self

    @property
    def columns(self) -> Iterator[str]:
        """The columns that are named, those of times apart."""
        yield from super().columns
        if self.duration is not None:
            yield from self.duration.columns


class StaticColumn(Measured):
    """A column that holds one static covariate: numbers with their unit, or ``levels`` (source text to level).

    ``when`` names columns and the texts that select a row.
    """

    static: Name
    column: Column
    levels: dict[str, str] = {}
    when: dict[Column, Texts] = {}
