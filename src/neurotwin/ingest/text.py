"""Text of a source to numbers and times, strictly: what is not plainly one thing is rejected with a reason."""

import math
import re
from datetime import date, datetime, timedelta
from functools import lru_cache

from neurotwin.ingest.accounting import Reason
from neurotwin.ingest.mapping import TimeColumn
from neurotwin.units import conversion

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = frozenset(sign + word for sign in ("", "+", "-") for word in ("inf", "infinity", "nan"))
_CENSOR = {"<": -1, "<=": -1, "\u2264": -1, ">": 1, ">=": 1, "\u2265": 1}
_ORIGIN = datetime(2000, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST_COURSE = 150.0  # years; a relative time beyond it is not a time since an event in a life


def read_number(text: str, decimal: str = ".") -> float | Reason:
    """A finite number in plain decimal notation; no thousands separators, no units, no words."""
    if decimal == ",":
        if "." in text:
            return Reason.VALUE_NOT_A_NUMBER
        text = text.replace(",", ".", 1)
    if not _NUMBER.fullmatch(text):
        return Reason.VALUE_NOT_FINITE if text.lower() in _NOT_FINITE else Reason.VALUE_NOT_A_NUMBER
    value = float(text)
    vanished = value == 0.0 and re.search(r"[1-9]", re.split(r"[eE]", text)[0]) is not None
    if vanished or not math.isfinite(value):
        return Reason.VALUE_NOT_FINITE
    return value + 0.0  # -0 becomes 0


def read_measurement(text: str, decimal: str = ".") -> tuple[float, int] | Reason:
    """A number with its censor flag: ``<0.5`` is (0.5, -1), ``>500`` is (500, 1), ``7`` is (7, 0)."""
    censor = 0
    for length in (2, 1):
        if text[:length] in _CENSOR:
            censor, text = _CENSOR[text[:length]], text[length:].strip()
            break
    value = read_number(text, decimal)
    return value if isinstance(value, Reason) else (value, censor)


class TimeReader:
    """Reads one time column.

    A numeric column gives times in the cohort's unit. A column of dates gives microseconds since 2000, exact in a
    double over 1715..2285; wall times without a zone are kept as they are, so that a clock change shifts nothing.
    """

    def __init__(self, column: TimeColumn, time_unit: str, decimal: str = ".") -> None:
        self.dated = column.format is not None
        self._decimal = decimal
        if column.format is None:
            self._factor = conversion(str(column.unit), time_unit).factor
            limit = _LONGEST_COURSE * conversion("a", str(column.unit)).factor
            low, high = column.between or (-limit, limit)
            self._low, self._high = float(low) * self._factor, float(high) * self._factor
        else:
            self._formats = column.formats
            self._first, self._last = (
                date.fromisoformat(str(end)) for end in column.between or ("1900-01-01", "2280-01-01")
            )
            self._placeholders = frozenset(date.fromisoformat(one) for one in column.placeholders)
        self.read = lru_cache(maxsize=4096)(self._read_date if self.dated else self._read_number)

    def _read_number(self, text: str) -> float | Reason:
        value = read_number(text, self._decimal)
        if isinstance(value, Reason):
            return Reason.TIME_UNREADABLE
        value = value * self._factor
        return value if self._low <= value <= self._high else Reason.TIME_IMPLAUSIBLE

    def _read_date(self, text: str) -> float | Reason:
        if not text.isascii():
            return Reason.TIME_UNREADABLE
        moments = {_moment(text, one) for one in self._formats} - {None}
        moment = moments.pop() if len(moments) == 1 else None
        if moment is None:
            return Reason.TIME_UNREADABLE
        placeholder = moment.date() in self._placeholders and moment.time() == datetime.min.time()
        if placeholder or not self._first <= moment.date() <= self._last:
            return Reason.TIME_IMPLAUSIBLE
        return float((moment - _ORIGIN) // _MICROSECOND)


def _moment(text: str, one_format: str) -> datetime | None:
    """A date in one format, in universal time where it tells its zone; None where it does not fit."""
    try:
        moment = datetime.strptime(text, one_format)
        offset = moment.utcoffset()
        return moment if offset is None else moment.replace(tzinfo=None) - offset
    except (ValueError, OverflowError):
        return None
