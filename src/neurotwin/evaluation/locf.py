"""Baselines that any forecast has to beat: the last value carried forward, and the mean of the population.

Both take their intervals from the training residuals on the variable's modelling scale, each training patient with the
same weight. The questions that they are fitted on are the ones that they are judged by: random visits as cuts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import modelled
from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Forecast, make_episodes
from neurotwin.errors import CohortError, ConfigError
from neurotwin.evaluation.cuts import random_cuts
from neurotwin.evaluation.weights import equal_weights, weighted_quantile
from neurotwin.schema import Schema

Array = NDArray[np.float64]

LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)


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
        checked = _check_levels(levels)
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
        about_mean = self.mean[:, None] + _centred(self.spread - self.mean[:, None], self.levels)
        scaled = np.repeat(about_mean[None], len(episodes.queries), axis=0)
        return Forecast(self.levels, _to_units(scaled, episodes.schema))


@dataclass(frozen=True)
class Locf:
    """Last observation carried forward; its spread grows with the time since then as it did in training.

    A variable that was not measured before the cut gets the training median with the population's spread. A censored
    last value is carried forward as its limit.

    Attributes:
        population: answers for variables that were never measured.
        edges: ``[obs, bin - 1]`` inner edges of the bins of time since the last value.
        residual: ``[obs, bin, quantile]`` quantiles of later minus last value on the modelling scale, 0 at 0.5.
    """

    population: PopulationMean
    edges: Array
    residual: Array

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
        together = _Changes(*(np.concatenate(column) for column in zip(*changes, strict=True)))
        fitted = [
            _by_elapsed(together.of(index), population.levels, n_bins, variable.name)
            for index, variable in enumerate(cohort.schema.variables)
        ]
        return cls(population, np.stack([edges for edges, _ in fitted]), np.stack([rows for _, rows in fitted]))

    def __call__(self, episodes: Episodes) -> Forecast:
        """Quantiles about the last value."""
        levels, subject = self.population.levels, episodes.queries.subject
        value, when = _last(episodes)
        last = _to_modelled(value, episodes.schema)[subject]
        elapsed = episodes.queries.time[:, None] - when[subject]
        scaled = np.empty((*last.shape, len(levels)))
        for index in range(last.shape[1]):
            bins = np.searchsorted(self.edges[index], elapsed[:, index], side="left")
            scaled[:, index] = last[:, index, None] + self.residual[index][bins]
        unknown = np.isnan(last)
        scaled[unknown] = np.broadcast_to(self.population.spread, scaled.shape)[unknown]
        quantiles = _to_units(scaled, episodes.schema)
        # The last value itself, not what a logarithm and its inverse leave of it.
        centre = int(np.argmin(np.abs(levels - 0.5)))
        quantiles[:, :, centre] = np.where(unknown, quantiles[:, :, centre], value[subject])
        return Forecast(levels, quantiles)


class _Changes(NamedTuple):
    """Later minus last value, one row per later measurement."""

    subject: NDArray[np.int64]
    variable: NDArray[np.int64]
    elapsed: Array
    change: Array

    def of(self, index: int) -> "_Changes":
        return _Changes(*(column[self.variable == index] for column in self))


def _changes(cohort: Cohort, cuts: Array) -> _Changes:
    episodes, targets, kept = make_episodes(cohort, cuts, min_visits=1)
    value, when = _last(episodes)
    last = _to_modelled(value, episodes.schema)
    subject = episodes.queries.subject[targets.query]
    variable = targets.variable.astype(np.int64)
    later = np.full((len(targets), last.shape[1]), np.nan)
    later[np.arange(len(targets)), variable] = targets.value
    later = _to_modelled(later, episodes.schema)[np.arange(len(targets)), variable]
    with np.errstate(invalid="ignore"):
        change = later - last[subject, variable]
    elapsed = episodes.queries.time[targets.query] - when[subject, variable]
    known = np.isfinite(change) & (targets.censor == 0)
    return _Changes(kept[subject[known]], variable[known], elapsed[known], change[known])


def _last(episodes: Episodes) -> tuple[Array, Array]:
    """Last value and its time, both ``[subject, obs]``, NaN where never measured."""
    value, when = np.full((2, len(episodes), len(episodes.schema.variables)), np.nan)
    seen = episodes.observations
    seen = seen.take(np.lexsort((seen.post_dose, seen.time)))
    # Where a place is assigned more than once, the last assignment stays.
    value[seen.subject, seen.variable], when[seen.subject, seen.variable] = seen.value, seen.time
    return value, when


def _to_modelled(value: Array, schema: Schema) -> Array:
    """``[row, obs]`` from units to modelling scale."""
    return np.stack([modelled(variable, value[:, index]) for index, variable in enumerate(schema.variables)], axis=1)


def _by_elapsed(changes: _Changes, levels: Array, n_bins: int, name: str) -> tuple[Array, Array]:
    """Inner edges of the bins and ``[bin, quantile]`` residual quantiles of one variable."""
    if not len(changes.change):
        raise CohortError(f"no change of {name} was seen", where="training cohort", remedy="leave the variable out")
    edges = np.quantile(changes.elapsed, np.arange(1, n_bins) / n_bins)
    bins = np.searchsorted(edges, changes.elapsed, side="left")
    rows = []
    for number in range(n_bins):
        # Ties may leave a bin empty: then all changes speak for it.
        chosen = bins == number if (bins == number).any() else np.ones(len(bins), np.bool_)
        quantiles = weighted_quantile(changes.change[chosen], equal_weights(changes.subject[chosen]), levels)
        rows.append(_centred(quantiles, levels))
    return edges, np.stack(rows)


def _centred(quantiles: Array, levels: Array) -> Array:
    """Quantiles about a centre that stays: 0 at level 0.5, not above 0 below it, not below 0 above it."""
    return np.where(levels < 0.5, np.minimum(quantiles, 0), np.where(levels > 0.5, np.maximum(quantiles, 0), 0.0))


def _to_units(scaled: Array, schema: Schema) -> Array:
    """``[query, obs, quantile]`` from modelling scale to units."""
    units = [variable.inverse(scaled[:, index]) for index, variable in enumerate(schema.variables)]
    return np.stack(units, axis=1)


def _check_levels(levels: Sequence[float]) -> Array:
    checked = np.asarray(levels, dtype=np.float64)
    if not (np.diff(checked) > 0).all() or not (checked > 0).all() or not (checked < 1).all() or 0.5 not in checked:
        raise ConfigError(f"levels {list(levels)}", where="levels", expected="rising, between 0 and 1, with 0.5")
    return checked
