"""Events on their way to a cohort: typed columns that grow, no Python object per event."""

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = {"q": np.int64, "i": np.int32, "h": np.int16, "b": np.int8, "d": np.float64}


class Columns:
    """Columns of equal length, filled row by row; names and array type codes are given once."""

    def __init__(self, **types: str) -> None:
        self._types = types
        self._columns = {name: array(code) for name, code in types.items()}
        self._appends = [column.append for column in self._columns.values()]

    def append(self, *values: Any) -> None:
        """Add one row, in the order of the columns."""
        for append, value in zip(self._appends, values, strict=True):
            append(value)

    def column(self, name: str) -> NDArray[Any]:
        """One column as an array of its own."""
        return np.array(self._columns[name], dtype=_TYPES[self._types[name]])

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))


class Store:
    """All events that were read well. Times are as read: in the time unit, or microseconds since 2000 for dates.

    ``primary`` marks the items that their row's account follows. A dose's ``time`` is NaN at the index event; its
    ``end`` is NaN for a bolus and infinite where it goes on. Subjects are numbered as they come.
    """

    def __init__(self) -> None:
        self.subjects: dict[str, int] = {}
        self.values = Columns(row="q", primary="b", subject="i", time="d", variable="h", value="d", censor="b")
        self.doses = Columns(row="q", primary="b", subject="i", time="d", end="d", treatment="h", amount="d")
        self.statics = Columns(row="q", primary="b", subject="i", static="h", value="d")
        self.index = Columns(row="q", primary="b", subject="i", time="d")

    def subject(self, text: str) -> int:
        """Number of a subject, new or known."""
        return self.subjects.setdefault(text, len(self.subjects))
