"""Conformal intervals by patient whose width follows horizon and level, and one of constant width beside them.

The score of a measurement is its distance from the median over the half width that the model gives on its side. Two
sets of factors, for thirds of the horizon and for thirds of the last known value, are turned in alternation until the
interval covers its share in each of the six (raking, as in Deming & Stephan 1940); in each, every patient weighs the
same and one unseen patient is reckoned with (see `neurotwin.evaluation.calibration`).
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.evaluation.weights import equal_weights, weighted_quantile

Array = NDArray[np.float64]
Index = NDArray[np.int64]

LEVEL = 0.9
ROUNDS = 12


class Rows(NamedTuple):
    """What an interval may depend on: ``said`` ``[row, 3]`` low, median, high; horizon and last value ``[row]``."""

    said: Array
    horizon: Array
    level: Array
    subject: Index


@dataclass(frozen=True)
class Scaled:
    """Factors ``[third]`` of the half width by horizon and by level, and the edges of the thirds."""

    edges: tuple[Array, Array]
    factors: tuple[Array, Array]

    @classmethod
    def fit(cls, rows: Rows, truth: Array, *, level: float = LEVEL) -> Self:
        """From patients who took no part in training; ``truth`` on the modelling scale."""
        edges = (thirds(rows.horizon), thirds(rows.level))
        score = _scores(rows.said, truth)
        bins = _bins(rows, edges)
        factors = (np.ones(3), np.ones(3))
        for _ in range(ROUNDS):
            for which in (0, 1):
                other = factors[1 - which][bins[1 - which]]
                for third in range(3):
                    mine = bins[which] == third
                    if mine.any():
                        factors[which][third] = _quantile(score[mine] / other[mine], rows.subject[mine], level)
        return cls(edges, factors)

    def __call__(self, rows: Rows) -> Array:
        """``[row, 3]`` low, median, high with their widths corrected."""
        first, second = _bins(rows, self.edges)
        factor = self.factors[0][first] * self.factors[1][second]
        median = rows.said[:, 1:2]
        return median + factor[:, None] * (rows.said - median)


def constant_half_width(missed: Array, subject: Index, *, level: float = LEVEL) -> float:
    """Half width of an interval that is the same everywhere, from absolute errors."""
    return _quantile(missed, subject, level)


def thirds(value: Array) -> Array:
    """The two inner edges of thirds of equal counts."""
    return np.nanquantile(value, [1 / 3, 2 / 3])


def third_of(value: Array, edges: Array) -> Index:
    """0, 1 or 2; what is not known counts as the middle."""
    return np.where(np.isfinite(value), np.searchsorted(edges, value, side="left"), 1).astype(np.int64)


def _bins(rows: Rows, edges: tuple[Array, Array]) -> tuple[Index, Index]:
    return third_of(rows.horizon, edges[0]), third_of(rows.level, edges[1])


def _scores(said: Array, truth: Array) -> Array:
    low, median, high = said.T
    width = np.where(truth > median, high - median, median - low)
    return np.asarray(np.abs(truth - median) / np.maximum(width, 1e-12))


def _quantile(score: Array, subject: Index, level: float) -> float:
    patients = len(np.unique(subject))
    asked = min(1.0, level * (patients + 1) / patients)
    return float(weighted_quantile(score, equal_weights(subject), asked))
