"""From raw records to events: each item becomes an event in the store or a rejection with its reason."""

import math
from typing import NamedTuple

from neurotwin.ingest.accounting import KINDS, ItemAccounts, Reason, RowLedger
from neurotwin.ingest.channels import Channels, DoseChannel
from neurotwin.ingest.records import RawDose, RawRecord, RawValue
from neurotwin.ingest.store import Store
from neurotwin.ingest.text import TimeReader

MAX_ID = 200


class _Row(NamedTuple):
    """A record under conversion: its number, its subject's, its time, and which kind of item it stands for."""

    number: int
    subject: int
    time: float | Reason
    primary: str


class Converter:
    """Turns the records of one table into events."""

    def __init__(self, channels: Channels, store: Store, ledger: RowLedger, accounts: ItemAccounts) -> None:
        self._channels, self._store, self._ledger, self._accounts = channels, store, ledger, accounts

    def add(self, record: RawRecord) -> None:
        """Convert one record."""
        number = self._ledger.open_row(record.line)
        self._accounts.empty += record.empty
        if record.values_out_of_scope or record.doses_out_of_scope:
            self._accounts.leave_out("measurements", record.values_out_of_scope)
            self._accounts.leave_out("treatments", record.doses_out_of_scope)
        measured, given, covariates = KINDS
        primary = measured if record.values else given if record.doses else covariates if record.statics else ""
        if fault := _subject_fault(record.subject):
            self._reject_all(record, number, fault)
            return
        row = _Row(number, self._store.subject(record.subject), _time(self._channels.time, record.time), primary)
        self._add_index(record, row)
        for value in record.values:
            self._add_value(value, row)
        for dose in record.doses:
            self._add_dose(dose, row)
        for static in record.statics:
            self._add_static(static, row)

    def _reject_all(self, record: RawRecord, number: int, reason: Reason) -> None:
        self._ledger.reject(number, reason)
        names = {
            "measurements": [self._channels.values[item.channel].quantity.name for item in record.values],
            "treatments": [self._channels.doses[item.channel].quantity.name for item in record.doses],
            "statics": [self._channels.statics[item.channel].quantity.name for item in record.statics],
        }
        for kind, kept in names.items():
            for name in kept:
                self._accounts.reject(kind, name, reason)

    def _add_index(self, record: RawRecord, row: _Row) -> None:
        if self._channels.index is None:
            return
        time = _time(self._channels.index, record.index_time)
        if isinstance(time, Reason):
            missing = time is Reason.TIME_MISSING
            self._ledger.reject(row.number, Reason.INDEX_MISSING if missing else time, primary=not row.primary)
        else:
            self._store.index.append(row.number, not row.primary, row.subject, time)

    def _add_value(self, item: RawValue, row: _Row) -> None:
        channel = self._channels.values[item.channel]
        reading = channel.quantity.read(item.text, item.unit) if item.text else Reason.VALUE_MISSING
        if isinstance(row.time, Reason):
            self._reject("measurements", channel.quantity.name, row, row.time, item.column)
        elif isinstance(reading, Reason):
            self._reject("measurements", channel.quantity.name, row, reading, item.column)
        else:
            primary = row.primary == "measurements"
            self._store.values.append(row.number, primary, row.subject, row.time, channel.variable, *reading)

    def _add_dose(self, item: RawDose, row: _Row) -> None:
        channel, name = self._channels.doses[item.channel], self._channels.doses[item.channel].quantity.name
        reading = channel.quantity.read(item.text, item.unit)
        if not isinstance(reading, Reason) and reading[1] != 0:
            reading = Reason.VALUE_NOT_A_NUMBER  # an amount given is not below or above something
        if isinstance(reading, Reason):
            self._reject("treatments", name, row, reading, item.column)
            return
        start, end = _start(channel, item, row), _end(channel, item)
        if reading[0] == 0.0 and (isinstance(start, Reason) or isinstance(end, Reason)):
            self._accounts.leave_out("treatments", 1, name)  # nothing was given, so it does not matter when
        elif isinstance(start, Reason):
            self._reject("treatments", name, row, start, item.column)
        elif isinstance(end, Reason):
            self._reject("treatments", name, row, end, item.column)
        elif end <= start:  # False for a bolus, whose end is NaN, and at the index event, where start is
            self._reject("treatments", name, row, Reason.STOP_NOT_AFTER_START, item.column)
        else:
            primary = row.primary == "treatments"
            self._store.doses.append(row.number, primary, row.subject, start, end, channel.treatment, reading[0])

    def _add_static(self, item: RawValue, row: _Row) -> None:
        channel = self._channels.statics[item.channel]
        value = channel.read(item.text, item.unit)
        if isinstance(value, Reason):
            self._reject("statics", channel.quantity.name, row, value, item.column)
        else:
            self._store.statics.append(row.number, row.primary == "statics", row.subject, channel.static, value)

    def _reject(self, kind: str, name: str, row: _Row, reason: Reason, column: int) -> None:
        self._accounts.reject(kind, name, reason)
        self._ledger.reject(row.number, reason, column, primary=row.primary == kind)


def _subject_fault(text: str) -> Reason | None:
    if not text:
        return Reason.SUBJECT_MISSING
    return None if len(text) <= MAX_ID and text.isprintable() else Reason.SUBJECT_UNREADABLE


def _time(reader: TimeReader | None, text: str) -> float | Reason:
    if reader is None or not text:
        return Reason.TIME_MISSING
    return reader.read(text)


def _start(channel: DoseChannel, item: RawDose, row: _Row) -> float | Reason:
    if channel.start == "index":
        return math.nan
    return row.time if channel.start == "row" else _time(channel.start, item.start)


def _end(channel: DoseChannel, item: RawDose) -> float | Reason:
    if channel.stop is None:
        return math.nan
    if channel.stop == "never":
        return math.inf
    if not item.stop:
        return math.inf if channel.may_go_on else Reason.STOP_MISSING
    return channel.stop.read(item.stop)
