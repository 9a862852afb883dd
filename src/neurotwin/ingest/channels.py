"""Channels: a mapping's quantities, ready to turn text into numbers in the schema's units."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from neurotwin.ingest.accounting import Reason
from neurotwin.ingest.mapping import (
    LongVariable,
    SourceMapping,
    StaticColumn,
    StopColumn,
    Table,
    TimeColumn,
    TreatmentColumn,
    VisitsVariable,
)
from neurotwin.ingest.text import TimeReader, read_measurement
from neurotwin.ingest.unit_book import UnitBook
from neurotwin.schema import Static, Treatment, Variable

Reading = tuple[float, int]


@dataclass(frozen=True)
class Quantity:
    """How to read one quantity.

    Attributes:
        name: the variable, treatment or static covariate.
        unit: that of the schema.
        declared: that of the source where the record brings none; "" if it must.
        low, high: believed range in ``unit``; with ``open_low`` its lower end is excluded.
        converted: how often each source unit was met.
    """

    name: str
    unit: str
    declared: str
    molar_mass: float | None
    values: dict[str, float]
    decimal: str
    low: float
    high: float
    open_low: bool
    book: UnitBook
    converted: Counter[str] = field(default_factory=Counter)

    def read(self, text: str, unit: str) -> Reading | Reason:
        """Value in the schema's unit with its censor flag, or why there is none."""
        worded = text in self.values
        reading = (self.values[text], 0) if worded else read_measurement(text, self.decimal)
        if isinstance(reading, Reason):
            return reading
        source = unit or self.declared
        if not source:
            return Reason.UNIT_MISSING
        if worded and unit and unit != self.declared:
            return Reason.UNIT_INCOMPATIBLE  # the mapping gives words a number in the declared unit only
        conversion = self.book.look_up(source, self.unit, self.molar_mass)
        if isinstance(conversion, Reason):
            return conversion
        value = reading[0] * conversion.factor + conversion.offset
        if not math.isfinite(value) or (value == 0.0 and reading[0] != 0.0 and conversion.offset == 0.0):
            return Reason.VALUE_NOT_FINITE
        if not self.low <= value <= self.high or (self.open_low and value == self.low):
            return Reason.IMPLAUSIBLE
        self.converted[source] += 1
        return value, reading[1]


@dataclass(frozen=True)
class ValueChannel:
    """A variable of the schema, by position, and how to read it."""

    variable: int
    quantity: Quantity


@dataclass(frozen=True)
class DoseChannel:
    """A treatment of the schema, by position, and how to read amount, start and stop.

    ``stop`` None: an instant (bolus).
    """

    treatment: int
    quantity: Quantity
    start: TimeReader | Literal["row", "index"]
    stop: TimeReader | Literal["never"] | None
    may_go_on: bool


@dataclass(frozen=True)
class StaticChannel:
    """A static covariate of the schema, by position: a quantity, or levels by source text."""

    static: int
    quantity: Quantity
    levels: dict[str, int]

    def read(self, text: str, unit: str) -> float | Reason:
        """Number in the schema's unit or index of the level, or why there is none."""
        if self.levels:
            return float(self.levels[text]) if text in self.levels else Reason.LEVEL_UNKNOWN
        reading = self.quantity.read(text, unit)
        if isinstance(reading, Reason):
            return reading
        return reading[0] if reading[1] == 0 else Reason.VALUE_NOT_A_NUMBER


@dataclass(frozen=True)
class Channels:
    """All that a table gives, in the order of the mapping."""

    values: tuple[ValueChannel, ...]
    doses: tuple[DoseChannel, ...]
    statics: tuple[StaticChannel, ...]
    time: TimeReader | None
    index: TimeReader | None

    @property
    def quantities(self) -> list[Quantity]:
        """Every quantity, for the count of conversions."""
        return [one.quantity for group in (self.values, self.doses, self.statics) for one in group]


def build_channels(mapping: SourceMapping, table: Table) -> Channels:
    """Channels of one table of a mapping."""
    book = UnitBook(table.units)
    variables = {one.name: (number, one) for number, one in enumerate(mapping.variables)}
    treatments = {one.name: (number, one) for number, one in enumerate(mapping.treatments)}
    statics = {one.name: (number, one) for number, one in enumerate(mapping.statics)}

    def reader(column: TimeColumn) -> TimeReader:
        return TimeReader(column, mapping.time_unit, table.decimal)

    def dose(item: TreatmentColumn) -> DoseChannel:
        number, treatment = treatments[item.treatment]
        start = reader(item.start) if isinstance(item.start, TimeColumn) else item.start
        stop = reader(item.stop) if isinstance(item.stop, StopColumn) else item.stop
        may_go_on = isinstance(item.stop, StopColumn) and item.stop.empty == "ongoing"
        return DoseChannel(number, _quantity(treatment, item, table.decimal, book), start, stop, may_go_on)

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
        tuple(dose(item) for item in table.treatments),
        tuple(static(item) for item in table.statics),
        reader(table.time) if table.time else None,
        reader(table.index) if table.index else None,
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
