"""What a trial measures: change at a time, average over a time, reaching a threshold; `progression` has the times."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.trials.courses import Courses

Array = NDArray[np.float64]
Kind = Literal["continuous", "time", "binary"]


class Outcome(NamedTuple):
    """An endpoint of some subjects under one arm.

    ``value`` ``[subject]``: a number, 0 or 1, or the time from randomisation to the event or to the last visit; NaN
    where it is missing. For a time, ``event`` ``[subject]`` tells whether it happened, and ``clean`` ``[subject]`` the
    last visit without it: the event lies between ``clean`` and ``value``.
    """

    value: Array
    event: NDArray[np.bool_] | None = None
    clean: Array | None = None

    def take(self, index: NDArray[np.int64]) -> "Outcome":
        """Some subjects."""
        return Outcome(*(None if part is None else part[index] for part in self))  # type: ignore[arg-type]


class Endpoint(Protocol):
    """Something that is measured of each subject."""

    @property
    def kind(self) -> Kind:
        """How it is analysed."""
        ...

    @property
    def unit(self) -> str:
        """Of an effect; 1 for a binary endpoint."""
        ...

    @property
    def words(self) -> str:
        """As people read it."""
        ...

    def of(self, courses: Courses, arm: str, leaves: Array) -> Outcome:
        """Measured under an arm, of subjects who are seen until ``leaves`` ``[subject]``."""
        ...


def seen_after(courses: Courses, arm: str, variable: str, leaves: Array, where: str) -> tuple[Array, Array]:
    """Times from randomisation and values ``[subject, visit]`` of what was measured after it, else NaN."""
    value = courses.measured[arm][:, :, courses.variable(variable, where)]
    seen = courses.after & (courses.time <= leaves[:, None]) & np.isfinite(value)
    return np.where(seen, courses.time - courses.cut, np.nan), np.where(seen, value, np.nan)


@dataclass(frozen=True)
class Change:
    """A variable at a time after randomisation, less its baseline.

    Args:
        variable: name.
        unit: in which the change is told.
        at: time after randomisation.
        within: the nearest visit counts if it is not further from ``at``.
        scale: ``natural``: the difference; ``log``: that of the logarithms, without unit.
    """

    variable: str
    unit: str
    at: float
    within: float
    scale: Literal["natural", "log"] = "natural"
    kind: Kind = "continuous"

    def __post_init__(self) -> None:
        if not (self.at > 0 and self.within > 0):
            raise ConfigError("at and within", where=f"change of {self.variable}", expected="positive times")

    @property
    def words(self) -> str:
        what = "logarithm of " if self.scale == "log" else ""
        return f"change of {what}{self.variable.replace('_', ' ')} at {self.at:g}"

    def of(self, courses: Courses, arm: str, leaves: Array) -> Outcome:
        where = f"change of {self.variable}"
        time, value = seen_after(courses, arm, self.variable, leaves, where)
        far = np.where(np.isfinite(time), np.abs(time - self.at), np.inf)
        best = far.argmin(axis=1)
        rows = np.arange(len(courses))
        found, base = value[rows, best], courses.baseline(self.variable)
        if self.scale == "log":
            with np.errstate(invalid="ignore", divide="ignore"):
                change = np.log(found) - np.log(base)
            change = np.where(np.isfinite(change), change, np.nan)
        else:
            change = (found - base) / courses.factor(self.variable, self.unit, where)
        return Outcome(np.where(far[rows, best] <= self.within, change, np.nan))


@dataclass(frozen=True)
class Area:
    """Average of a variable from randomisation on: the area under its course (trapezoids between the visits, from the
    baseline on) over the time. Missing of those who were not seen for ``least`` of that time.

    Args:
        variable: name.
        unit: in which the average is told.
        until: time after randomisation.
        least: share of that time.
    """

    variable: str
    unit: str
    until: float
    least: float = 0.8
    kind: Kind = "continuous"

    def __post_init__(self) -> None:
        if not (self.until > 0 and 0 < self.least <= 1):
            raise ConfigError("until or least", where=f"area of {self.variable}", expected="until > 0, 0 < least <= 1")

    @property
    def words(self) -> str:
        return f"average {self.variable.replace('_', ' ')} until {self.until:g}"

    def of(self, courses: Courses, arm: str, leaves: Array) -> Outcome:
        where = f"area of {self.variable}"
        time, value = seen_after(courses, arm, self.variable, leaves, where)
        late = ~(time <= self.until)
        time, value = np.where(late, np.nan, time), np.where(late, np.nan, value)
        area, last_time = np.zeros(len(courses)), np.zeros(len(courses))
        last_value = courses.baseline(self.variable)
        for visit in range(time.shape[1]):
            here = np.isfinite(time[:, visit])
            step = np.where(here, time[:, visit] - last_time, 0.0)
            area += np.where(here, step * (last_value + value[:, visit]) / 2, 0.0)
            last_time, last_value = last_time + step, np.where(here, value[:, visit], last_value)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(last_time >= self.least * self.until, area / last_time, np.nan)
        unit = courses.schema.variables[courses.variable(self.variable, where)].unit
        offset = courses.converted(0.0, self.variable, self.unit, where)
        return Outcome((mean - offset) / courses.factor(self.variable, self.unit, where) if unit != self.unit else mean)


@dataclass(frozen=True)
class Reach:
    """Whether a variable is measured above or below a threshold at any visit. Missing of those who left before
    ``until`` without it.

    Args:
        variable: name.
        unit: of the threshold.
        above, below: the threshold; one of them.
        since, until: times after randomisation.
    """

    variable: str
    unit: str
    until: float
    above: float | None = None
    below: float | None = None
    since: float = 0.0
    kind: Kind = "binary"

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise ConfigError("not one threshold", where=f"reach of {self.variable}", expected="above or below")

    @property
    def words(self) -> str:
        side, value = ("above", self.above) if self.above is not None else ("below", self.below)
        return f"{self.variable.replace('_', ' ')} {side} {value:g} {self.unit} until {self.until:g}"

    def of(self, courses: Courses, arm: str, leaves: Array) -> Outcome:
        where = f"reach of {self.variable}"
        time, value = seen_after(courses, arm, self.variable, leaves, where)
        value = np.where((time >= self.since) & (time <= self.until), value, np.nan)
        with np.errstate(invalid="ignore"):
            if self.above is not None:
                met = (value > courses.converted(self.above, self.variable, self.unit, where)).any(axis=1)
            else:
                met = (value < courses.converted(self.below or 0.0, self.variable, self.unit, where)).any(axis=1)
        whole = np.isfinite(value).any(axis=1) & (leaves - courses.cut >= self.until)
        return Outcome(np.where(met, 1.0, np.where(whole, 0.0, np.nan)))
