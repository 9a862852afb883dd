"""What a cohort is watched by: numbers and categories of which every patient has one each.

Visits of one patient resemble each other, so that tests which count visits would cry wolf. Each patient is told by a
row of features instead: the mean of a variable, how much it varied, at which share of visits it was measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.events import Observations

Array = NDArray[np.float64]
Group = Literal["visits", "values", "missingness", "treatments", "covariates", "calibration", "accuracy"]
NO_YES = ("no", "yes")


@dataclass(frozen=True)
class Feature:
    """One column. ``levels`` of a category; none for a number, of which ``unit`` tells the unit or scale."""

    name: str
    group: Group
    channel: str
    levels: tuple[str, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class Table:
    """``values`` ``[patient, feature]``: numbers, or positions of levels; NaN where a patient has none."""

    features: tuple[Feature, ...]
    values: Array

    @classmethod
    def of(cls, columns: Sequence[tuple[Feature, Array]]) -> Self:
        """From columns ``[patient]``."""
        return cls(tuple(one for one, _ in columns), np.stack([values for _, values in columns], axis=1))

    def __len__(self) -> int:
        return len(self.values)

    def take(self, patients: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """Some patients, in the order given."""
        return type(self)(self.features, self.values[patients])

    def beside(self, other: "Table") -> Self:
        """The features of both, of the same patients."""
        return type(self)((*self.features, *other.features), np.concatenate([self.values, other.values], axis=1))


def input_features(cohort: Cohort) -> Table:
    """Visits, variables, treatments and covariates of each subject."""
    return Table.of([*_visits(cohort), *_variables(cohort), *_treatments(cohort), *_covariates(cohort)])


def _visits(cohort: Cohort) -> list[tuple[Feature, Array]]:
    subject, time = _times(cohort.observations)
    n = len(cohort)
    number = np.bincount(subject, minlength=n).astype(np.float64)
    last = np.full(n, np.nan)
    last[subject] = time
    first = np.full(n, np.nan)
    first[subject[::-1]] = time[::-1]
    gap = np.divide(last - first, number - 1, out=np.full(n, np.nan), where=number > 1)
    unit = cohort.schema.time_unit
    return [
        (Feature("visits.number", "visits", "visits"), number),
        (Feature("visits.follow_up", "visits", "visits", unit=unit), last - first),
        (Feature("visits.gap", "visits", "visits", unit=unit), gap),
    ]


def _variables(cohort: Cohort) -> list[tuple[Feature, Array]]:
    n, seen, columns = len(cohort), cohort.observations, []
    visits = np.bincount(_times(cohort.observations)[0], minlength=n)
    for index, variable in enumerate(cohort.schema.variables):
        mine = seen.take(seen.variable == index)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = variable.forward(mine.value)
        known = np.isfinite(value)
        subject, value = mine.subject[known], value[known]
        level, spread = mean_and_spread(subject, value, n)
        times = np.bincount(_times(mine)[0], minlength=n)
        measured = np.divide(times, visits, out=np.full(n, np.nan), where=visits > 0)
        scale = "" if variable.transform == "identity" else f"{variable.transform} "
        unit = f"{scale}{variable.unit}"
        columns += [
            (Feature(f"{variable.name}.level", "values", variable.name, unit=unit), level),
            (Feature(f"{variable.name}.spread", "values", variable.name, unit=unit), spread),
            (Feature(f"{variable.name}.measured", "missingness", variable.name, unit="share of visits"), measured),
        ]
    return columns


def _treatments(cohort: Cohort) -> list[tuple[Feature, Array]]:
    n, columns = len(cohort), []
    for index, treatment in enumerate(cohort.schema.treatments):
        mine = cohort.doses.take(cohort.doses.treatment == index)
        count = np.bincount(mine.subject, minlength=n).astype(np.float64)
        given = count > 0
        amount = np.divide(
            np.bincount(mine.subject, mine.amount, minlength=n), count, out=np.full(n, np.nan), where=given
        )
        name = treatment.name
        columns += [
            (Feature(f"{name}.given", "treatments", name, levels=NO_YES), given.astype(np.float64)),
            (Feature(f"{name}.amount", "treatments", name, unit=treatment.unit), amount),
            (Feature(f"{name}.doses", "treatments", name), np.where(given, count, np.nan)),
        ]
    return columns


def _covariates(cohort: Cohort) -> list[tuple[Feature, Array]]:
    columns = []
    for index, static in enumerate(cohort.schema.statics):
        raw = cohort.statics[:, index]
        known = Feature(f"{static.name}.known", "missingness", static.name, levels=NO_YES)
        own = Feature(f"{static.name}.value", "covariates", static.name, levels=static.levels, unit=static.unit)
        columns += [(own, raw), (known, np.isfinite(raw).astype(np.float64))]
    return columns


def _times(seen: Observations) -> tuple[NDArray[np.int64], Array]:
    """Subject and time of every visit; the observations are sorted by both."""
    fresh = np.r_[True, (np.diff(seen.subject) != 0) | (np.diff(seen.time) != 0)][: len(seen)]
    return seen.subject[fresh].astype(np.int64), seen.time[fresh]


def mean_and_spread(subject: NDArray[np.int32] | NDArray[np.int64], value: Array, n: int) -> tuple[Array, Array]:
    """Mean of each subject's values, and their standard deviation where there are three or more."""
    count = np.bincount(subject, minlength=n)
    mean = np.divide(np.bincount(subject, value, minlength=n), count, out=np.full(n, np.nan), where=count > 0)
    square = np.bincount(subject, (value - mean[subject]) ** 2, minlength=n)
    return mean, np.sqrt(np.divide(square, count - 1, out=np.full(n, np.nan), where=count > 2))
