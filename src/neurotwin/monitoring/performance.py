"""How good forecasts were, one number a patient: the size of the error, the level of the truth, inside or outside.

Of a patient's measurements one is drawn by chance for the level and for each horizon's interval, so that patients count
and not visits; the error is the mean over all of them, on the variable's modelling scale.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import Calibration, horizon_bins, interval_positions
from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Forecast, Predict, Targets, make_episodes
from neurotwin.errors import CohortError
from neurotwin.evaluation.calibration import calibrated
from neurotwin.evaluation.cuts import random_cuts
from neurotwin.monitoring.features import Feature, Table

Array = NDArray[np.float64]
Index = NDArray[np.int64]
OUT_IN = ("outside", "inside")
SEED = 0


@dataclass(frozen=True)
class Answered:
    """A cohort's episodes, the calibrated forecast of them, what came true, and the cohort row of each episode."""

    episodes: Episodes
    targets: Targets
    forecast: Forecast
    rows: Index


def ask(predict: Predict, calibration: Calibration, cohort: Cohort, *, min_visits: int) -> Answered:
    """Ask about each subject's future after one of its visits, drawn by its id.

    Raises CohortError when no subject has a past and a future.
    """
    last = float(calibration.horizons[-1])
    cuts = random_cuts(cohort, min_visits=min_visits, max_horizon=last, seed=SEED)
    episodes, targets, rows = make_episodes(cohort, cuts, min_visits=min_visits, max_horizon=last)
    return Answered(episodes, targets, calibrated(predict, calibration)(episodes), rows)


def try_to_ask(predict: Predict, calibration: Calibration, cohort: Cohort, *, min_visits: int) -> Answered | None:
    """As `ask`, but None where no subject has a past and a future: then the inputs alone can be judged."""
    try:
        return ask(predict, calibration, cohort, min_visits=min_visits)
    except CohortError:
        return None


def performance_features(answered: Answered, calibration: Calibration, n: int) -> Table:
    """``[subject of the cohort, feature]``, NaN where a subject has no measurement to be judged by.

    Args:
        n: subjects of the cohort.
    """
    generator = np.random.default_rng(SEED)
    columns: list[tuple[Feature, Array]] = []
    for index, variable in enumerate(answered.episodes.schema.variables):
        seen = _Seen.of(answered, index)
        columns.append((Feature(f"{variable.name}.error", "accuracy", variable.name), seen.mean(seen.error, n)))
        if variable.recorded_as.kind == "bernoulli":
            continue  # its probability is the answer: it has neither an interval nor a level
        one = seen.one_of_each(np.ones(len(seen.error), dtype=bool), generator)
        level = Feature(f"{variable.name}.truth_level", "calibration", variable.name, unit="level")
        columns.append((level, seen.spread(seen.level(generator), one, n)))
        inside = seen.inside(calibration.level)
        bins = horizon_bins(seen.horizon, calibration.horizons)
        for number in range(len(calibration.horizons) if inside is not None else 0):
            one = seen.one_of_each(bins == number, generator)
            name = f"{variable.name}.inside.{number + 1}"
            columns.append((Feature(name, "calibration", variable.name, OUT_IN), seen.spread(inside, one, n)))
    return Table.of(columns)


@dataclass(frozen=True)
class _Seen:
    """Measurements of one variable that were forecast ``[measurement]``, with the cohort row of their subject."""

    row: Index
    horizon: Array
    value: Array
    error: Array
    quantiles: Array
    levels: Array

    @classmethod
    def of(cls, answered: Answered, index: int) -> "_Seen":
        episodes, targets, forecast = answered.episodes, answered.targets, answered.forecast
        variable = episodes.schema.variables[index]
        chosen = (targets.variable == index) & (targets.censor == 0)
        if forecast.ok is not None:
            chosen &= forecast.ok[targets.query]
        query, value = targets.query[chosen], targets.value[chosen]
        subject = episodes.queries.subject[query]
        with np.errstate(divide="ignore", invalid="ignore"):
            if variable.recorded_as.kind == "bernoulli" and forecast.mean is not None:
                error = np.abs(value - forecast.mean[query, index])
            else:
                error = np.abs(variable.forward(value) - variable.forward(forecast.median[query, index]))
        known = np.isfinite(error)
        horizon = episodes.queries.time[query] - episodes.cut[subject]
        table = forecast.quantiles[query, index]
        row = answered.rows[subject]
        return cls(row[known], horizon[known], value[known], error[known], table[known], np.asarray(forecast.levels))

    def mean(self, values: Array, n: int) -> Array:
        """``[subject]``"""
        count = np.bincount(self.row, minlength=n)
        sums = np.bincount(self.row, values, minlength=n)
        return np.asarray(np.divide(sums, count, out=np.full(n, np.nan), where=count > 0))

    def one_of_each(self, chosen: NDArray[np.bool_], generator: np.random.Generator) -> Index:
        """Position of one measurement, by chance, of each subject that has a chosen one."""
        order = generator.permutation(np.flatnonzero(chosen))
        return order[np.unique(self.row[order], return_index=True)[1]]

    def spread(self, values: Array | None, places: Index, n: int) -> Array:
        """``[subject]`` the values at the places, NaN for the others."""
        found = np.full(n, np.nan)
        if values is not None:
            found[self.row[places]] = values[places]
        return found

    def level(self, generator: np.random.Generator) -> Array:
        """Middle of the two quantile levels that the truth lies between; by chance where it equals several."""
        value = self.value[:, None]
        below, up_to = (self.quantiles < value).sum(axis=1), (self.quantiles <= value).sum(axis=1)
        cell = below + np.floor(generator.random(len(value)) * (up_to - below + 1)).astype(np.int64)
        ends = np.r_[0.0, self.levels, 1.0]
        return np.asarray((ends[cell] + ends[cell + 1]) / 2)

    def inside(self, level: float) -> Array | None:
        """1 where the truth lies in the interval at ``level``, else 0; None where the forecast has no such interval."""
        ends = interval_positions(self.levels, level)
        if ends is None:
            return None
        low, high = self.quantiles[:, ends[0]], self.quantiles[:, ends[1]]
        return np.asarray((self.value >= low) & (self.value <= high), dtype=np.float64)
