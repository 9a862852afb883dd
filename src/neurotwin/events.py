"""Flat event tables: what was observed, given and asked, one row per event, subjects by row number.

All times are float64, in the schema's time unit, relative to each subject's index event. At one instant the order is:
observations and queries, then doses, then observations and queries marked ``post_dose``.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class EventTable:
    """Columns of equal length; ``subject`` is the subject's row number."""

    subject: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.subject)

    def take(self, index: ArrayLike) -> Self:
        """Rows selected by mask or positions."""
        index = np.asarray(index)
        return type(self)(*[getattr(self, name)[index] for name in self.__dataclass_fields__])

    def of_subjects(self, subjects: NDArray[np.integer[Any]]) -> Self:
        """Rows of the chosen subjects, renumbered 0.. in the order given.

        The rows must be sorted by subject, as those of a cohort are, so that a few subjects are found fast.
        """
        bounds = np.searchsorted(self.subject, np.stack([subjects, subjects + 1]))
        count = bounds[1] - bounds[0]
        first = np.repeat(bounds[0] - (np.cumsum(count) - count), count)
        rows = self.take(first + np.arange(len(first)))
        return replace(rows, subject=np.repeat(np.arange(len(subjects), dtype=np.int32), count))

    def by_subject(self) -> Self:
        """The same rows sorted by subject, otherwise in the order they had."""
        return self.take(np.argsort(self.subject, kind="stable"))

    @classmethod
    def concatenate(cls, *tables: Self) -> Self:
        """Rows of all tables, one after the other."""
        return cls(
            **{item.name: np.concatenate([getattr(table, item.name) for table in tables]) for item in fields(cls)}
        )


@dataclass(frozen=True)
class Observations(EventTable):
    """Measured values. ``censor``: -1 below the limit ``value``, 0 exact, 1 above it."""

    time: NDArray[np.float64]
    variable: NDArray[np.int16]
    value: NDArray[np.float64]
    censor: NDArray[np.int8]
    post_dose: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        subject: ArrayLike,
        time: ArrayLike,
        variable: ArrayLike,
        value: ArrayLike,
        censor: ArrayLike = 0,
        post_dose: ArrayLike = False,
    ) -> Self:
        """Build from anything array-like; scalars are broadcast."""
        columns = np.broadcast_arrays(subject, time, variable, value, censor, post_dose)
        return cls(*_cast(columns, (np.int32, np.float64, np.int16, np.float64, np.int8, np.bool_)))


@dataclass(frozen=True)
class Doses(EventTable):
    """What was given. A bolus has ``end`` NaN and ``amount`` in the treatment's unit; an infusion or setting holds
    the rate or level ``amount`` from ``time`` to ``end`` (infinite: until further notice). Overlaps add up."""

    time: NDArray[np.float64]
    end: NDArray[np.float64]
    treatment: NDArray[np.int16]
    amount: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        subject: ArrayLike = (),
        time: ArrayLike = (),
        end: ArrayLike = np.nan,
        treatment: ArrayLike = (),
        amount: ArrayLike = (),
    ) -> Self:
        """Build from anything array-like; scalars are broadcast. Without arguments: an empty table."""
        columns = np.broadcast_arrays(subject, time, end, treatment, amount)
        return cls(*_cast(columns, (np.int32, np.float64, np.float64, np.int16, np.float64)))

    @property
    def is_bolus(self) -> NDArray[np.bool_]:
        """Which rows act at an instant."""
        return np.isnan(self.end)


@dataclass(frozen=True)
class Queries(EventTable):
    """Times at which a forecast is asked."""

    time: NDArray[np.float64]
    post_dose: NDArray[np.bool_]

    @classmethod
    def of(cls, subject: ArrayLike = (), time: ArrayLike = (), post_dose: ArrayLike = False) -> Self:
        """Build from anything array-like; scalars are broadcast. Without arguments: an empty table."""
        return cls(*_cast(np.broadcast_arrays(subject, time, post_dose), (np.int32, np.float64, np.bool_)))


def _cast(columns: Any, types: tuple[Any, ...]) -> list[NDArray[Any]]:
    return [
        np.atleast_1d(np.ascontiguousarray(column, dtype=kind)) for column, kind in zip(columns, types, strict=True)
    ]
