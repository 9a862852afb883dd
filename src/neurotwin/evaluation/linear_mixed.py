"""Baseline: a linear mixed model, each variable a straight line in time with its own intercept and slope per subject.

The variances are fitted by statsmodels; a new subject's intercept and slope are then the posterior means given its
history, in closed form, and the intervals are those of the Gaussian posterior with the residual noise.
Source: Laird & Ware 1982, Random-effects models for longitudinal data, Biometrics 38:963-974.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import modelled
from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Forecast
from neurotwin.errors import CohortError
from neurotwin.evaluation.residuals import LEVELS, check_levels, check_names, to_units
from neurotwin.events import Observations
from neurotwin.extras import need
from neurotwin.schema import Variable

Array = NDArray[np.float64]

METHODS = ("lbfgs", "bfgs", "powell")


@dataclass(frozen=True)
class LinearMixed:
    """Random intercept and slope per subject and variable, independent between variables, on the modelling scale.

    Attributes:
        levels: ``[quantile]``.
        time_unit: ``[obs]`` time by which the fitted slopes are divided.
        fixed: ``[obs, 2]`` intercept and slope of the population.
        random: ``[obs, 2, 2]`` covariance of the subjects' intercepts and slopes about them.
        noise: ``[obs]`` residual variance.
    """

    levels: Array
    time_unit: Array
    fixed: Array
    random: Array
    noise: Array

    @classmethod
    def fit(cls, cohort: Cohort, *, levels: Sequence[float] = LEVELS, variables: Sequence[str] | None = None) -> Self:
        """From the exact values of the training cohort, by restricted maximum likelihood.

        Args:
            cohort: training subjects.
            levels: of the quantiles.
            variables: names of those to forecast; the others are not answered (NaN). None for all.

        Raises:
            ConfigError: levels do not rise between 0 and 1, or lack 0.5; or a name that is not in the schema.
            CohortError: a variable without values or variation, or a likelihood whose maximum is not found.
            ExtraMissingError: statsmodels is not installed.
        """
        checked, chosen = check_levels(levels), check_names(cohort.schema, variables)
        fits = [
            _fit(cohort.observations, number, one) if number in chosen else _NOT_FITTED
            for number, one in enumerate(cohort.schema.variables)
        ]
        time_unit, fixed, random, noise = (np.stack(column) for column in zip(*fits, strict=True))
        return cls(checked, time_unit, fixed, random, noise)

    def __call__(self, episodes: Episodes) -> Forecast:
        """Quantiles of the posterior predictive distribution."""
        normal = np.array([NormalDist().inv_cdf(level) for level in self.levels])
        scaled = np.empty((len(episodes.queries), len(self.noise), len(normal)))
        for number, variable in enumerate(episodes.schema.variables):
            if np.isnan(self.noise[number]):
                scaled[:, number] = np.nan
                continue
            mean, variance = self._forecast(episodes, number, variable)
            scaled[:, number] = mean[:, None] + np.sqrt(variance)[:, None] * normal
        return Forecast(self.levels, to_units(scaled, episodes.schema))

    def _forecast(self, episodes: Episodes, number: int, variable: Variable) -> tuple[Array, Array]:
        """``[query]`` mean and variance on the modelling scale."""
        subject, time, value = _exact(episodes.observations, number, variable)
        row, n = _design(time / self.time_unit[number]), len(episodes)
        surprise = value - row @ self.fixed[number]
        told, told_by = np.zeros((n, 2)), np.zeros((n, 2, 2))
        np.add.at(told, subject, row * surprise[:, None] / self.noise[number])
        np.add.at(told_by, subject, row[:, :, None] * row[:, None, :] / self.noise[number])
        # (random^-1 + told_by)^-1 in a form that a singular covariance does not break.
        posterior = self.random[number] @ np.linalg.inv(np.eye(2) + told_by @ self.random[number])
        effect = (posterior @ told[:, :, None])[:, :, 0]
        asked, owner = _design(episodes.queries.time / self.time_unit[number]), episodes.queries.subject
        mean = (asked * (self.fixed[number] + effect[owner])).sum(axis=1)
        spread = np.einsum("qi,qij,qj->q", asked, posterior[owner], asked)
        return mean, np.maximum(spread, 0.0) + self.noise[number]


_NOT_FITTED = (np.array(np.nan), np.full(2, np.nan), np.full((2, 2), np.nan), np.array(np.nan))


def _design(time: Array) -> Array:
    return np.column_stack([np.ones(len(time)), time])


def _exact(seen: Observations, number: int, variable: Variable) -> tuple[NDArray[np.int32], Array, Array]:
    """Subject, time and value on the modelling scale of a variable's values that are no limits."""
    mine = seen.take((seen.variable == number) & (seen.censor == 0))
    value = modelled(variable, mine.value)
    known = np.isfinite(value)
    return mine.subject[known], mine.time[known], value[known]


def _fit(seen: Observations, number: int, variable: Variable) -> tuple[Array, Array, Array, Array]:
    """Time unit, fixed effects, covariance of the random effects and residual variance of one variable."""
    mixed_linear_model = need("statsmodels.regression.mixed_linear_model", "baselines")
    subject, time, value = _exact(seen, number, variable)
    if not len(value) or not value.std() > 0 or not time.std() > 0:
        raise CohortError(
            f"{variable.name} does not vary over time", where="linear mixed model", remedy="leave the variable out"
        )
    unit, scale = float(time.std()), float(value.std())
    design = _design(time / unit)
    model = mixed_linear_model.MixedLM(value / scale, design, groups=subject, exog_re=design)
    for method in METHODS:
        with warnings.catch_warnings():
            # A variance of 0 is an answer, not a failure; whether the search ended is asked below.
            warnings.simplefilter("ignore")
            try:
                found = model.fit(reml=True, method=method)
            except np.linalg.LinAlgError:
                continue
        if found.converged and found.scale > 0 and np.isfinite(found.fe_params).all():
            random, noise = np.asarray(found.cov_re) * scale**2, np.array(found.scale * scale**2)
            return np.array(unit), np.asarray(found.fe_params) * scale, random, noise
    raise CohortError(
        f"no maximum of the likelihood of {variable.name} was found",
        where=f"linear mixed model of {len(np.unique(subject))} subjects",
        remedy="leave the baseline out, or use more subjects with several visits",
    )
