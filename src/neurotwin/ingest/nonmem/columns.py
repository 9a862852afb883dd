"""The columns that a mapping may name of a NONMEM-style table: the file's own, and those derived from them.

Own columns are found by their name, also in other capitals. "." and "" are missing, ``1.0D+02`` is ``1.0E+02``, and the
whole numbers in EVID, MDV, CMT, DVID, SS and ADDL are written as such (``2.0000E+00`` is ``2``). Derived columns:

``time`` (also ``TIME``, ``dose_start``)
    when: TIME; with a date format DATE (or DAT1, DAT2, DAT3), a blank and TIME; of an additional dose its own time.
``code``
    what a row observed: DVID, or CMT where there is no DVID, or ``1`` where there is neither; ``dose`` for a dose.
``value``
    DV of an observation, with ``<`` or ``>`` where the mapping names a column of limits.
``dose_amount``, ``bolus_amount``, ``infusion_amount``, ``dose_rate``, ``dose_duration``
    AMT of any dose, of a bolus, of an infusion; RATE of an infusion; AMT / RATE of an infusion.
``after_dose``
    ``1`` where a dose of the subject stands above the row at the same time: NONMEM goes by the order of rows.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from neurotwin.errors import IngestError
from neurotwin.ingest.mapping import Table
from neurotwin.ingest.mapping_columns import nearest
from neurotwin.ingest.nonmem.events import DATES, DOSE, Event, NotANumber, number, whole, whole_id, with_e
from neurotwin.ingest.nonmem.lines import NonmemHeader

WHOLE = ("EVID", "MDV", "CMT", "DVID", "SS", "ADDL")
TIMES = ("time", "TIME", "dose_start")
SOURCES = {
    "code": "DVID",
    "value": "DV",
    "dose_amount": "AMT",
    "bolus_amount": "AMT",
    "infusion_amount": "AMT",
    "dose_rate": "RATE",
    "dose_duration": "RATE",
    "after_dose": "TIME",
}


class CellsByName(dict[str, str]):
    """Cells by their column's name in capitals, "" where missing or where there is no such column."""

    def __missing__(self, name: str) -> str:
        return ""


class NonmemColumns:
    """Gives the cells of a row by the names of a mapping's columns.

    Attributes:
        names: the mapping's columns.
        place: positions from 0 of the file's columns, by their names in capitals.
        subject_name, subject_name_given: the column of subjects, in capitals and as the mapping writes it.
        date: the column of dates, None where there is none.
        missing: texts that stand for nothing.
    """

    def __init__(self, table: Table, header: NonmemHeader, names: Sequence[str], shown: str) -> None:
        """Raises IngestError where a column is missing, or times and dates do not fit the mapping."""
        self.names = tuple(names)
        self._table, self._shown = table, shown
        self.subject_name, self.subject_name_given = table.subject.upper(), table.subject
        self.missing = frozenset((".", *table.missing))
        self.place = {name.upper() or f" {at}": at for at, name in enumerate(header.names)}
        self._formats = () if table.time is None else table.time.formats
        self.date = next((name for name in DATES if name in self.place), None)
        for name in self.names:
            derived = name in SOURCES or name in TIMES
            if name in SOURCES and name in header.names:
                raise IngestError(
                    f"a column {name!r}, which also is a derived one",
                    where=shown,
                    remedy="rename the file's column",
                )
            if not derived and name.upper() not in self.place:
                raise IngestError(
                    f"no column {name!r}{nearest(name, [*header.names, *SOURCES, 'time'])}",
                    where=shown,
                    expected="the columns of the mapping",
                    remedy="check names, header and delimiter",
                )
        self._check_times()
        self._kept = self._of_doses()

    def _check_times(self) -> None:
        where, timed = self._shown, any(name in TIMES for name in self.names)
        if timed and "TIME" not in self.place:
            raise IngestError("no column 'TIME'", where=where, expected="the time of each row")
        if timed and self.date and not self._formats:
            raise IngestError(
                f"times with a date in {self.date}, read as numbers",
                where=where,
                expected='a format in the mapping, as in time: {column: time, format: "%Y-%m-%d %H:%M"}',
            )
        if timed and self._formats and not self.date:
            raise IngestError("a date format, and no column of dates", where=where, expected=f"{' or '.join(DATES)}")

    def _of_doses(self) -> frozenset[str]:
        """The columns that an additional dose has; the others are the row's own alone."""
        table = self._table
        measured = {one for item in table.variables for one in item.columns} | {getattr(table, "value", "")}
        statics = {one for item in table.statics for one in item.columns}
        given = {one for item in table.treatments for one in item.columns} | {*table.drop, table.subject}
        given |= {one.column for one in table.time_columns}
        return frozenset(name for name in self.names if name in given or name not in measured | statics)

    def position(self, name: str) -> int:
        """Position from 1 of the column from which a column comes; 0 where there is none."""
        source = "TIME" if name in TIMES else SOURCES.get(name, name.upper())
        return self.place.get(source, -1) + 1

    @property
    def dated(self) -> bool:
        """Whether times have a date."""
        return self.date is not None

    @property
    def used(self) -> set[int]:
        """Positions of the file's columns that a mapping's come from."""
        return {self.position(name) for name in self.names} - {0}

    def row(self, fields: Sequence[str]) -> CellsByName:
        """The fields of a line by the names of their columns."""
        missing = self.missing
        return CellsByName(zip(self.place, ["" if field in missing else field for field in fields], strict=True))

    def subject(self, row: CellsByName) -> str:
        """The subject's id."""
        return whole_id(row[self.subject_name])

    def cells(self, row: CellsByName, event: Event) -> list[str]:
        """The cells of a row.

        Raises:
            IngestError: TIME is a clock time where the mapping reads numbers.
        """
        return [self._cell(row, event, name, None) for name in self.names]

    def additional(self, row: CellsByName, event: Event, offset: Decimal) -> list[str]:
        """The cells of a dose that a row stands for besides its own."""
        return [self._cell(row, event, name, offset) if name in self._kept else "" for name in self.names]

    def _cell(self, row: CellsByName, event: Event, name: str, offset: Decimal | None) -> str:
        if name == self._table.subject:
            return self.subject(row)
        if name in TIMES:
            return self._time(row, offset)
        if name not in SOURCES:
            upper = name.upper()
            return (whole if upper in WHOLE else with_e)(row[upper])
        if name in ("code", "value"):
            return event.code if name == "code" else event.value
        if name == "after_dose":
            return "1" if event.after_dose else ""
        return self._dosed(event, name) if event.code == DOSE else ""

    def _dosed(self, event: Event, name: str) -> str:
        amount, rate = event.amount, event.rate
        if amount is None or (rate is None) != (name == "bolus_amount") and name != "dose_amount":
            return ""
        if name == "dose_rate":
            return self._text(rate)
        if name == "dose_duration":
            return self._text(amount / rate) if rate else ""
        return self._text(amount)

    def _time(self, row: CellsByName, offset: Decimal | None) -> str:
        time = with_e(row["TIME"])
        if self.date is None:
            if ":" in time:
                raise IngestError(
                    "clock times in TIME",
                    where=self._shown,
                    expected="numbers, or a column of dates and a format in the mapping",
                )
            return time if offset is None else self._shifted(time, offset)
        moment = f"{row[self.date]} {time}".strip() if time else ""
        return moment if offset is None else self._moved(moment, offset)

    def _shifted(self, time: str, offset: Decimal) -> str:
        """A time as a number, some time later; the row's own text where it is none, which is then rejected as such."""
        try:
            begin = number(time, self._table.decimal)
        except NotANumber:
            return time
        return "" if begin is None else self._text(begin + offset)

    def _moved(self, moment: str, offset: Decimal) -> str:
        """A date some hours later, in the format that it has; as it was where it has none."""
        for one in self._formats:
            try:
                moved = datetime.strptime(moment, one) + timedelta(hours=float(offset))
            except (ValueError, OverflowError):
                continue
            text = moved.strftime(one)
            return text if datetime.strptime(text, one) == moved else "?"  # finer than the format: no time at all
        return moment

    def _text(self, value: Decimal | None) -> str:
        return "" if value is None else str(value).replace(".", self._table.decimal)
