"""From the fields of a row to a raw record, for the two layouts of a table."""

from typing import Protocol

from neurotwin.ingest.accounting import Reason
from neurotwin.ingest.delimited import Header
from neurotwin.ingest.mapping import LongTable, StopColumn, TimeColumn, TreatmentColumn, VisitsTable
from neurotwin.ingest.records import RawDose, RawRecord, RawValue

Fields = list[str]


class Layout(Protocol):
    """Turns rows of one file into records."""

    def record(self, line: int, fields: Fields) -> RawRecord | Reason | None:
        """The record of a row, why there is none, or None when the mapping drops the row."""


class _Columns:
    """What both layouts share: subject, times, doses, statics, and which rows are dropped."""

    def __init__(self, table: VisitsTable | LongTable, header: Header) -> None:
        self.width, self._missing = header.width, frozenset(("", *table.missing))
        self._subject = header.position(table.subject)
        self._time = _position(header, table.time)
        self._index = _position(header, table.index)
        self._drop = [(header.position(column), frozenset(texts)) for column, texts in table.drop.items()]
        self._doses = [_DoseColumns(item, header, table.decimal) for item in table.treatments]
        self._statics = [(header.position(item.column), _optional(header, item.unit_column)) for item in table.statics]

    def dropped(self, fields: Fields) -> bool:
        return any(fields[position] in texts for position, texts in self._drop)

    def cell(self, fields: Fields, position: int) -> str:
        """Text of a cell, "" where missing or where there is no such column."""
        return "" if position < 0 or fields[position] in self._missing else fields[position]

    def common(self, line: int, fields: Fields) -> RawRecord:
        doses, skipped = [], 0
        for channel, columns in enumerate(self._doses):
            chosen = all(fields[position] in texts for position, texts in columns.when)
            text = columns.amount or self.cell(fields, columns.column)
            if chosen and text:
                doses.append(
                    RawDose(
                        channel,
                        text,
                        self.cell(fields, columns.unit),
                        self.cell(fields, columns.start),
                        self.cell(fields, columns.stop),
                        columns.column + 1,
                    )
                )
            elif text:
                skipped += 1
        statics = [
            RawValue(channel, text, self.cell(fields, unit), position + 1)
            for channel, (position, unit) in enumerate(self._statics)
            if (text := self.cell(fields, position))
        ]
        return RawRecord(
            line,
            fields[self._subject],
            self.cell(fields, self._time),
            self.cell(fields, self._index),
            [],
            doses,
            statics,
            doses_out_of_scope=skipped,
        )


class _DoseColumns:
    def __init__(self, item: TreatmentColumn, header: Header, decimal: str) -> None:
        self.amount = "" if item.amount is None else repr(item.amount).replace(".", decimal)
        self.column = _optional(header, item.column)
        self.unit = _optional(header, item.unit_column)
        self.start = _position(header, item.start if isinstance(item.start, TimeColumn) else None)
        self.stop = _position(header, item.stop if isinstance(item.stop, StopColumn) else None)
        self.when = [(header.position(column), frozenset(texts)) for column, texts in item.when.items()]


class VisitsLayout:
    """One row is one visit: each mapped column is one measurement where it is filled."""

    def __init__(self, table: VisitsTable, header: Header) -> None:
        self._columns = _Columns(table, header)
        self._cells = [(header.position(item.column), _optional(header, item.unit_column)) for item in table.variables]

    def record(self, line: int, fields: Fields) -> RawRecord | Reason | None:
        """See `Layout.record`."""
        if len(fields) != self._columns.width:
            return Reason.FIELD_COUNT
        fields = [field.strip() for field in fields]
        if self._columns.dropped(fields):
            return None
        record, cell = self._columns.common(line, fields), self._columns.cell
        for channel, (position, unit) in enumerate(self._cells):
            if text := cell(fields, position):
                record.values.append(RawValue(channel, text, cell(fields, unit), position + 1))
        return record._replace(empty=len(self._cells) - len(record.values))


class LongLayout:
    """One row is one measurement, named by its code."""

    def __init__(self, table: LongTable, header: Header) -> None:
        self._columns = _Columns(table, header)
        self._code, self._value = header.position(table.code), header.position(table.value)
        unit = _optional(header, table.unit)
        self._channels = {
            code: (channel, _optional(header, item.unit_column) if item.unit_column else unit)
            for channel, item in enumerate(table.variables)
            for code in item.codes
        }

    def record(self, line: int, fields: Fields) -> RawRecord | Reason | None:
        """See `Layout.record`."""
        if len(fields) != self._columns.width:
            return Reason.FIELD_COUNT
        fields = [field.strip() for field in fields]
        if self._columns.dropped(fields):
            return None
        record, cell = self._columns.common(line, fields), self._columns.cell
        code = fields[self._code]
        if not code:
            return Reason.CODE_MISSING
        if code not in self._channels:
            return record._replace(values_out_of_scope=1)
        channel, unit = self._channels[code]
        record.values.append(RawValue(channel, cell(fields, self._value), cell(fields, unit), self._value + 1))
        return record


def build_layout(table: VisitsTable | LongTable, header: Header) -> VisitsLayout | LongLayout:
    """The layout of a table, its columns found in the header. Raises IngestError when one is not there."""
    return LongLayout(table, header) if isinstance(table, LongTable) else VisitsLayout(table, header)


def _position(header: Header, column: TimeColumn | None) -> int:
    return _optional(header, column.column if column else None)


def _optional(header: Header, column: str | None) -> int:
    return -1 if column is None else header.position(column)
