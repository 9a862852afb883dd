"""Fitting conformal factors: split conformal prediction in which the patient, not the measurement, is the unit.

The score of a measurement is its distance from the forecast's median over the half width of the interval on its side,
on the variable's modelling scale, so that scores of all horizons and channels are comparable. The factor is the
weighted quantile of the scores in which each of K patients has the weight 1 / (K + 1), shared by its measurements, and
the unseen patient the rest, at infinity. For a new patient exchangeable with these, a measurement picked at random is
then covered with probability of at least ``level``. Sources: Lee, Barber & Willett 2023, Distribution-free inference
with hierarchical data, arXiv:2306.06342 (the weights); Kivaranovic, Johnson & Leeb 2020, Adaptive, distribution-free
prediction intervals for deep networks, AISTATS (the score).

Where a record stands for an interval of latent values (a score that was rounded, the end of a scale), the distance is
that to the interval's nearer end: the stretched quantiles, once recorded, cover just those records whose score is not
above the factor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import BASES, Calibration, check_horizons, horizon_bins, interval_positions, modelled
from neurotwin.episodes import Episodes, Forecast, Predict, Targets
from neurotwin.errors import CohortError, ConfigError
from neurotwin.evaluation.weights import equal_weights, weighted_quantile

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Scores:
    """One row per measurement that has a score."""

    subject: NDArray[np.int64]
    channel: NDArray[np.int64]
    bin: NDArray[np.int64]
    score: Array

    def take(self, chosen: NDArray[np.bool_]) -> Self:
        return type(self)(self.subject[chosen], self.channel[chosen], self.bin[chosen], self.score[chosen])

    @property
    def n_patients(self) -> int:
        return len(np.unique(self.subject))


def fit_calibration(
    forecast: Forecast,
    targets: Targets,
    episodes: Episodes,
    *,
    level: float = 0.9,
    horizons: Sequence[float],
    min_patients: int = 20,
    description: str = "",
) -> Calibration:
    """One factor per horizon bin and channel from patients who took no part in training.

    A bin with fewer than ``min_patients`` patients takes the factor of its whole channel, a channel with fewer takes
    that of all channels; `Calibration.basis` records which. Censored measurements, measurements without an answer and
    those beyond the last horizon are left out.

    Args:
        forecast: of ``episodes``, with quantiles at both ends of the interval at ``level``.
        targets: what came true.
        episodes: the calibration patients' questions; a horizon is counted from the cut.
        level: probability that the interval aims at.
        horizons: upper edges of the bins in the schema's time unit; the last may be inf.
        min_patients: at least ``level / (1 - level)``, below which no finite factor exists.
        description: whose data these are.

    Raises:
        ConfigError: ``level``, ``horizons`` or ``min_patients`` out of range, or quantiles missing.
        CohortError: too few patients, or intervals without width.
    """
    edges = check_horizons(horizons)
    least = check_level(level)
    if min_patients < least:
        raise ConfigError(
            f"min_patients {min_patients}", where="fit_calibration", expected=f"{least} or more at {level}"
        )
    scores = _scores(forecast, targets, episodes, edges, level)
    variables = episodes.schema.variables
    shape = (len(edges), len(variables))
    factor, n_patients, basis = np.empty(shape), np.empty(shape, np.int64), np.empty(shape, np.int8)
    # Of a bernoulli the probability is the answer: its quantiles are 0 and 1, and no stretch makes them better.
    spared = [index for index, variable in enumerate(variables) if variable.recorded_as.kind == "bernoulli"]
    scores = scores.take(~np.isin(scores.channel, spared))
    if len(spared) < len(variables) and scores.n_patients < least:
        raise CohortError(
            f"{scores.n_patients} calibration patients with measurements",
            where="fit_calibration",
            expected=f"{least} or more at level {level}",
        )
    for cell in np.ndindex(*shape):
        if cell[1] in spared:
            factor[cell], n_patients[cell], basis[cell] = 1.0, 0, BASES.index("none")
            continue
        basis[cell], pool = _pool(scores, cell[0], cell[1], min_patients)
        factor[cell], n_patients[cell] = _factor(pool, level), pool.n_patients
    if not np.isfinite(factor).all():
        name = variables[int(np.argwhere(~np.isfinite(factor))[0, 1])].name
        raise CohortError(
            f"intervals of {name} have no width", where="fit_calibration", remedy="train a model with quantiles"
        )
    return Calibration(
        level=level,
        time_unit=episodes.schema.time_unit,
        horizons=edges,
        channels=tuple(variable.name for variable in variables),
        units=tuple(variable.unit for variable in variables),
        factor=factor,
        n_patients=n_patients,
        basis=basis,
        coverage=np.full(shape, np.nan),
        n_test=np.zeros(shape, np.int64),
        description=description,
    )


def with_measured_coverage(
    calibration: Calibration, forecast: Forecast, targets: Targets, episodes: Episodes
) -> Calibration:
    """The same calibration with the coverage that it reaches on test patients, each with the same weight.

    ``forecast`` is the one before calibration. Cells without measurements stay NaN. Raises ConfigError when the
    forecast has no quantiles at the calibration's level.
    """
    scores = _scores(forecast, targets, episodes, calibration.horizons, calibration.level)
    names = [variable.name for variable in episodes.schema.variables]
    coverage, n_test = np.full(calibration.factor.shape, np.nan), np.zeros(calibration.factor.shape, np.int64)
    for row, column in np.ndindex(*coverage.shape):
        if calibration.channels[column] not in names:
            continue
        cell = scores.take((scores.channel == names.index(calibration.channels[column])) & (scores.bin == row))
        if len(cell.score):
            weight = equal_weights(cell.subject)
            # The stretched interval's ends are only as exact as floats.
            covered = cell.score <= calibration.factor[row, column] * (1 + 1e-9)
            coverage[row, column] = float((covered * weight).sum() / weight.sum())
            n_test[row, column] = cell.n_patients
    return replace(calibration, coverage=coverage, n_test=n_test)


def calibrated(predict: Predict, calibration: Calibration) -> Predict:
    """The predictor with its intervals calibrated; horizons are counted from the cut."""

    def predict_calibrated(episodes: Episodes) -> Forecast:
        horizon = episodes.queries.time - episodes.cut[episodes.queries.subject]
        return calibration.apply(predict(episodes), horizon, episodes.schema)

    return predict_calibrated


def describe_basis(calibration: Calibration) -> str:
    """One line that tells how many factors rest on their own bin, on their channel, and on all channels."""
    count = np.bincount(calibration.basis.reshape(-1), minlength=len(BASES))
    told = [f"{number} from {name}" for name, number in zip(BASES[:3], count, strict=False)]
    return ", ".join([*told, f"{count[3]} not calibrated"] if count[3] else told)


def check_level(level: float) -> int:
    """Patients that a finite factor at ``level`` needs; raises ConfigError when it is no probability."""
    if not 0 < level < 1:
        raise ConfigError(f"level {level}", where="level", expected="between 0 and 1")
    return int(np.ceil(level / (1 - level) - 1e-9))


def _scores(forecast: Forecast, targets: Targets, episodes: Episodes, edges: Array, level: float) -> _Scores:
    """Distance from the median over the half width on that side, on the modelling scale; inf where it has no width."""
    ends = interval_positions(forecast.levels, level)
    if ends is None:
        raise ConfigError(
            f"no quantiles for an interval at level {level}",
            where="forecast",
            expected=f"{(1 - level) / 2:g} and {(1 + level) / 2:g} among {[float(one) for one in forecast.levels]}",
        )
    subject = episodes.queries.subject[targets.query].astype(np.int64)
    bins = horizon_bins(episodes.queries.time[targets.query] - episodes.cut[subject], edges)
    score = np.full(len(targets), np.nan)
    for index, variable in enumerate(episodes.schema.variables):
        rows = np.flatnonzero(targets.variable == index)
        quantiles = modelled(variable, forecast.quantiles[targets.query[rows], index])
        middle = modelled(variable, forecast.median[targets.query[rows], index])
        with np.errstate(divide="ignore", invalid="ignore"):
            cell = variable.recorded_as.cell(targets.value[rows])
        score[rows] = _score(np.clip(middle, *cell), quantiles[:, ends[0]], middle, quantiles[:, ends[1]])
    usable = ~np.isnan(score) & (targets.censor == 0) & (bins >= 0)
    if forecast.ok is not None:
        usable &= forecast.ok[targets.query]
    return _Scores(subject, targets.variable.astype(np.int64), bins, score).take(usable)


def _score(truth: Array, low: Array, middle: Array, high: Array) -> Array:
    with np.errstate(invalid="ignore"):
        distance = truth - middle
        width = np.where(distance > 0, high - middle, middle - low)
        known = np.isfinite(distance) & np.isfinite(width)
    ratio = np.divide(np.abs(distance), width, out=np.full(len(truth), np.inf), where=known & (width > 0))
    return np.where(known, np.where(distance == 0, 0.0, ratio), np.nan)


def _pool(scores: _Scores, row: int, column: int, min_patients: int) -> tuple[int, _Scores]:
    """Position in `BASES` and the scores of the smallest pool with enough patients."""
    in_channel = scores.channel == column
    for basis, chosen in enumerate((in_channel & (scores.bin == row), in_channel)):
        pool = scores.take(chosen)
        if pool.n_patients >= min_patients:
            return basis, pool
    return BASES.index("all"), scores


def _factor(scores: _Scores, level: float) -> float:
    """Weighted quantile at ``level`` with the unseen patient's share at infinity."""
    n = scores.n_patients
    return float(weighted_quantile(scores.score, equal_weights(scores.subject), level * (n + 1) / n))
