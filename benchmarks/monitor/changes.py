"""What can happen to a site's patients: each change is made to the cohort, before anything is computed from it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from neurotwin.cohort import Cohort
from neurotwin.events import Observations
from neurotwin.monitoring.features import mean_and_spread

Change = Callable[[Cohort], Cohort]


def shifted(variable: str, deviations: float) -> Change:
    """All values of a variable moved, on its modelling scale, by standard deviations of the patients' means."""

    def change(cohort: Cohort) -> Cohort:
        return _modelled(cohort, variable, lambda value, level, mean, sd: value + deviations * sd)

    return change


def spread(variable: str, factor: float) -> Change:
    """Patients' means further from their common mean by a factor, and nothing else."""

    def change(cohort: Cohort) -> Cohort:
        return _modelled(cohort, variable, lambda value, level, mean, sd: value + (factor - 1) * (level - mean))

    return change


def noisy(variable: str, deviation: float, seed: int = 0) -> Change:
    """Noise added on the modelling scale: forecasts of a cruder assay are no longer inside their intervals."""
    generator = np.random.default_rng(seed)

    def change(cohort: Cohort) -> Cohort:
        return _modelled(
            cohort, variable, lambda value, level, mean, sd: value + generator.normal(0, deviation, len(value))
        )

    return change


def in_another_unit(variable: str, factor: float, share: float, seed: int = 0) -> Change:
    """Values times a factor, of a share of the patients."""

    def change(cohort: Cohort) -> Cohort:
        wrong = np.random.default_rng(seed).random(len(cohort)) < share
        seen, index = cohort.observations, _index(cohort, variable)
        hit = (seen.variable == index) & wrong[seen.subject]
        return replace(cohort, observations=replace(seen, value=np.where(hit, seen.value * factor, seen.value)))

    return change


def missing(variable: str, share: float, seed: int = 0) -> Change:
    """A share of the measurements of one variable not taken."""

    def change(cohort: Cohort) -> Cohort:
        seen = cohort.observations
        lost = np.random.default_rng(seed).random(len(seen)) < share
        return replace(cohort, observations=seen.take(~(lost & (seen.variable == _index(cohort, variable)))))

    return change


def dosed(factor: float) -> Change:
    """All amounts times a factor; what it does to the patients is left out."""

    def change(cohort: Cohort) -> Cohort:
        return replace(cohort, doses=replace(cohort.doses, amount=cohort.doses.amount * factor))

    return change


def _modelled(cohort: Cohort, variable: str, move: Any) -> Cohort:
    index = _index(cohort, variable)
    seen: Observations = cohort.observations
    rows = np.flatnonzero(seen.variable == index)
    scale = cohort.schema.variables[index]
    value = scale.forward(seen.value[rows])
    level, _ = mean_and_spread(seen.subject[rows], value, len(cohort))
    mean, sd = float(np.nanmean(level)), float(np.nanstd(level))
    changed = seen.value.copy()
    changed[rows] = scale.inverse(move(value, level[seen.subject[rows]], mean, sd))
    return replace(cohort, observations=replace(seen, value=changed))


def _index(cohort: Cohort, variable: str) -> int:
    return [one.name for one in cohort.schema.variables].index(variable)
