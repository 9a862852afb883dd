"""Groups of subjects by a covariate or by a baseline measurement: for strata, and for effects within subgroups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.trials.courses import Courses
from neurotwin.units import conversion

Array = NDArray[np.float64]


class Grouped(NamedTuple):
    """The ``name`` of a division, its ``labels``, and ``member`` ``[subject]`` of each subject's label."""

    name: str
    labels: tuple[str, ...]
    member: NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Division by a covariate, or by the last measurement of a variable up to randomisation.

    Args:
        by: name of the covariate or variable. A covariate with levels is divided by them.
        at: inner edges, rising, in ``unit``; None: the median of those who were screened.
        unit: of the edges; None with the median.
    """

    by: str
    at: Sequence[float] | None = None
    unit: str | None = None

    def __post_init__(self) -> None:
        if self.at is not None and (not len(self.at) or not bool((np.diff(self.at) > 0).all())):
            raise ConfigError(f"at is {list(self.at)}", where=f"split by {self.by}", expected="rising numbers")
        if (self.at is None) != (self.unit is None):
            raise ConfigError("edges without a unit, or a unit without edges", where=f"split by {self.by}")

    def of(self, courses: Courses) -> Grouped:
        """The groups of these subjects. Raises ConfigError for a name that is not there."""
        where = f"split by {self.by}"
        found = numbers_of(courses, self.by, where)
        if found.levels:
            if self.at is not None:
                raise ConfigError("edges for a covariate with levels", where=where, expected="none")
            return Grouped(self.by, found.levels, found.value.astype(np.int64))
        if self.at is None:
            edges = np.array([np.nanmedian(found.value)])
        else:
            change = conversion(self.unit or found.unit, found.unit)
            edges = np.asarray(self.at, dtype=np.float64) * change.factor + change.offset
        unit = "" if found.unit == "1" else f" {found.unit.strip('{}')}"
        inner = [f"{low:.4g} to {high:.4g}{unit}" for low, high in zip(edges[:-1], edges[1:], strict=True)]
        labels = (f"up to {edges[0]:.4g}{unit}", *inner, f"above {edges[-1]:.4g}{unit}")
        return Grouped(self.by, labels, np.searchsorted(edges, found.value, side="left"))


class Numbers(NamedTuple):
    """``value`` ``[subject]`` with its ``unit``; or the position of a level among ``levels``."""

    value: Array
    unit: str
    levels: tuple[str, ...] = ()


def numbers_of(courses: Courses, name: str, where: str) -> Numbers:
    """A covariate, or the baseline of a variable. Raises ConfigError where there is neither."""
    for place, static in enumerate(courses.schema.statics):
        if static.name == name:
            return Numbers(courses.statics[:, place], static.unit, tuple(static.levels or ()))
    for variable in courses.schema.variables:
        if variable.name == name:
            return Numbers(courses.baseline(name), variable.unit)
    known = [*(one.name for one in courses.schema.statics), *(one.name for one in courses.schema.variables)]
    raise ConfigError(f"no covariate or variable {name!r}", where=where, expected=" | ".join(known))


def crossed(groups: Sequence[Grouped], n: int) -> Grouped:
    """One division for all combinations of several; one group of all for none."""
    index = np.zeros(n, dtype=np.int64)
    labels: tuple[str, ...] = ("all",)
    for one in groups:
        index = index * len(one.labels) + one.member
        labels = tuple(label if first == "all" else f"{first}, {label}" for first in labels for label in one.labels)
    return Grouped(", ".join(one.name for one in groups) or "all", labels, index)
