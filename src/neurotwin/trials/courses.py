"""Counterfactual courses: what each virtual patient would show under each arm, at the same visits."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.events import Doses
from neurotwin.schema import Schema
from neurotwin.units import conversion

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Courses:
    """Some patients under each of several arms. Up to ``cut`` all arms agree.

    Attributes:
        schema: what the columns mean.
        ids: ``[subject]``
        statics: ``[subject, static]`` raw covariates.
        cut: time of randomisation.
        time: ``[subject, visit]`` rising; NaN where a subject has fewer visits.
        measured: by arm, ``[subject, visit, obs]`` as recorded.
        latent: by arm, the same without measurement error.
        doses: by arm, of all subjects.
    """

    schema: Schema
    ids: NDArray[np.str_]
    statics: Array
    cut: float
    time: Array
    measured: Mapping[str, Array]
    latent: Mapping[str, Array]
    doses: Mapping[str, Doses]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, subjects: NDArray[Any]) -> Self:
        """Some patients, by mask or positions, in the order given."""
        index = np.arange(len(self))[np.asarray(subjects)]
        return replace(
            self,
            ids=self.ids[index],
            statics=self.statics[index],
            time=self.time[index],
            measured={name: value[index] for name, value in self.measured.items()},
            latent={name: value[index] for name, value in self.latent.items()},
            doses={name: table.of_subjects(index) for name, table in self.doses.items()},
        )

    @property
    def after(self) -> NDArray[np.bool_]:
        """``[subject, visit]`` which visits follow randomisation."""
        return np.asarray(self.time > self.cut)

    def variable(self, name: str, where: str) -> int:
        """Position of a variable; raises ConfigError where there is none of this name."""
        names = [one.name for one in self.schema.variables]
        if name not in names:
            raise ConfigError(f"no variable {name!r}", where=where, expected=" | ".join(names))
        return names.index(name)

    def treatment(self, name: str, where: str) -> int:
        """Position of a treatment; raises ConfigError where there is none of this name."""
        names = [one.name for one in self.schema.treatments]
        if name not in names:
            raise ConfigError(f"no treatment {name!r}", where=where, expected=" | ".join(names))
        return names.index(name)

    def factor(self, name: str, unit: str, where: str) -> float:
        """What a number in ``unit`` is multiplied by to be in the variable's; a difference has no offset.

        Raises:
            UnitError: an unknown unit, or one of another dimension.
        """
        return conversion(unit, self.schema.variables[self.variable(name, where)].unit).factor

    def converted(self, value: float, name: str, unit: str, where: str) -> float:
        """A value of a variable in ``unit``, in the variable's own; errors as `factor`."""
        found = conversion(unit, self.schema.variables[self.variable(name, where)].unit)
        return value * found.factor + found.offset

    def baseline(self, name: str, where: str = "baseline") -> Array:
        """``[subject]`` the last measurement up to randomisation; NaN where there is none."""
        value = next(iter(self.measured.values()))[:, :, self.variable(name, where)]
        seen = ~self.after & np.isfinite(value)
        last = np.where(seen, np.arange(value.shape[1]), -1).max(axis=1, initial=-1)
        found = value[np.arange(len(self)), last]
        return np.where(last >= 0, found, np.nan)


def padded(subject: NDArray[Any], values: Array, n: int, width: int) -> Array:
    """Rows sorted by subject as ``[subject, visit, ...]``, NaN where a subject has fewer."""
    counts = np.bincount(subject, minlength=n)
    place = np.arange(len(subject)) - np.repeat(np.cumsum(counts) - counts, counts)
    found = np.full((n, width, *values.shape[1:]), np.nan)
    found[subject, place] = values
    return found
