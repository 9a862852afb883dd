"""Scores as published, kept apart by patient so that two models can be compared on the same patients."""

from dataclasses import dataclass

import numpy as np
from benchmarks.cancer.simulator import DEATH_VOLUME, N_DAYS, Array
from benchmarks.cancer.testsets import HORIZON, TestSet
from numpy.typing import NDArray

TAUS = tuple(range(2, HORIZON + 2))
"""Days ahead that are scored; the first day ahead is not observed and not scored."""
DRAWS = 4000
LEVEL = 0.99


@dataclass(frozen=True)
class Errors:
    """Squared errors (cm3 squared) summed by patient.

    Attributes:
        total: ``[patient, column]`` one column per score.
        count: ``[patient]`` rows behind each sum.
    """

    total: Array
    count: Array

    @property
    def score(self) -> Array:
        """``[column]`` normalised root mean squared error, %."""
        return normalised(self.total.sum(0) / self.count.sum())


def normalised(mean_square: Array) -> Array:
    """Mean squared error to percent of the death volume."""
    return 100 * np.sqrt(mean_square) / DEATH_VOLUME


def errors_of(test: TestSet, forecast: Array) -> Errors:
    """Errors of the scored steps of all rows: the only step of one-step rows, tau = 2..6 of sequences."""
    first = min(1, test.outcome.shape[1] - 1)
    square = np.square(forecast - test.outcome)[:, first:]
    n = len(test.patients)
    total = np.stack([np.bincount(test.patient, column, n) for column in square.T], axis=1)
    return Errors(total, np.bincount(test.patient, minlength=n).astype(np.float64))


def one_step_scores(test: TestSet, forecast: Array) -> dict[str, float]:
    """The three one-step errors of the published code, %.

    ``last``: the outcome of each row only. ``all``: every day of every row, so that the days of a history count once
    per row they are part of. ``orig``: the same by day, then averaged over days.
    """
    square = np.square(forecast - test.outcome)[:, 0]
    factual = np.append(True, (np.diff(test.patient) != 0) | (np.diff(test.day) != 0))
    # A factual error is also in the history of the four rows of each later day of its patient.
    repeats = np.where(factual, 4 * (test.last[test.patient] - 1 - test.day), 0) + 1.0
    by_day = np.bincount(test.day, repeats * square, N_DAYS - 1)
    count = np.bincount(test.day, repeats, N_DAYS - 1)
    asked = count > 0
    return {
        "last": float(normalised(square.mean())),
        "all": float(normalised(by_day.sum() / count.sum())),
        "orig": float(normalised((by_day[asked] / count[asked]).mean())),
    }


@dataclass(frozen=True)
class Interval:
    """Score with the ends of its bootstrap interval, each ``[column]``."""

    score: Array
    low: Array
    high: Array


def patient_interval(errors: Errors, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Interval of a score: patients are drawn with replacement."""
    values = _redrawn(errors, _weights(len(errors.count), draws, seed))
    return Interval(errors.score, *_ends(values, level))


def paired_interval(errors: Errors, other: Errors, level: float = LEVEL, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Interval of the difference of two scores on the same patients, drawn together: ``errors`` less ``other``."""
    weights = _weights(len(errors.count), draws, seed)
    return Interval(errors.score - other.score, *_ends(_redrawn(errors, weights) - _redrawn(other, weights), level))


def _weights(n: int, draws: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)


def _redrawn(errors: Errors, weights: NDArray[np.int64]) -> Array:
    return normalised(weights @ errors.total / (weights @ errors.count)[:, None])


def _ends(values: Array, level: float) -> tuple[Array, Array]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
