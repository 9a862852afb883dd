"""From batches of text to events: each item goes to its subject's bucket, or is rejected with its reason."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.ingest.accounting import CODES, KINDS, OUT_OF_SCOPE, ItemAccounts, Outcomes, Reason
from neurotwin.ingest.batches import TextBatch, Texts, TextTable
from neurotwin.ingest.buckets import Buckets
from neurotwin.ingest.channels import Channels
from neurotwin.ingest.doses import read_doses
from neurotwin.ingest.layouts import BatchColumns, Cells, Found, Layout, take
from neurotwin.ingest.mapping import Table
from neurotwin.ingest.marks import MarkReader, without_prefix
from neurotwin.ingest.numbers import Mask, arrow, distinct, filled
from neurotwin.ingest.quantities import Quantity, read_quantities
from neurotwin.ingest.rows import RowAccounts
from neurotwin.ingest.times import Times

MAX_ID = 200
Columns = dict[str, NDArray[Any]]
MEASURED, GIVEN, COVARIATES = range(1, 4)


@dataclass
class Batch:
    """Rows of a batch that are looked at, and what has become of them.

    Attributes:
        columns: their cells.
        number, line: ``[row]`` number among all rows, and line for people.
        subject, bucket: ``[row]`` id and bucket.
        time: ``[row]`` the row's time or why there is none.
        primary: ``[row]`` kind of item that the row's account follows, 0 none of them.
        foul: ``[row]`` what is wrong with the subject's id, or 0.
        reason: ``[row]`` why the first of its rejected primary items was rejected, 0 none.
        pending: ``[row]`` whether a primary item goes to the assembly.
        events: what goes there: kind of event, rows, whether primary, columns.
    """

    columns: BatchColumns
    number: NDArray[np.int64]
    line: NDArray[np.int64]
    subject: Texts
    bucket: NDArray[np.int16]
    time: Times
    primary: NDArray[np.int8]
    foul: Outcomes
    reason: Outcomes
    pending: Mask
    events: list[tuple[str, NDArray[np.int64], Mask, Columns]] = field(default_factory=list)


class Converter:
    """Turns the batches of one text table into events."""

    def __init__(
        self,
        source: TextTable,
        table: Table,
        channels: Channels,
        layout: Layout,
        buckets: Buckets,
        rows: RowAccounts,
        items: ItemAccounts,
        prefix: str = "",
    ) -> None:
        """``prefix`` stands before each id of a subject."""
        self._marks, self._prefix = MarkReader(table, channels), prefix
        self._source, self._table, self._channels, self._layout = source, table, channels, layout
        self._buckets, self._rows, self._items = buckets, rows, items
        self._file = rows.files[-1]

    def add(self, text: TextBatch) -> None:
        """Convert one batch."""
        number = self._rows.open_rows(len(text)) + np.arange(len(text))
        columns = BatchColumns(text.columns, self._table.missing)
        outcome = self._exclude(columns, text.faults)
        alive = outcome == 0
        self._file.settle(outcome[~alive])
        self._file.remember(outcome, text.lines, 0)
        if not alive.all():
            columns = columns.keep(alive)
        self._convert(columns, number[alive], text.lines[alive])

    def _exclude(self, columns: BatchColumns, faults: Outcomes) -> Outcomes:
        """``[row]`` why a row is not looked at, or 0."""
        outcome = faults.copy()
        for column, texts in self._table.drop.items():
            outcome[(outcome == 0) & columns.chosen({column: texts})] = OUT_OF_SCOPE
        nameless = self._layout.nameless(columns)
        if nameless is not None:
            outcome[(outcome == 0) & nameless] = CODES[Reason.CODE_MISSING]
        return outcome

    def _convert(self, columns: BatchColumns, number: NDArray[np.int64], line: NDArray[np.int64]) -> None:
        found = self._layout.find(columns, len(line))
        for name, count in zip(KINDS, (found.values_out, found.doses_out, found.statics_out), strict=True):
            self._items.leave_out(name, count)
        self._items.empty += found.empty
        primary = np.zeros(len(line), np.int8)
        for kind, cells in ((COVARIATES, found.statics), (GIVEN, found.doses), (MEASURED, found.values)):
            for one in cells:
                primary[one.row] = kind
        subject = columns.raw(self._table.subject)
        bare = without_prefix(subject, self._prefix) if self._prefix else subject
        ids, which = distinct(bare)
        faults = np.array([_subject_fault(one) for one in ids], dtype=np.int8)
        foul, home = faults[which], self._buckets.of_subjects(ids)
        if self._prefix:
            foul[(foul > 0) & filled(subject) & ~filled(bare)] = CODES[Reason.SUBJECT_WITHOUT_PREFIX]
        known = np.flatnonzero(faults == 0)
        self._buckets.write("subjects", home[known], arrow()[0].array([ids[one] for one in known], arrow()[0].string()))
        self._file.remember(foul, line, 0)
        time = _times(self._channels.time, columns, self._table.time.column if self._table.time else "", len(line))
        pending = np.zeros(len(line), np.bool_)
        batch = Batch(columns, number, line, bare, home[which], time, primary, foul, foul.copy(), pending)
        self._add_marks(batch)
        self._items_of(batch, found)
        self._spill(batch)
        self._file.settle(np.where(batch.reason > 0, batch.reason, OUT_OF_SCOPE).astype(np.int8)[~batch.pending])

    def _add_marks(self, batch: Batch) -> None:
        """Index events, births, deaths and folds. A row without any item follows them."""
        usable = batch.foul == 0
        for mark, content, reason, told, lone in self._marks.read(batch.columns, batch.subject, batch.primary == 0):
            wrong = usable & (reason > 0)
            self._file.remember(np.where(wrong, reason, 0).astype(np.int8), batch.line, 0)
            first = wrong & lone & (batch.reason == 0)
            batch.reason[first] = reason[first]
            rows = np.flatnonzero(usable & told)
            self._pass_on(batch, "marks", rows, lone[rows], {"mark": np.full(len(rows), mark), "time": content[rows]})

    def _items_of(self, batch: Batch, found: Found) -> None:
        quantities = [one.quantity for one in self._channels.values]
        variable = np.array([one.variable for one in self._channels.values], dtype=np.int16)
        chosen = batch.columns.chosen(self._table.post_dose)
        post = np.zeros(len(batch.line), np.int8) if chosen is None else chosen.astype(np.int8)
        for cells in self._usable(batch, found.values, MEASURED, quantities):
            value, censor, reason = read_quantities(quantities, cells.channel, cells.text, cells.unit)
            late = batch.time.reason[cells.row]
            reason = np.where(late > 0, late, reason)
            good, rows = self._sort_out(batch, cells, MEASURED, quantities, reason)
            columns: Columns = {"time": batch.time.time[rows], "value": value[good], "censor": censor[good]}
            columns |= {"variable": variable[cells.channel[good]], "post_dose": post[rows]}
            self._pass_on(batch, "values", rows, batch.primary[rows] == MEASURED, columns)
        names = [one.quantity for one in self._channels.doses]
        for cells in self._usable(batch, found.doses, GIVEN, names):
            number = int(cells.channel[0])
            channel, item = self._channels.doses[number], self._table.treatments[number]
            dose = read_doses(channel, item, cells, batch.columns, batch.time)
            good, rows = self._sort_out(batch, cells, GIVEN, names, dose.reason)
            columns = {"time": dose.start[good], "end": dose.end[good], "amount": dose.amount[good]}
            columns["treatment"] = np.full(len(rows), channel.treatment)
            self._pass_on(batch, "doses", rows, batch.primary[rows] == GIVEN, columns)
        names = [one.quantity for one in self._channels.statics]
        for cells in self._usable(batch, found.statics, COVARIATES, names):
            static = self._channels.statics[int(cells.channel[0])]
            value, _, reason = static.read(cells.text, cells.unit)
            good, rows = self._sort_out(batch, cells, COVARIATES, names, reason)
            columns = {"static": np.full(len(rows), static.static), "value": value[good]}
            self._pass_on(batch, "statics", rows, batch.primary[rows] == COVARIATES, columns)

    def _usable(self, batch: Batch, found: list[Cells], kind: int, quantities: Sequence[Quantity]) -> Iterator[Cells]:
        """Cells of rows whose subject is known; the others are rejected with their rows."""
        for cells in found:
            foul = batch.foul[cells.row]
            if not foul.any():
                yield cells
                continue
            self._count(cells, kind, quantities, foul)
            if not foul.all():
                yield cells.keep(foul == 0)

    def _sort_out(
        self, batch: Batch, cells: Cells, kind: int, quantities: Sequence[Quantity], outcome: Outcomes
    ) -> tuple[Mask, NDArray[np.int64]]:
        """Count what is rejected or out of scope; returns which cells are events, and their rows."""
        good = outcome == 0
        if not good.all():
            self._count(cells, kind, quantities, outcome)
            column = self._source.position(cells.column) if cells.column else 0
            self._file.remember(outcome, batch.line[cells.row], column)
            wrong = (outcome > 0) & (batch.primary[cells.row] == kind) & (batch.reason[cells.row] == 0)
            batch.reason[cells.row[wrong]] = outcome[wrong]
        return good, cells.row[good]

    def _count(self, cells: Cells, kind: int, quantities: Sequence[Quantity], outcome: Outcomes) -> None:
        """Count the cells that have an outcome already, by name."""
        settled = outcome != 0
        for channel in np.unique(cells.channel[settled]).tolist():
            chosen = settled & (cells.channel == channel)
            self._items.settle(KINDS[kind - 1], quantities[channel].name, outcome[chosen])

    def _pass_on(self, batch: Batch, kind: str, rows: NDArray[np.int64], primary: Mask, columns: Columns) -> None:
        batch.pending[rows[primary]] = True
        batch.events.append((kind, rows, primary, columns))

    def _spill(self, batch: Batch) -> None:
        for kind, rows, primary, columns in batch.events:
            item = {"row": batch.number[rows], "line": batch.line[rows]}
            item["primary"] = np.where(primary, batch.reason[rows], -1)
            self._buckets.write(kind, batch.bucket[rows], take(batch.subject, rows), **item, **columns)


def _subject_fault(text: str) -> int:
    if not text:
        return CODES[Reason.SUBJECT_MISSING]
    return 0 if len(text) <= MAX_ID and text.isprintable() else CODES[Reason.SUBJECT_UNREADABLE]


def _times(reader: Any, columns: BatchColumns, column: str, count: int) -> Times:
    if reader is None:
        return Times(np.full(count, np.nan), np.full(count, CODES[Reason.TIME_MISSING], np.int8))
    times: Times = reader.read_all(columns.cell(column))
    return times
