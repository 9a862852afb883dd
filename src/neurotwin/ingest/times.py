"""Text of a source to times, strictly: numbers with their unit, or dates of declared formats, never guessed."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.ingest.accounting import CODES, Outcomes, Reason
from neurotwin.ingest.batches import Texts
from neurotwin.ingest.dates import DAY, FixedFormats, microseconds
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.mapping_columns import TimeColumn
from neurotwin.ingest.numbers import arrow, distinct, filled, read_measurements
from neurotwin.ingest.text import read_number
from neurotwin.units import conversion

LONGEST_COURSE = 150.0
"""Years; a relative time beyond it is not a time since an event in a life."""
_PART = re.compile(r"%%|%z")


class Times(NamedTuple):
    """``[cell]`` times; where ``reason`` is not 0 there is none, and it tells why."""

    time: NDArray[np.float64]
    reason: Outcomes


def latest(mapping: SourceMapping, today: datetime | None = None) -> float:
    """The last believable instant in microseconds since 2000: the end of ``not_after``, or one day from now."""
    if mapping.shifted or not mapping.dated:
        return np.inf
    if mapping.not_after is not None:
        return float(microseconds(datetime.fromisoformat(mapping.not_after)) + DAY - 1)
    return float(microseconds((today or datetime.now(UTC)).replace(tzinfo=None)) + DAY)


class TimeReader:
    """Reads one time column.

    A numeric column gives times in the cohort's unit. A column of dates gives microseconds since 2000, exact in a
    double over 1715..2285; wall times without a zone are kept as they are, so that a clock change shifts nothing.
    What is later than ``last`` is rejected.
    """

    def __init__(self, column: TimeColumn, time_unit: str, decimal: str = ".", last: float = np.inf) -> None:
        self.dated = column.format is not None
        self._decimal, self._last_moment = decimal, last
        if column.format is None:
            self._factor = conversion(str(column.unit), time_unit).factor
            limit = LONGEST_COURSE * conversion("a", str(column.unit)).factor
            low, high = column.between or (-limit, limit)
            self._low, self._high = float(low) * self._factor, float(high) * self._factor
            self.read = self._read_number
            return
        self._wall = column.zones == "wall"
        self._formats = _with_zones(column) if column.zones else column.formats
        self._others = tuple({two for one in column.formats if (two := _other(one))} - set(self._formats))
        self._fixed = FixedFormats(self._formats, wall=self._wall)
        self._low, self._high = (
            float(microseconds(datetime.fromisoformat(str(end))))
            for end in column.between or ("1900-01-01", "2280-01-01")
        )
        self._high += DAY - 1
        self._placeholders = [
            float(microseconds(datetime.combine(date.fromisoformat(one), datetime.min.time())))
            for one in column.placeholders
        ]
        self.read = lru_cache(maxsize=4096)(self._read_date)

    def read_all(self, text: Texts) -> Times:
        """What `read` makes of each cell; an empty one has no time."""
        times = Times(np.full(len(text), np.nan), np.where(filled(text), 0, CODES[Reason.TIME_MISSING]).astype(np.int8))
        if self.dated:
            moment, fits = self._fixed.read(text)
            times.time[fits] = moment[fits]
        else:
            number, censor, reason = read_measurements(text, self._decimal)
            fits = (reason == 0) & (censor == 0)
            with np.errstate(over="ignore"):  # and then it is not plausible
                times.time[fits] = number[fits] * self._factor
        times.reason[fits] = self._judge(times.time[fits])
        rest = np.flatnonzero(~fits & (times.reason == 0))
        if len(rest):
            texts, which = distinct(text.take(arrow()[0].array(rest)))
            found = [self.read(one) for one in texts]
            pairs = [(np.nan, CODES[one]) if isinstance(one, Reason) else (one, 0) for one in found]
            table = np.array(pairs, dtype=np.float64)[which]
            times.time[rest], times.reason[rest] = table[:, 0], table[:, 1]
        return times

    def _read_number(self, text: str) -> float | Reason:
        value = read_number(text, self._decimal)
        return Reason.TIME_UNREADABLE if isinstance(value, Reason) else self._judged(value * self._factor)

    def _read_date(self, text: str) -> float | Reason:
        if not text.isascii():
            return Reason.TIME_UNREADABLE
        moments = {_moment(text, one, self._wall) for one in self._formats} - {None}
        moment = moments.pop() if len(moments) == 1 else None
        if moment is None:
            mixed = not moments and any(_moment(text, one, self._wall) for one in self._others)
            return Reason.TIME_ZONE_MIXED if mixed else Reason.TIME_UNREADABLE
        return self._judged(float(microseconds(moment)))

    def _judged(self, time: float) -> float | Reason:
        code = int(self._judge(np.array([time]))[0])
        return next((reason for reason, number in CODES.items() if number == code), time)

    def _judge(self, time: NDArray[np.float64]) -> Outcomes:
        wrong = ~((time >= self._low) & (time <= self._high))
        if self.dated:
            wrong |= np.isin(time, self._placeholders)
        reason = np.where(time > self._last_moment, CODES[Reason.TIME_IN_FUTURE], 0)
        return np.where(wrong, CODES[Reason.TIME_IMPLAUSIBLE], reason).astype(np.int8)


def _other(one_format: str) -> str:
    """The format without its zone, or with one where it has a time of day; "" where neither makes sense."""
    bare = _PART.sub(lambda part: "" if part[0] == "%z" else part[0], one_format)
    if bare != one_format:
        return bare.rstrip()
    return f"{one_format}%z" if re.search(r"%[HI]", one_format.replace("%%", "")) else ""


def _with_zones(column: TimeColumn) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for given in column.formats for one in (given, _other(given)) if one))


def _moment(text: str, one_format: str, wall: bool = False) -> datetime | None:
    """A date in one format, in universal time where it tells its zone (unless ``wall``); None where it does not fit."""
    try:
        moment = datetime.strptime(text, one_format)
        offset = timedelta(0) if wall else moment.utcoffset()
        return moment.replace(tzinfo=None) - (offset or timedelta(0))
    except (ValueError, OverflowError):
        return None
