"""Forecast curves of some held-out subjects, drawn at random, for the report."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurotwin.calibration import interval_positions
from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Forecast, Predict, Targets, make_episodes
from neurotwin.errors import CohortError, ConfigError
from neurotwin.evaluation.cuts import choose_cuts
from neurotwin.evaluation.sections import Curve, Period, Points, Trajectory
from neurotwin.events import Queries


def draw_trajectories(
    predict: Predict,
    cohort: Cohort,
    variable: str,
    *,
    cut: ArrayLike | str,
    n_subjects: int = 6,
    max_horizon: float = np.inf,
    level: float = 0.9,
    min_visits: int = 2,
    n_times: int = 60,
    seed: int = 0,
) -> tuple[Trajectory, ...]:
    """Forecasts on a dense grid of times for subjects drawn at random: nobody chose the pretty ones.

    Drawn among the subjects with a past and at least two later values of ``variable``; they are numbered, not named.
    The grid runs from the cut to the subject's last visit within ``max_horizon``; a subject without any answer is not
    drawn.

    Raises:
        ConfigError: ``variable`` is not in the schema, or the forecast has no interval at ``level``.
        CohortError: no subject to draw.
    """
    names = [one.name for one in cohort.schema.variables]
    if variable not in names:
        raise ConfigError(f"no variable {variable}", where="draw_trajectories", expected=f"one of {', '.join(names)}")
    column = names.index(variable)
    cuts = choose_cuts(cohort, cut, min_visits=min_visits, max_horizon=max_horizon, seed=seed)
    episodes, targets, _ = make_episodes(cohort, cuts, min_visits=min_visits, max_horizon=max_horizon)
    later = episodes.queries.subject[targets.query[targets.variable == column]]
    able = np.flatnonzero(np.bincount(later, minlength=len(episodes)) >= 2)
    if not len(able):
        raise CohortError(f"no subject has two values of {variable} after the cut", where="draw_trajectories")
    drawn = np.sort(np.random.default_rng(seed).permutation(able)[:n_subjects])
    dense = _dense(episodes, drawn, n_times)
    forecast = predict(dense)
    ends = interval_positions(forecast.levels, level)
    if ends is None:
        raise ConfigError(f"the forecast has no interval at level {level}", where="draw_trajectories")
    answered = np.isfinite(forecast.quantiles[:, column]).all(axis=1)
    if forecast.ok is not None:
        answered = answered & forecast.ok
    drawings = []
    for position, subject in enumerate(drawn):
        asked = (dense.queries.subject == position) & answered
        if asked.any():
            curve = _curve(dense, forecast, asked, ends, column)
            later = _later(episodes, targets, int(subject), column)
            drawings.append(_trajectory(position, dense, curve, column, level, later))
    return tuple(drawings)


def _dense(episodes: Episodes, subjects: NDArray[np.int64], n_times: int) -> Episodes:
    """The chosen subjects with a grid of queries from the cut to the last one."""
    last = np.zeros(len(episodes))
    np.maximum.at(last, episodes.queries.subject, episodes.queries.time)
    chosen = episodes.take(subjects)
    share = np.linspace(0, 1, n_times + 1)[1:]
    times = chosen.cut[:, None] + share * (last[subjects] - chosen.cut)[:, None]
    return replace(chosen, queries=Queries.of(np.repeat(np.arange(len(chosen)), n_times), times.reshape(-1)))


def _later(episodes: Episodes, targets: Targets, subject: int, column: int) -> Points:
    mine = (episodes.queries.subject[targets.query] == subject) & (targets.variable == column)
    return Points.of(episodes.queries.time[targets.query[mine]], targets.value[mine])


def _curve(dense: Episodes, forecast: Forecast, asked: NDArray[np.bool_], ends: tuple[int, int], column: int) -> Curve:
    low, high = (forecast.quantiles[asked, column, end] for end in ends)
    return Curve.of(dense.queries.time[asked], forecast.median[asked, column], low, high)


def _trajectory(position: int, dense: Episodes, curve: Curve, column: int, level: float, later: Points) -> Trajectory:
    one = dense.schema.variables[column]
    seen = dense.observations
    seen = seen.take((seen.subject == position) & (seen.variable == column))
    return Trajectory(
        title=f"Subject {position + 1}",
        variable=one.name,
        unit=one.unit,
        time_unit=dense.schema.time_unit,
        level=level,
        cut=float(dense.cut[position]),
        history=Points.of(seen.time, seen.value),
        forecast=curve,
        later=later,
        treatments=_periods(dense, position),
        log_axis=one.transform == "log",
    )


def _periods(episodes: Episodes, position: int) -> tuple[Period, ...]:
    doses, names = episodes.doses, [one.name for one in episodes.schema.treatments]
    mine = np.flatnonzero((doses.subject == position) & (doses.amount != 0))
    end = np.where(np.isfinite(doses.end), doses.end, np.inf)
    return tuple(
        Period(names[doses.treatment[row]], float(doses.time[row]), None if doses.is_bolus[row] else float(end[row]))
        for row in mine
    )
