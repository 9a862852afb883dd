"""Prior of a patient's parameters, from the population that a mechanistic model was published with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.schema import Schema

Array = NDArray[np.float64]

LEAST_SHARE = 1e-8
"""Of the largest variance: a direction with less is fixed, such as a parameter that is a multiple of another."""


@dataclass(frozen=True)
class PopulationPrior:
    """ln theta = centre(covariates) + factor z, with z ~ N(0, I): log-normal, with the population's covariances.

    Attributes:
        names: of the parameters.
        typical: parameters of the typical subject, before covariates act.
        offset: ``[parameter]`` mean of ln theta less the logarithm of the parameter typical for the covariates.
        factor: ``[parameter, z]`` of the covariance; fewer z than parameters where some hang on others.
    """

    names: tuple[str, ...]
    simulator: Any
    offset: Array
    factor: Array

    @classmethod
    def of(cls, simulator: Any, names: Sequence[str] = (), *, n: int = 4000, seed: int = 0) -> Self:
        """Moments of ``n`` drawn patients of the simulator's first population.

        Args:
            names: parameters to infer; none: all numbers that the population draws.

        Raises:
            ConfigError: no population, or a parameter that it does not draw or that is not positive.
        """
        if not simulator.populations:
            raise ConfigError(
                "no population", where=type(simulator).__name__, expected="a model with a published or proposed one"
            )
        drawn = getattr(simulator, f"{simulator.populations[0]}_population")(n, np.random.default_rng(seed))
        usable = [name for name, value in drawn.parameters.items() if np.ndim(value) == 1 and (value > 0).all()]
        if strange := sorted(set(names) - set(usable)):
            raise ConfigError(
                f"{strange[0]} cannot be inferred",
                where=type(simulator).__name__,
                expected=f"positive parameters that its population draws: {' | '.join(usable)}",
            )
        chosen = tuple(names) or tuple(usable)
        centre = _typical(simulator, chosen, simulator.schema, drawn.statics)
        apart = np.stack([np.log(drawn.parameters[name]) for name in chosen], axis=1) - centre
        value, vector = np.linalg.eigh(np.cov(apart, rowvar=False).reshape(len(chosen), -1))
        kept = value > LEAST_SHARE * value[-1]
        return cls(chosen, simulator, apart.mean(axis=0), vector[:, kept] * np.sqrt(value[kept]))

    def centre(self, schema: Schema, static: Array, mask: Array) -> Array:
        """``[subject, parameter]`` mean of ln theta, from encoded covariates; where one is missing or unknown to the
        cohort, that of the typical subject stands in."""
        own = self.simulator.schema
        typical, _ = own.encode_statics(np.array([self.simulator.typical_statics], dtype=np.float64))
        known = dict(zip(schema.static_columns, static.T, strict=True))
        seen = dict(zip(schema.static_columns, mask.T, strict=True))
        covariates = {
            name: np.where(seen[name] > 0, known[name], usual) if name in known else np.full(len(static), usual)
            for name, usual in zip(own.static_columns, typical[0], strict=True)
        }
        return _log_parameters(self.simulator, self.names, covariates, len(static)) + self.offset

    @property
    def sd(self) -> Array:
        """``[parameter]`` standard deviation of ln theta among patients with the same covariates."""
        return np.asarray(np.sqrt((self.factor**2).sum(axis=1)))


def _typical(simulator: Any, names: Sequence[str], schema: Schema, statics: Array) -> Array:
    """``[subject, parameter]`` logarithms of the parameters typical for raw covariates."""
    columns, _ = schema.encode_statics(statics)
    covariates = dict(zip(schema.static_columns, columns.T, strict=True))
    return _log_parameters(simulator, names, covariates, len(statics))


def _log_parameters(simulator: Any, names: Sequence[str], covariates: Mapping[str, Array], n: int) -> Array:
    changed = simulator.typical_parameters(covariates) if covariates else {}
    values = [np.broadcast_to(changed.get(name, getattr(simulator, name)), (n,)) for name in names]
    return np.asarray(np.log(np.stack(values, axis=1).astype(np.float64)))
