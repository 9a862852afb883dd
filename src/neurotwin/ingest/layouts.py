"""From the columns of a batch to the cells of each kind of item, for the two layouts of a table."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from neurotwin.ingest.batches import Texts
from neurotwin.ingest.mapping import LongTable, Table, VisitsTable
from neurotwin.ingest.numbers import Mask, arrow, clean, filled, is_any

Rows = NDArray[np.int64]


class Cells(NamedTuple):
    """Cells of one kind of item.

    Attributes:
        row: ``[cell]`` position in the batch.
        channel: ``[cell]`` which of the table's channels it belongs to.
        text, unit: ``[cell]`` what is written, and the text of its unit where there is such a column.
        column: name of the column for the places; "" where it is a constant.
    """

    row: Rows
    channel: NDArray[np.int16]
    text: Texts
    unit: Texts | None
    column: str

    def keep(self, chosen: Mask) -> "Cells":
        """Only some cells."""
        mask = arrow()[0].array(chosen)
        unit = None if self.unit is None else self.unit.filter(mask)
        return Cells(self.row[chosen], self.channel[chosen], self.text.filter(mask), unit, self.column)


@dataclass
class Found:
    """The cells of a batch; what was out of scope, by kind, and how many cells of measurements were empty."""

    values: list[Cells]
    doses: list[Cells]
    statics: list[Cells]
    values_out: int = 0
    doses_out: int = 0
    statics_out: int = 0
    empty: int = 0


class BatchColumns:
    """The columns of a batch by name, cleaned when asked for; ``cell`` also knows which texts mean missing."""

    def __init__(self, columns: dict[str, Texts], missing: tuple[str, ...]) -> None:
        self._columns, self._missing = columns, missing
        self._cleaned: dict[str, Texts] = {}
        self._cells: dict[str, Texts] = {}

    def raw(self, name: str) -> Texts:
        """A column without blanks around its cells."""
        if name not in self._cleaned:
            self._cleaned[name] = clean(self._columns[name])
        return self._cleaned[name]

    def cell(self, name: str) -> Texts:
        """The same with "" where missing."""
        if name not in self._cells:
            column = self.raw(name)
            if self._missing:
                column = arrow()[1].if_else(arrow()[0].array(~is_any(column, self._missing)), column, "")
            self._cells[name] = column
        return self._cells[name]

    def chosen(self, when: dict[str, tuple[str, ...]]) -> Mask | None:
        """Which rows have one of the texts in each of the columns; None for all."""
        chosen: Mask | None = None
        for column, texts in when.items():
            found = is_any(self.raw(column), texts)
            chosen = found if chosen is None else chosen & found
        return chosen

    def keep(self, rows: Mask) -> "BatchColumns":
        """Only some rows."""
        mask = arrow()[0].array(rows)
        kept = BatchColumns({name: column.filter(mask) for name, column in self._columns.items()}, self._missing)
        kept._cleaned = {name: column.filter(mask) for name, column in self._cleaned.items()}
        return kept


class Layout(Protocol):
    """Finds the cells of a batch."""

    def nameless(self, columns: BatchColumns) -> Mask | None:
        """Which rows do not say what was measured; None where they need not."""

    def find(self, columns: BatchColumns, count: int) -> Found:
        """The cells of ``count`` rows."""


class VisitsLayout:
    """One row is one visit: each mapped column is one measurement where it is filled."""

    def __init__(self, table: VisitsTable) -> None:
        self._table = table

    def nameless(self, columns: BatchColumns) -> Mask | None:
        """See `Layout.nameless`."""
        return None

    def find(self, columns: BatchColumns, count: int) -> Found:
        """See `Layout.find`."""
        found = _common(self._table, columns, count)
        for channel, item in enumerate(self._table.variables):
            rows = np.flatnonzero(filled(columns.cell(item.column)))
            found.empty += count - len(rows)
            found.values += _cells(columns, rows, channel, item.column, item.unit_column)
        return found


class LongLayout:
    """One row is one measurement, named by its code."""

    def __init__(self, table: LongTable) -> None:
        pa, _ = arrow()
        self._table = table
        self._codes = pa.array([code for item in table.variables for code in item.codes], pa.string())
        channels = [channel for channel, item in enumerate(table.variables) for _ in item.codes]
        self._channel = np.array([*channels, -1], dtype=np.int16)
        units = [item.unit_column or table.unit for item in table.variables]
        self._groups = {unit: [n for n, one in enumerate(units) if one == unit] for unit in dict.fromkeys(units)}

    def nameless(self, columns: BatchColumns) -> Mask | None:
        """See `Layout.nameless`."""
        return ~filled(columns.raw(self._table.code))

    def find(self, columns: BatchColumns, count: int) -> Found:
        """See `Layout.find`."""
        _, pc = arrow()
        found = _common(self._table, columns, count)
        which = pc.fill_null(pc.index_in(columns.raw(self._table.code), value_set=self._codes), -1)
        channel = self._channel[which.to_numpy()]
        found.values_out = int((channel < 0).sum())
        for unit, members in self._groups.items():
            here = channel >= 0 if len(self._groups) == 1 else np.isin(channel, members)
            rows = np.flatnonzero(here)
            found.values += _cells(columns, rows, channel[rows], self._table.value, unit)
        return found


def build_layout(table: Table) -> VisitsLayout | LongLayout:
    """The layout of a table."""
    return LongLayout(table) if isinstance(table, LongTable) else VisitsLayout(table)


def _common(table: Table, columns: BatchColumns, count: int) -> Found:
    """Doses and statics, which both layouts have."""
    found = Found([], [], [])
    for channel, item in enumerate(table.treatments):
        there = np.ones(count, dtype=np.bool_) if item.column is None else filled(columns.cell(item.column))
        chosen = columns.chosen(item.when)
        given = there if chosen is None else there & chosen
        found.doses_out += int(there.sum() - given.sum())
        constant = "" if item.amount is None else repr(item.amount).replace(".", table.decimal)
        found.doses += _cells(columns, np.flatnonzero(given), channel, item.column, item.unit_column, constant)
    for channel, static in enumerate(table.statics):
        there, chosen = filled(columns.cell(static.column)), columns.chosen(static.when)
        given = there if chosen is None else there & chosen
        found.statics_out += int(there.sum() - given.sum())
        found.statics += _cells(columns, np.flatnonzero(given), channel, static.column, static.unit_column)
    return found


def _cells(
    columns: BatchColumns,
    rows: Rows,
    channel: int | NDArray[np.int16],
    column: str | None,
    unit: str | None,
    constant: str = "",
) -> Iterator[Cells]:
    """The cells of some rows of a column, or a constant for each; nothing where there are none."""
    if len(rows):
        pa, _ = arrow()
        number = np.full(len(rows), channel, dtype=np.int16) if isinstance(channel, int) else channel
        text = pa.repeat(constant, len(rows)) if column is None else take(columns.cell(column), rows)
        yield Cells(rows, number, text, None if unit is None else take(columns.cell(unit), rows), column or "")


def take(column: Texts, rows: Rows) -> Texts:
    """Cells of some rows, in the order of the rows; all of them cost nothing."""
    return column if len(rows) == len(column) else column.take(arrow()[0].array(rows))
