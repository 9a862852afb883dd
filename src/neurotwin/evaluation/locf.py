"""Baselines that any forecast has to beat: the last value carried forward, and the mean of the population.

Both take their intervals from the training residuals on the variable's modelling scale, each training patient with the
same weight. The questions that they are fitted on are the ones that they are judged by: random visits as cuts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import modelled
from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Forecast, make_episodes
from neurotwin.errors import CohortError, ConfigError
from neurotwin.evaluation.cuts import random_cuts
from neurotwin.evaluation.residuals import LEVELS, Residuals, by_elapsed, centred, check_levels, to_modelled, to_units
from neurotwin.evaluation.weights import equal_weights, weighted_quantile

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PopulationMean:
    """The same answer for everybody: the training mean (on the modelling scale), with the spread of the values.

    Attributes:
        levels: ``[quantile]``.
        mean: ``[obs]`` on the modelling scale.
        spread: ``[obs, quantile]`` quantiles of the training values on the modelling scale.
    """

    levels: Array
    mean: Array
    spread: Array

    @classmethod
    def fit(cls, cohort: Cohort, *, levels: Sequence[float] = LEVELS) -> Self:
        """From the exact values of the training cohort, each patient with the same weight.

        Raises:
            ConfigError: levels do not rise between 0 and 1, or lack 0.5.
            CohortError: a variable has no value.
        """
        checked = check_levels(levels)
        means, spread = [], []
        for index, variable in enumerate(cohort.schema.variables):
            seen = cohort.observations.take((cohort.observations.variable == index) & (cohort.observations.censor == 0))
            value = modelled(variable, seen.value)
            value, subject = value[np.isfinite(value)], seen.subject[np.isfinite(value)]
            if not len(value):
                raise CohortError(f"no value of {variable.name}", where="training cohort", remedy="leave it out")
            weight = equal_weights(subject)
            means.append(float((value * weight).sum() / weight.sum()))
            spread.append(weighted_quantile(value, weight, checked))
        return cls(checked, np.array(means), np.stack(spread))

    def __call__(self, episodes: Episodes) -> Forecast:
        """The same quantiles at every query, the mean in the place of the median."""
        about_mean = self.mean[:, None] + centred(self.spread - self.mean[:, None], self.levels)
        scaled = np.repeat(about_mean[None], len(episodes.queries), axis=0)
        told = [variable.recorded_as.kind == "bernoulli" for variable in episodes.schema.variables]
        mean = np.broadcast_to(np.where(told, self.mean, np.nan), scaled.shape[:2])
        return Forecast(self.levels, to_units(scaled, episodes.schema), mean=mean if any(told) else None)


@dataclass(frozen=True)
class Locf:
    """Last observation carried forward; its spread grows with the time since then as it did in training.

    A variable that was not measured before the cut gets the training median with the population's spread. A censored
    last value is carried forward as its limit.

    Attributes:
        population: answers for variables that were never measured.
        edges: ``[obs, bin - 1]`` inner edges of the bins of time since the last value.
        residual: ``[obs, bin, quantile]`` quantiles of later minus last value on the modelling scale, 0 at 0.5.
        rate: ``[obs, bin, 2]`` of a bernoulli variable the share of ones after a 0 and after a 1, else NaN.
    """

    population: PopulationMean
    edges: Array
    residual: Array
    rate: Array

    @classmethod
    def fit(
        cls, cohort: Cohort, *, levels: Sequence[float] = LEVELS, n_bins: int = 5, n_cuts: int = 5, seed: int = 0
    ) -> Self:
        """From the changes after ``n_cuts`` random visits per training patient, in ``n_bins`` bins of equal counts.

        Raises:
            ConfigError: levels do not rise between 0 and 1 or lack 0.5, or a count below 1.
            CohortError: no patient has two visits, or no change of a variable was seen.
        """
        if n_bins < 1 or n_cuts < 1:
            raise ConfigError(f"n_bins {n_bins}, n_cuts {n_cuts}", where="Locf.fit", expected="1 or more")
        population = PopulationMean.fit(cohort, levels=levels)
        changes = [_changes(cohort, random_cuts(cohort, min_visits=1, seed=seed + turn)) for turn in range(n_cuts)]
        together = Residuals(*(np.concatenate(column) for column in zip(*changes, strict=True)))
        fitted = [
            by_elapsed(together.of(index), population.levels, n_bins, variable.name)
            for index, variable in enumerate(cohort.schema.variables)
        ]
        edges = np.stack([edges for edges, _ in fitted])
        rate = _rates(cohort, edges, [random_cuts(cohort, min_visits=1, seed=seed + turn) for turn in range(n_cuts)])
        return cls(population, edges, np.stack([rows for _, rows in fitted]), rate)

    def __call__(self, episodes: Episodes) -> Forecast:
        """Quantiles about the last value."""
        levels, subject = self.population.levels, episodes.queries.subject
        value, when = last_values(episodes)
        last = to_modelled(value, episodes.schema)[subject]
        elapsed = episodes.queries.time[:, None] - when[subject]
        scaled, mean = np.empty((*last.shape, len(levels))), np.full(last.shape, np.nan)
        for index, variable in enumerate(episodes.schema.variables):
            bins = np.searchsorted(self.edges[index], elapsed[:, index], side="left")
            scaled[:, index] = last[:, index, None] + self.residual[index][bins]
            if variable.recorded_as.kind == "bernoulli":
                after = self.rate[index][bins, (last[:, index] > 0.5).astype(np.int64)]
                mean[:, index] = np.where(np.isnan(last[:, index]), self.population.mean[index], after)
        unknown = np.isnan(last)
        scaled[unknown] = np.broadcast_to(self.population.spread, scaled.shape)[unknown]
        quantiles = to_units(scaled, episodes.schema)
        # The last value itself, not what a logarithm and its inverse leave of it.
        centre = int(np.argmin(np.abs(levels - 0.5)))
        quantiles[:, :, centre] = np.where(unknown, quantiles[:, :, centre], value[subject])
        return Forecast(levels, quantiles, mean=None if np.isnan(mean).all() else mean)


def _rates(cohort: Cohort, edges: Array, cuts: Sequence[Array]) -> Array:
    """``[obs, bin, 2]`` share of ones by last value, each patient with the same weight; one patient more is taken to
    have had both outcomes alike, so that nothing is impossible. NaN of what is no bernoulli."""
    rates = np.full((len(edges), edges.shape[1] + 1, 2), np.nan)
    binary = [i for i, one in enumerate(cohort.schema.variables) if one.recorded_as.kind == "bernoulli"]
    if not binary:
        return rates
    rows = [_pairs(cohort, cut) for cut in cuts]
    subject, variable, elapsed, last, later = (np.concatenate(column) for column in zip(*rows, strict=True))
    for index in binary:
        bins = np.searchsorted(edges[index], elapsed, side="left")
        for number, before in np.ndindex(*rates.shape[1:]):
            chosen = (variable == index) & (bins == number) & ((last > 0.5) == (before == 1))
            weight = equal_weights(subject[chosen])
            n_patients = len(np.unique(subject[chosen]))
            share = float((weight * later[chosen]).sum() / weight.sum()) if n_patients else 0.5
            rates[index, number, before] = (share * n_patients + 0.5) / (n_patients + 1)
    return rates


def _pairs(cohort: Cohort, cuts: Array) -> tuple[NDArray[Any], ...]:
    """Subject, variable, time between, last and later value, one row per later measurement."""
    episodes, targets, kept = make_episodes(cohort, cuts, min_visits=1)
    value, when = last_values(episodes)
    subject = episodes.queries.subject[targets.query]
    last = value[subject, targets.variable]
    elapsed = episodes.queries.time[targets.query] - when[subject, targets.variable]
    rows = kept[subject], targets.variable.astype(np.int64), elapsed, last, targets.value
    known = np.isfinite(last) & (targets.censor == 0)
    return tuple(column[known] for column in rows)


def _changes(cohort: Cohort, cuts: Array) -> Residuals:
    episodes, targets, kept = make_episodes(cohort, cuts, min_visits=1)
    value, when = last_values(episodes)
    last = to_modelled(value, episodes.schema)
    subject = episodes.queries.subject[targets.query]
    variable = targets.variable.astype(np.int64)
    later = np.full((len(targets), last.shape[1]), np.nan)
    later[np.arange(len(targets)), variable] = targets.value
    later = to_modelled(later, episodes.schema)[np.arange(len(targets)), variable]
    with np.errstate(invalid="ignore"):
        change = later - last[subject, variable]
    elapsed = episodes.queries.time[targets.query] - when[subject, variable]
    known = np.isfinite(change) & (targets.censor == 0)
    return Residuals(kept[subject[known]], variable[known], elapsed[known], change[known])


def last_values(episodes: Episodes) -> tuple[Array, Array]:
    """Last value and its time, both ``[subject, obs]``, NaN where never measured."""
    value, when = np.full((2, len(episodes), len(episodes.schema.variables)), np.nan)
    seen = episodes.observations
    seen = seen.take(np.lexsort((seen.post_dose, seen.time)))
    # Where a place is assigned more than once, the last assignment stays.
    value[seen.subject, seen.variable], when[seen.subject, seen.variable] = seen.value, seen.time
    return value, when
