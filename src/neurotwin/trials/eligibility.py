"""Who may take part: conditions on covariates and on baseline measurements, and how many fail each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.trials.courses import Courses
from neurotwin.trials.groups import numbers_of
from neurotwin.units import conversion


@dataclass(frozen=True)
class Criterion:
    """One condition.

    Args:
        name: of a covariate, or of a variable, whose last measurement up to randomisation counts.
        least, most: inclusive ends in ``unit``; None: open.
        unit: of the ends.
        levels: those allowed, of a covariate that has levels.
    """

    name: str
    least: float | None = None
    most: float | None = None
    unit: str | None = None
    levels: Sequence[str] | None = None

    def __post_init__(self) -> None:
        where = f"eligibility: {self.name}"
        ends = self.least is not None or self.most is not None
        if ends == (self.levels is not None):
            raise ConfigError("no condition, or two", where=where, expected="least and most, or levels")
        if ends and self.unit is None:
            raise ConfigError("no unit", where=where, expected="unit=...")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ConfigError(f"{self.least:g} to {self.most:g}", where=where, expected="least <= most")

    @property
    def words(self) -> str:
        """As people read it."""
        if self.levels is not None:
            return f"{self.name} is {' or '.join(self.levels)}"
        unit = "" if self.unit in (None, "1") else f" {self.unit}"
        ends = [f"at least {self.least:g}{unit}" if self.least is not None else ""]
        ends.append(f"at most {self.most:g}{unit}" if self.most is not None else "")
        return f"{self.name} {' and '.join(filter(None, ends))}"

    def holds(self, courses: Courses) -> NDArray[np.bool_]:
        """``[subject]`` who meets it; a baseline that was not measured does not.

        Raises:
            ConfigError: no such name or level.
            UnitError: a unit of another dimension.
        """
        where = f"eligibility: {self.name}"
        found = numbers_of(courses, self.name, where)
        if self.levels is not None:
            if unknown := sorted(set(self.levels) - set(found.levels)):
                raise ConfigError(
                    f"no level {unknown[0]!r}", where=where, expected=" | ".join(found.levels) or "numbers"
                )
            return np.isin(found.value, [found.levels.index(level) for level in self.levels])
        if found.levels:
            raise ConfigError("ends for a covariate with levels", where=where, expected="levels=[...]")
        change = conversion(self.unit or found.unit, found.unit)
        low, high = (
            open_end if end is None else end * change.factor + change.offset
            for end, open_end in ((self.least, -np.inf), (self.most, np.inf))
        )
        return np.asarray((found.value >= low) & (found.value <= high))


class Screening(NamedTuple):
    """``screened`` subjects, those who ``failed`` each condition (whatever else they failed), and ``eligible``
    ``[subject]``."""

    screened: int
    failed: dict[str, int]
    eligible: NDArray[np.bool_]


def screen(criteria: Sequence[Criterion], courses: Courses) -> Screening:
    """Look at everybody. Raises ConfigError when nobody is eligible, and as `Criterion.holds`."""
    eligible, failed = np.ones(len(courses), dtype=bool), {}
    for criterion in criteria:
        holds = criterion.holds(courses)
        failed[criterion.words] = int((~holds).sum())
        eligible &= holds
    if not eligible.any():
        worst = max(failed, key=lambda words: failed[words])
        raise ConfigError(
            f"none of {len(courses)} screened subjects is eligible",
            where=f"eligibility: {worst}",
            expected=f"a condition that some meet ({failed[worst]} fail this one)",
        )
    return Screening(len(courses), failed, eligible)
