"""Intervals of a baseline: quantiles of what it missed in training, by how far ahead it looked."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import modelled
from neurotwin.errors import CohortError, ConfigError
from neurotwin.evaluation.weights import equal_weights, weighted_quantile
from neurotwin.schema import Schema

Array = NDArray[np.float64]

LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)


class Residuals(NamedTuple):
    """Truth minus forecast on the modelling scale, one row per later measurement."""

    subject: NDArray[np.int64]
    variable: NDArray[np.int64]
    elapsed: Array
    residual: Array

    def of(self, index: int) -> "Residuals":
        """Those of one variable."""
        return Residuals(*(column[self.variable == index] for column in self))


def by_elapsed(residuals: Residuals, levels: Array, n_bins: int, name: str) -> tuple[Array, Array]:
    """Inner edges of bins of equal counts, and ``[bin, quantile]`` residual quantiles of one variable, 0 at 0.5.

    Raises CohortError where there is no residual.
    """
    if not len(residuals.residual):
        raise CohortError(f"no change of {name} was seen", where="training cohort", remedy="leave the variable out")
    edges = np.quantile(residuals.elapsed, np.arange(1, n_bins) / n_bins)
    bins = np.searchsorted(edges, residuals.elapsed, side="left")
    rows = []
    for number in range(n_bins):
        # Ties may leave a bin empty: then all residuals speak for it.
        chosen = bins == number if (bins == number).any() else np.ones(len(bins), np.bool_)
        quantiles = weighted_quantile(residuals.residual[chosen], equal_weights(residuals.subject[chosen]), levels)
        rows.append(centred(quantiles, levels))
    return edges, np.stack(rows)


def centred(quantiles: Array, levels: Array) -> Array:
    """Quantiles about a centre that stays: 0 at level 0.5, not above 0 below it, not below 0 above it."""
    return np.where(levels < 0.5, np.minimum(quantiles, 0), np.where(levels > 0.5, np.maximum(quantiles, 0), 0.0))


def to_modelled(value: Array, schema: Schema) -> Array:
    """``[row, obs]`` from units to modelling scale."""
    return np.stack([modelled(variable, value[:, index]) for index, variable in enumerate(schema.variables)], axis=1)


def to_units(scaled: Array, schema: Schema) -> Array:
    """``[query, obs, quantile]`` from modelling scale to units."""
    units = [variable.inverse(scaled[:, index]) for index, variable in enumerate(schema.variables)]
    return np.stack(units, axis=1)


def check_levels(levels: Sequence[float]) -> Array:
    """The levels as an array; raises ConfigError unless they rise between 0 and 1 and hold 0.5."""
    checked = np.asarray(levels, dtype=np.float64)
    if not (np.diff(checked) > 0).all() or not (checked > 0).all() or not (checked < 1).all() or 0.5 not in checked:
        raise ConfigError(f"levels {list(levels)}", where="levels", expected="rising, between 0 and 1, with 0.5")
    return checked


def check_names(schema: Schema, variables: Sequence[str] | None) -> tuple[int, ...]:
    """Positions of the named variables, all of them for None; raises ConfigError for a name that is not there."""
    names = [variable.name for variable in schema.variables]
    if variables is not None and (unknown := sorted(set(variables) - set(names))):
        raise ConfigError(f"no variable {', '.join(unknown)}", where="variables", expected=", ".join(names))
    return tuple(number for number, name in enumerate(names) if variables is None or name in variables)
