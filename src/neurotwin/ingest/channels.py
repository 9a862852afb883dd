"""Channels: a mapping's quantities, ready to turn text into numbers in the schema's units."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from neurotwin.ingest.accounting import CODES, Reason
from neurotwin.ingest.batches import Texts
from neurotwin.ingest.buckets import ENDED
from neurotwin.ingest.follow_up import EndChannel
from neurotwin.ingest.mapping import SourceMapping, Table
from neurotwin.ingest.mapping_checks import amount_unit
from neurotwin.ingest.mapping_columns import (
    DeathColumn,
    DurationColumn,
    FollowUpColumn,
    LongVariable,
    StaticColumn,
    StopColumn,
    TimeColumn,
    TreatmentColumn,
    VisitsVariable,
)
from neurotwin.ingest.numbers import Readings, distinct
from neurotwin.ingest.quantities import Quantity, read_quantities
from neurotwin.ingest.times import LONGEST_COURSE, TimeReader, latest
from neurotwin.ingest.unit_book import UnitBook
from neurotwin.schema import Static, Treatment, Variable
from neurotwin.units import conversion


@dataclass(frozen=True)
class ValueChannel:
    """A variable of the schema, by position, and how to read it."""

    variable: int
    quantity: Quantity


@dataclass(frozen=True)
class DoseChannel:
    """A treatment of the schema, by position, and how to read amount, start and end.

    Without ``stop`` and ``duration`` it is an instant (bolus). ``empty`` is what an empty stop means. With ``spread``
    the amount is that of the whole period, and its rate has the range ``low`` to ``high``. ``clock`` brings times as
    they are read to the mapping's time unit.
    """

    treatment: int
    quantity: Quantity
    start: TimeReader | Literal["row", "index"]
    stop: TimeReader | Literal["never", "next"] | None
    empty: Literal["reject", "ongoing", "next"]
    duration: Quantity | None
    spread: bool
    low: float
    high: float
    clock: float


@dataclass(frozen=True)
class StaticChannel:
    """A static covariate of the schema, by position: a quantity, or levels by source text."""

    static: int
    quantity: Quantity
    levels: dict[str, int]

    def read(self, text: Texts, unit: Texts | None) -> Readings:
        """``[cell]`` numbers in the schema's unit or indices of levels, or why there is none."""
        if not self.levels:
            found = read_quantities([self.quantity], np.zeros(len(text), np.int16), text, unit)
            found.reason[(found.reason == 0) & (found.censor != 0)] = CODES[Reason.VALUE_NOT_A_NUMBER]
            return found
        texts, which = distinct(text)
        level = np.array([self.levels.get(one, -1) for one in texts], dtype=np.float64)[which]
        reason = np.where(level < 0, CODES[Reason.LEVEL_UNKNOWN], 0).astype(np.int8)
        return Readings(level, np.zeros(len(text), np.int8), reason)


@dataclass(frozen=True)
class Channels:
    """All that a table gives, in the order of the mapping. ``margin`` is how long after death records may be, in the
    unit of times as they are read; ``end`` reads the end of follow-up."""

    values: tuple[ValueChannel, ...]
    doses: tuple[DoseChannel, ...]
    statics: tuple[StaticChannel, ...]
    time: TimeReader | None
    index: TimeReader | None
    birth: TimeReader | None
    death: TimeReader | None
    margin: float
    end: EndChannel | None

    @property
    def quantities(self) -> list[Quantity]:
        """Every quantity of the schema, for the count of conversions."""
        return [one.quantity for group in (self.values, self.doses, self.statics) for one in group]


def build_channels(mapping: SourceMapping, table: Table) -> Channels:
    """Channels of one table of a mapping."""
    book, last = UnitBook(table.units), latest(mapping)
    variables = {one.name: (number, one) for number, one in enumerate(mapping.variables)}
    statics = {one.name: (number, one) for number, one in enumerate(mapping.statics)}

    def reader(column: TimeColumn | None, until: float = last) -> TimeReader | None:
        return TimeReader(column, mapping.time_unit, table.decimal, until) if column else None

    def static(item: StaticColumn) -> StaticChannel:
        number, covariate = statics[item.static]
        names = item.levels or {level: level for level in covariate.levels}
        levels = {text: covariate.levels.index(level) for text, level in names.items()}
        return StaticChannel(number, _quantity(covariate, item, table.decimal, book), levels)

    def value(item: VisitsVariable | LongVariable) -> ValueChannel:
        number, variable = variables[item.variable]
        return ValueChannel(number, _quantity(variable, item, table.decimal, book))

    return Channels(
        tuple(value(item) for item in table.variables),
        tuple(_dose(mapping, table, item, book, last) for item in table.treatments),
        tuple(static(item) for item in table.statics),
        reader(table.time),
        reader(table.index),
        reader(table.birth),
        reader(table.death),
        margin_of(mapping, table.death),
        _end(mapping, table, reader(table.follow_up)),
    )


def margin_of(mapping: SourceMapping, column: DeathColumn | FollowUpColumn | None) -> float:
    """How much later than a column's time records may be, in the unit of times as they are read."""
    given = None if column is None else column.margin
    margin = conversion("d", mapping.time_unit).factor if given is None else given
    return margin * conversion(mapping.time_unit, "us").factor if mapping.dated else margin


def _end(mapping: SourceMapping, table: Table, time: TimeReader | None) -> EndChannel | None:
    if table.follow_up is None or time is None:
        return None
    names = [one.name for one in mapping.outcomes]
    marks = {text: ENDED + 1 + names.index(name) for text, name in table.follow_up.outcomes.items()}
    return EndChannel(time, marks | dict.fromkeys(table.follow_up.censored, ENDED))


def _dose(mapping: SourceMapping, table: Table, item: TreatmentColumn, book: UnitBook, last: float) -> DoseChannel:
    number, treatment = next(
        (number, one) for number, one in enumerate(mapping.treatments) if one.name == item.treatment
    )
    low, high = treatment.plausible
    quantity = _quantity(treatment, item, table.decimal, book)
    if item.given != "rate":
        quantity = replace(quantity, unit=amount_unit(mapping, item), low=-np.inf, high=np.inf)
    start: TimeReader | Literal["row", "index"]
    stop: TimeReader | Literal["never", "next"] | None
    if isinstance(item.start, TimeColumn):
        start = TimeReader(item.start, mapping.time_unit, table.decimal, last)
    else:
        start = item.start
    if isinstance(item.stop, StopColumn):
        stop = TimeReader(item.stop, mapping.time_unit, table.decimal)  # an end may be planned
    else:
        stop = item.stop
    empty = item.stop.empty if isinstance(item.stop, StopColumn) else "reject"
    duration = _duration(mapping, item.duration, table.decimal, book) if item.duration else None
    clock = conversion("us", mapping.time_unit).factor if mapping.dated else 1.0
    return DoseChannel(number, quantity, start, stop, empty, duration, item.given != "rate", low, high, clock)


def _duration(mapping: SourceMapping, item: DurationColumn, decimal: str, book: UnitBook) -> Quantity:
    longest = LONGEST_COURSE * conversion("a", mapping.time_unit).factor
    return Quantity(
        "duration", mapping.time_unit, item.unit or "", None, dict(item.values), decimal, -np.inf, longest, False, book
    )


def _quantity(
    meant: Variable | Treatment | Static,
    item: VisitsVariable | LongVariable | TreatmentColumn | StaticColumn,
    decimal: str,
    book: UnitBook,
) -> Quantity:
    low, high = meant.plausible
    open_low = False
    if isinstance(meant, Variable) and meant.transform == "log" and low <= -meant.offset:
        low, open_low = -meant.offset, True
    return Quantity(
        meant.name, meant.unit, item.unit or "", item.molar_mass, dict(item.values), decimal, low, high, open_low, book
    )
