"""Metrics: pure functions ``(truth, prediction, weight) -> float``.

``truth`` is ``[n]``; ``weight`` is ``[n]``, a mask or non-negative weights, 1 for each row when it is left out. Rows of
weight 0 may hold anything. Without any weight the result is NaN. Shapes are checked once, and InputError tells which
one is wrong. Functions whose name ends in ``_each`` return one number per row.
"""

import math
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurotwin.errors import ConfigError, InputError

Array = NDArray[np.float64]


def mae(truth: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean absolute error, in the unit of the truth. ``prediction``: ``[n]``."""
    truth, prediction = _pair(truth, prediction)
    return weighted_mean(np.abs(prediction - truth), weight)


def rmse(truth: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Root mean squared error, in the unit of the truth. ``prediction``: ``[n]``."""
    truth, prediction = _pair(truth, prediction)
    return math.sqrt(weighted_mean((prediction - truth) ** 2, weight))


def bias(truth: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean of prediction minus truth: positive when the prediction is too high. ``prediction``: ``[n]``."""
    truth, prediction = _pair(truth, prediction)
    return weighted_mean(prediction - truth, weight)


def crps(truth: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None, *, levels: ArrayLike) -> float:
    """Mean continuous ranked probability score, see `crps_each`. ``prediction``: ``[n, quantile]``."""
    return weighted_mean(crps_each(truth, prediction, levels=levels), weight)


def coverage(truth: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Share of truths inside the closed interval. ``prediction``: ``[n, 2]``, low and high end."""
    return weighted_mean(coverage_each(truth, prediction), weight)


def interval_width(truth: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean width of the interval, in the unit of the truth (whose values play no part). ``prediction``: ``[n, 2]``."""
    truth, interval = _table(truth, prediction, columns=2)
    return weighted_mean(interval[:, 1] - interval[:, 0], weight)


def interval_score(truth: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None, *, level: float) -> float:
    """Mean interval score, see `interval_score_each`. ``prediction``: ``[n, 2]``."""
    return weighted_mean(interval_score_each(truth, prediction, level=level), weight)


def coverage_each(truth: ArrayLike, prediction: ArrayLike) -> Array:
    """1 where the truth lies inside the closed interval ``[n, 2]``, else 0."""
    truth, interval = _table(truth, prediction, columns=2)
    return np.asarray((interval[:, 0] <= truth) & (truth <= interval[:, 1]), dtype=np.float64)


def interval_score_each(truth: ArrayLike, prediction: ArrayLike, *, level: float) -> Array:
    """Width of the central interval plus 2 / (1 - level) times the distance by which the truth misses it.

    Source: Gneiting & Raftery 2007, J Am Stat Assoc 102:359, equation 43.
    """
    if not 0 < level < 1:
        raise ConfigError(f"level {level}", where="interval_score", expected="between 0 and 1")
    truth, interval = _table(truth, prediction, columns=2)
    low, high = interval[:, 0], interval[:, 1]
    missed = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    return np.asarray(high - low + 2 / (1 - level) * missed)


def crps_each(truth: ArrayLike, prediction: ArrayLike, *, levels: ArrayLike) -> Array:
    """CRPS of the distribution that a set of quantiles describes, in the unit of the truth.

    The CRPS is twice the pinball loss integrated over all levels from 0 to 1 (Gneiting & Ranjan 2011, J Bus Econ
    Stat 29:411). Here the quantile function is taken as linear between the levels and constant beyond the outermost
    ones, and the integral is exact for that function: a proper score, and a single quantile scores its absolute
    error. What lies between and beyond the levels is lost: a perfect normal forecast of standard deviation 1 has the
    CRPS 0.5642, its quantiles at 0.05, 0.25, 0.5, 0.75, 0.95 score 0.3 % more, 19 levels from 0.05 to 0.95 0.2 % more,
    a single interval (0.05, 0.5, 0.95) 1.6 % more. Crossing quantiles are put in order first.

    Args:
        truth: ``[n]``.
        prediction: ``[n, quantile]``.
        levels: ``[quantile]`` rising, from 0 to 1.
    """
    levels = _levels(levels)
    truth, quantiles = _table(truth, prediction, columns=len(levels))
    ahead = np.sort(quantiles, axis=1) - truth[:, None]
    ahead = np.concatenate([ahead[:, :1], ahead, ahead[:, -1:]], axis=1)
    edge = np.r_[0.0, levels, 1.0]
    a, b, d_a, d_b = edge[:-1], edge[1:], ahead[:, :-1], ahead[:, 1:]
    # Pinball loss of level u: (1{q(u) > y} - u) (q(u) - y). Both terms are integrated over each stretch [a, b].
    tilted = (b - a) / 6 * (2 * a * d_a + a * d_b + b * d_a + 2 * b * d_b)
    rise = np.where(d_b > d_a, d_b - d_a, 1.0)
    crossing = (d_a < 0) & (d_b > 0)
    above = np.where(crossing, d_b**2 / (2 * rise), (np.maximum(d_a, 0) + np.maximum(d_b, 0)) / 2) * (b - a)
    return np.asarray(2 * (above - tilted).sum(axis=1))


def brier(truth: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean squared error of probabilities (Brier 1950, Mon Weather Rev 78:1). ``truth``: 0 or 1; ``prediction``:
    ``[n]`` probability of a 1."""
    return weighted_mean(brier_each(truth, prediction), weight)


def log_score(truth: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean of `log_score_each`. ``prediction``: ``[n]`` probability of a 1."""
    return weighted_mean(log_score_each(truth, prediction), weight)


def auc(truth: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Area under the receiver operating characteristic: the probability that a 1 is given a higher ``prediction``
    ``[n]`` than a 0, ties counted half (Hanley & McNeil 1982, Radiology 143:29). NaN without a 1 or without a 0."""
    truth, prediction = _binary(truth, prediction)
    weight = np.ones(len(truth)) if weight is None else np.asarray(weight, dtype=np.float64)
    return float(Ranking.of(truth, prediction).auc(weight[None])[0])


def brier_each(truth: ArrayLike, prediction: ArrayLike) -> Array:
    """Squared error of each probability."""
    truth, prediction = _binary(truth, prediction)
    return np.asarray((prediction - truth) ** 2)


def log_score_each(truth: ArrayLike, prediction: ArrayLike) -> Array:
    """Minus the natural logarithm of the probability of what came true (Good 1952, J R Stat Soc B 14:107).

    Single precision does not tell a probability below 1e-7 from 0: none scores more than 16.12.
    """
    truth, prediction = _binary(truth, prediction)
    return np.asarray(-np.log(np.maximum(np.where(truth > 0, prediction, 1 - prediction), 1e-7)))


class Ranking(NamedTuple):
    """Measurements in order of what was predicted, so that their AUC is quick to tell under many weightings.

    ``order``: ``[n]``; ``first``: where each group of equal predictions begins; ``positive``: ``[n]`` in that order.
    """

    order: NDArray[np.int64]
    first: NDArray[np.int64]
    positive: NDArray[np.bool_]

    @classmethod
    def of(cls, truth: Array, prediction: Array) -> Self:
        """``truth``: ``[n]`` 0 or 1."""
        order = np.argsort(prediction, kind="stable")
        ranked = prediction[order]
        first = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(ranked) else np.zeros(0, np.int64)
        return cls(order, first, truth[order] > 0)

    def auc(self, weight: Array) -> Array:
        """``[case]`` under each weighting ``[case, n]``; NaN where a weighting leaves no 1 or no 0."""
        if not len(self.order):
            return np.full(len(weight), np.nan)
        ranked = weight[:, self.order]
        ones, zeros = (
            np.add.reduceat(np.where(side, ranked, 0.0), self.first, axis=1) for side in (self.positive, ~self.positive)
        )
        below = np.cumsum(zeros, axis=1) - zeros / 2
        pairs = ones.sum(axis=1) * zeros.sum(axis=1)
        found = np.full(len(weight), np.nan)
        np.divide((ones * below).sum(axis=1), pairs, out=found, where=pairs > 0)
        return found


def pit(truth: ArrayLike, prediction: ArrayLike, *, levels: ArrayLike) -> Array:
    """Probability integral transform: the level at which the forecast puts the truth, uniform when calibrated.

    Linear between the quantiles; beyond the outermost ones, where the forecast says nothing more, the middle of the
    tail; where several quantiles equal the truth, the middle of their levels. ``prediction``: ``[n, quantile]``.
    """
    levels = _levels(levels)
    truth, quantiles = _table(truth, prediction, columns=len(levels))
    quantiles = np.sort(quantiles, axis=1)
    below, upto = (quantiles < truth[:, None]).sum(axis=1), (quantiles <= truth[:, None]).sum(axis=1)
    edge = np.r_[0.0, levels, 1.0]
    bounded = np.concatenate([quantiles[:, :1], quantiles, quantiles[:, -1:]], axis=1)
    row = np.arange(len(truth))
    low, high = bounded[row, below], bounded[row, np.minimum(below + 1, bounded.shape[1] - 1)]
    width = high - low
    share = np.divide(truth - low, width, out=np.full(len(truth), 0.5), where=width > 0)
    between = edge[below] + share * (edge[below + 1] - edge[below])
    tied = (edge[np.minimum(below + 1, len(levels))] + edge[upto]) / 2
    return np.asarray(np.where(upto > below, tied, between))


def weighted_mean(value: Array, weight: ArrayLike | None = None) -> float:
    """Mean of ``value [n]``; rows of weight 0 play no part, whatever they hold. NaN without any weight."""
    weight = np.ones(len(value)) if weight is None else np.asarray(weight, dtype=np.float64)
    if weight.shape != value.shape:
        raise InputError(f"weight has shape {weight.shape}", where="metric", expected=f"{value.shape}")
    used = weight > 0
    total = weight[used].sum()
    return float((value[used] * weight[used]).sum() / total) if total > 0 else math.nan


def _pair(truth: ArrayLike, prediction: ArrayLike) -> tuple[Array, Array]:
    truth, prediction = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if truth.ndim != 1 or prediction.shape != truth.shape:
        raise InputError(f"truth {truth.shape}, prediction {prediction.shape}", where="metric", expected="[n] and [n]")
    return truth, prediction


def _binary(truth: ArrayLike, prediction: ArrayLike) -> tuple[Array, Array]:
    truth, prediction = _pair(truth, prediction)
    if not np.isin(truth, (0.0, 1.0)).all():
        raise InputError("a truth that is neither 0 nor 1", where="metric", expected="0 or 1")
    return truth, prediction


def _table(truth: ArrayLike, prediction: ArrayLike, *, columns: int) -> tuple[Array, Array]:
    truth, prediction = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if truth.ndim != 1 or prediction.shape != (len(truth), columns):
        raise InputError(
            f"truth {truth.shape}, prediction {prediction.shape}", where="metric", expected=f"[n] and [n, {columns}]"
        )
    return truth, prediction


def _levels(levels: ArrayLike) -> Array:
    levels = np.asarray(levels, dtype=np.float64)
    if levels.ndim != 1 or not len(levels) or not (np.diff(levels) > 0).all() or levels[0] < 0 or levels[-1] > 1:
        raise InputError("the levels do not rise", where="metric", expected="rising probabilities from 0 to 1")
    return levels
