"""Weights that give each patient the same say, and quantiles of weighted values."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def equal_weights(subject: NDArray[np.integer[Any]]) -> Array:
    """``[row]`` weights such that the rows of each subject sum to 1."""
    _, inverse, count = np.unique(subject, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / count[inverse], dtype=np.float64)


def weighted_quantile(value: Array, weight: Array, levels: ArrayLike) -> Array:
    """The smallest value at which the share of weight reaches each level: the inverse of the weighted distribution.

    Levels above 1 give inf, which is what a conformal correction asks for when there are too few patients.
    """
    levels = np.asarray(levels, dtype=np.float64)
    order = np.argsort(value, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    # Sums of weights are only as exact as floats: without the slack, 9 of 10 would miss the level 0.9.
    position = np.searchsorted(share, levels - 1e-9, side="left")
    beyond = levels > 1 + 1e-9
    picked = value[order][np.minimum(position, len(value) - 1)]
    return np.where(beyond, np.inf, picked)
