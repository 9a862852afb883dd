"""Harm under an arm: a variable beyond a limit, an event that doses may bring, a dose beyond a limit."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.trials.courses import Courses
from neurotwin.units import conversion

Array = NDArray[np.float64]


class AdverseEvent(Protocol):
    """Something that may befall a subject until the subject leaves."""

    @property
    def words(self) -> str:
        """As people read it, with what is assumed."""
        ...

    def happens(self, courses: Courses, arm: str, leaves: Array, uniform: Array) -> NDArray[np.bool_]:
        """``[subject]`` to whom; ``uniform`` ``[subject]`` is the chance of those left to chance."""
        ...


@dataclass(frozen=True)
class Crossing:
    """A variable above or below a limit at any visit.

    Args:
        variable: name.
        unit: of the limit.
        above, below: the limit; one of them.
        of: ``latent``: what is so; ``measured``: what the record shows.
        since: time after randomisation from which on it counts.
    """

    variable: str
    unit: str
    above: float | None = None
    below: float | None = None
    of: Literal["latent", "measured"] = "latent"
    since: float = 0.0

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise ConfigError("not one limit", where=f"adverse event of {self.variable}", expected="above or below")

    @property
    def words(self) -> str:
        side, value = ("above", self.above) if self.above is not None else ("below", self.below)
        return f"{self.variable.replace('_', ' ')} {side} {value:g} {self.unit} at a visit ({self.of})"

    def happens(self, courses: Courses, arm: str, leaves: Array, uniform: Array) -> NDArray[np.bool_]:
        where = f"adverse event of {self.variable}"
        table = courses.latent if self.of == "latent" else courses.measured
        value = table[arm][:, :, courses.variable(self.variable, where)]
        counts = courses.after & (courses.time <= leaves[:, None]) & (courses.time - courses.cut >= self.since)
        with np.errstate(invalid="ignore"):
            if self.above is not None:
                beyond = value > courses.converted(self.above, self.variable, self.unit, where)
            else:
                beyond = value < courses.converted(self.below or 0.0, self.variable, self.unit, where)
        return np.asarray((beyond & counts).any(axis=1))


@dataclass(frozen=True)
class PerDose:
    """An event that each dose may bring, with the same probability, independently: of k doses 1 - (1 - p)^k.

    No model here knows blood counts, so that a probability is put in and comes out; it is as good as its source.

    Args:
        treatment: name.
        probability: p.
        source: where it is from.
    """

    treatment: str
    probability: float
    source: str

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ConfigError(
                f"probability is {self.probability:g}", where=f"adverse event of {self.treatment}", expected="0 to 1"
            )

    @property
    def words(self) -> str:
        return f"probability {self.probability:g} with each dose of {self.treatment}: put in, not found ({self.source})"

    def happens(self, courses: Courses, arm: str, leaves: Array, uniform: Array) -> NDArray[np.bool_]:
        given = np.bincount(_doses_of(self.treatment, courses, arm, leaves)[0], minlength=len(courses))
        return np.asarray(uniform < 1 - (1 - self.probability) ** given)


@dataclass(frozen=True)
class CumulativeDose:
    """More of a treatment than a limit, boluses and periods together.

    Args:
        treatment: name.
        limit: in ``unit``: that of the treatment; of an infusion its unit times the unit of time.
        unit: of the limit.
    """

    treatment: str
    limit: float
    unit: str

    @property
    def words(self) -> str:
        return f"more than {self.limit:g} {self.unit} of {self.treatment}"

    def happens(self, courses: Courses, arm: str, leaves: Array, uniform: Array) -> NDArray[np.bool_]:
        subject, amount = _doses_of(self.treatment, courses, arm, leaves)
        where = f"adverse event of {self.treatment}"
        treatment = courses.schema.treatments[courses.treatment(self.treatment, where)]
        own = treatment.unit if treatment.kind == "bolus" else f"({treatment.unit}).{courses.schema.time_unit}"
        total = np.bincount(subject, amount, minlength=len(courses))
        return np.asarray(total > self.limit * conversion(self.unit, own).factor)


def _doses_of(treatment: str, courses: Courses, arm: str, leaves: Array) -> tuple[NDArray[np.int32], Array]:
    """Subject and amount of each dose from randomisation until its subject leaves; of a period the amount is the rate
    times how long it lasts."""
    doses = courses.doses[arm]
    mine = doses.treatment == courses.treatment(treatment, f"adverse event of {treatment}")
    mine &= (doses.time >= courses.cut) & (doses.time <= leaves[doses.subject]) & (doses.amount > 0)
    found = doses.take(mine)
    length = np.where(found.is_bolus, 1.0, np.minimum(found.end, leaves[found.subject]) - found.time)
    return found.subject, found.amount * length
