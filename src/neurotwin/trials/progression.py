"""Time to progression of a size that is seen at visits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.trials.courses import Courses
from neurotwin.trials.endpoints import Array, Kind, Outcome, seen_after


@dataclass(frozen=True)
class Progression:
    """Time to growth above the smallest size seen, at a visit.

    Progression is a value of at least (1 + ``relative``) times the smallest one since randomisation, the baseline
    included, and at least ``absolute`` above it. RECIST 1.1 (Eisenhauer et al., Eur J Cancer 45:228, 2009): 20 % and 5
    mm of the sum of diameters. RANO for low-grade glioma (van den Bent et al., Lancet Oncol 12:583, 2011): 25 % of the
    product of two diameters, hence 11.8 % of a diameter. The time is that of the visit, as in a trial; the event lies
    between this visit and the last without it (interval censoring, told in `Outcome.clean`).

    Args:
        variable: a size.
        unit: of ``absolute``.
        relative, absolute: see above.
        confirmed: the visit after must show it too; without another visit it counts.
        until: end of observation after randomisation.
        time_unit: of the times told; the simulator's.
    """

    variable: str
    unit: str
    relative: float
    until: float
    time_unit: str
    absolute: float = 0.0
    confirmed: bool = False
    kind: Kind = "time"

    def __post_init__(self) -> None:
        if not (self.relative >= 0 and self.absolute >= 0 and self.relative + self.absolute > 0 and self.until > 0):
            raise ConfigError(
                "relative, absolute or until",
                where=f"progression of {self.variable}",
                expected="growth above 0 and until > 0",
            )

    @property
    def words(self) -> str:
        more = f" and {self.absolute:g} {self.unit}" if self.absolute else ""
        twice = ", confirmed at the next visit" if self.confirmed else ""
        return (
            f"time until {self.variable.replace('_', ' ')} is {self.relative:.1%}{more} above its smallest value{twice}"
        )

    def of(self, courses: Courses, arm: str, leaves: Array) -> Outcome:
        where = f"progression of {self.variable}"
        if self.time_unit != courses.schema.time_unit:
            raise ConfigError(f"time_unit is {self.time_unit!r}", where=where, expected=courses.schema.time_unit)
        time, value = seen_after(courses, arm, self.variable, leaves, where)
        value = np.where(time <= self.until, value, np.nan)
        smallest = courses.baseline(self.variable)
        margin = self.absolute * courses.factor(self.variable, self.unit, where)
        grown = np.zeros(value.shape, dtype=bool)
        for visit in range(value.shape[1]):
            here = value[:, visit]
            with np.errstate(invalid="ignore"):
                grown[:, visit] = (here >= (1 + self.relative) * smallest) & (here >= smallest + margin)
            smallest = np.fmin(smallest, here)
        if self.confirmed:
            grown &= _next_true(grown, np.isfinite(value))
        event = np.asarray(grown.any(axis=1))
        first = np.where(event, grown.argmax(axis=1), value.shape[1])
        clean = np.where(np.arange(value.shape[1]) < first[:, None], np.where(np.isfinite(value), time, np.nan), np.nan)
        last_clean = np.fmax.reduce(clean, axis=1, initial=0.0)
        when = np.where(event, time[np.arange(len(courses)), np.minimum(first, value.shape[1] - 1)], last_clean)
        return Outcome(np.where(np.isfinite(courses.baseline(self.variable)), when, np.nan), event, last_clean)


def _next_true(grown: NDArray[np.bool_], seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``[subject, visit]`` whether the next visit that took place shows it too; true where none follows."""
    following = np.ones(len(grown), dtype=bool)
    found = np.empty_like(grown)
    for visit in range(grown.shape[1] - 1, -1, -1):
        found[:, visit] = following
        following = np.where(seen[:, visit], grown[:, visit], following)
    return found
