"""Who leaves a trial before its end, by chance or because of how it goes."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.trials.courses import Courses

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Dropout:
    """Leaving for good between two visits with hazard

        rate exp(strength (y - baseline) / scale)

    where y is what was measured at the visit before (``last``: missing at random, given what was seen), or what would
    be measured at the visit to come (``next``: missing not at random, which no analysis of what was seen can mend).

    Args:
        rate: hazard per unit of time of a subject who has not changed; 0: nobody leaves.
        variable: what it looks at; None: leaving has nothing to do with the course.
        strength: log hazard ratio for a change of one ``scale``.
        scale: in ``unit``.
        unit: of the scale.
        sees: see above.
    """

    rate: float = 0.0
    variable: str | None = None
    strength: float = 0.0
    scale: float = 1.0
    unit: str | None = None
    sees: Literal["last", "next"] = "last"

    def __post_init__(self) -> None:
        where = "dropout"
        if not 0 <= self.rate < np.inf:
            raise ConfigError(f"rate is {self.rate:g}", where=where, expected="a rate of at least 0")
        if not 0 < self.scale < np.inf:
            raise ConfigError(f"scale is {self.scale:g}", where=where, expected="a positive number")
        if self.variable is not None and self.unit is None:
            raise ConfigError("no unit of the scale", where=where, expected="unit=...")
        if self.variable is None and self.strength:
            raise ConfigError("a strength without a variable", where=where, expected="variable=...")

    def leaves(self, courses: Courses, arm: str, uniform: Array) -> Array:
        """``[subject]`` time after which nothing is seen of a subject; infinite for those who stay.

        ``uniform`` is ``[subject, visit]``; the same numbers for each arm make the counterfactuals comparable.
        """
        before = np.concatenate([np.full((len(courses), 1), courses.cut), courses.time[:, :-1]], axis=1)
        passed = np.where(courses.after, courses.time - np.maximum(before, courses.cut), 0.0)
        hazard = self.rate * np.exp(self._pull(courses, arm))
        gone = courses.after & (uniform < -np.expm1(-hazard * passed))
        first = np.where(gone.any(axis=1), gone.argmax(axis=1), -1)
        last_seen = np.maximum(before, courses.cut)[np.arange(len(courses)), first]
        return np.where(first < 0, np.inf, last_seen)

    def _pull(self, courses: Courses, arm: str) -> Array:
        """``[subject, visit]`` logarithm of what multiplies the rate on the way to each visit."""
        if self.variable is None or self.unit is None:
            return np.zeros(courses.time.shape)
        place = courses.variable(self.variable, "dropout")
        scale = self.scale * courses.factor(self.variable, self.unit, "dropout")
        value = courses.measured[arm][:, :, place]
        change = np.nan_to_num((value - courses.baseline(self.variable)[:, None]) / scale)
        if self.sees == "last":
            change = np.concatenate([np.zeros((len(courses), 1)), change[:, :-1]], axis=1)
            change = np.where(courses.after, change, 0.0)
        return np.asarray(np.clip(self.strength * change, -20.0, 20.0))
