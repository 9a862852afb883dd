"""Conformal calibration of forecast intervals: the factors of ``calibration.json`` and how they are applied.

One factor per horizon bin and channel stretches the forecast's quantiles about its median, on the channel's modelling
scale, so that the interval at ``level`` covered that share of the values of patients who took no part in training
(each patient with the same weight). A site may fit the factors again without touching the graph.

Numpy only: the runtime applies what `neurotwin.evaluation.calibration` fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurotwin.episodes import Forecast
from neurotwin.errors import BundleError, ConfigError

if TYPE_CHECKING:  # the runtime applies factors without importing pydantic
    from neurotwin.schema import Schema, Variable

Array = NDArray[np.float64]

FORMAT = 1
KIND = "split_conformal_by_patient"
BASES = ("bin", "channel", "all", "none")


def level_position(levels: Array, level: float) -> int | None:
    """Where ``level`` stands among ``levels`` (to 1e-6), or None."""
    found = np.flatnonzero(np.abs(np.asarray(levels) - level) < 1e-6)
    return int(found[0]) if len(found) else None


def interval_positions(levels: Array, level: float) -> tuple[int, int] | None:
    """Where the two ends of the central interval at ``level`` stand among the quantile ``levels``, or None."""
    low, high = level_position(levels, (1 - level) / 2), level_position(levels, (1 + level) / 2)
    return None if low is None or high is None else (low, high)


def check_horizons(horizons: ArrayLike) -> Array:
    """Upper edges of the horizon bins; raises ConfigError unless they are positive and rise (the last may be inf)."""
    edges = np.asarray(horizons, dtype=np.float64)
    if edges.ndim != 1 or not len(edges) or not edges[0] > 0 or not (np.diff(edges) > 0).all():
        raise ConfigError(
            "the horizons do not rise", where="horizons", expected="positive rising upper edges, such as [30, 90, inf]"
        )
    return edges


def horizon_bins(horizon: ArrayLike, edges: Array) -> NDArray[np.int64]:
    """Bin of each horizon: 0 up to and with the first edge, and so on; -1 beyond the last edge."""
    position = np.searchsorted(edges, np.asarray(horizon, dtype=np.float64), side="left")
    return np.where(position < len(edges), position, -1).astype(np.int64)


@dataclass(frozen=True)
class Calibration:
    """Factors by which a forecast's intervals are stretched. Arrays are ``[horizon, channel]``.

    Attributes:
        level: the probability that the calibrated interval aims at.
        time_unit: UCUM unit of the horizons.
        horizons: ``[horizon]`` upper edges of the bins, counted from the cut; the last may be inf.
        channels, units: ``[channel]`` names of the variables and their units.
        factor: stretch about the median, 1 = leave as it is.
        n_patients: patients behind the factor.
        basis: what the factor rests on, a position in `BASES`: this bin, the whole channel (too few patients in the
            bin), all channels (too few in the channel), or nothing: of a bernoulli the probability is the answer, and
            its interval is left as the model says.
        coverage: share covered among test patients, each with the same weight; NaN where not measured.
        n_test: patients behind ``coverage``.
        description: whose data these are.
    """

    level: float
    time_unit: str
    horizons: Array
    channels: tuple[str, ...]
    units: tuple[str, ...]
    factor: Array
    n_patients: NDArray[np.int64]
    basis: NDArray[np.int8]
    coverage: Array
    n_test: NDArray[np.int64]
    description: str = ""

    def bins(self, horizon: ArrayLike) -> NDArray[np.int64]:
        """Bin of each horizon, -1 beyond the last: nothing is known about the intervals there."""
        return horizon_bins(horizon, self.horizons)

    def apply(self, forecast: Forecast, horizon: ArrayLike, schema: Schema) -> Forecast:
        """Stretch the quantiles about the median, and make of these latent values what is recorded of them; draws and
        means stay.

        So no quantile leaves the support of its variable. All quantiles of a channel are stretched alike, though only
        the interval at ``level`` was calibrated; those of a bernoulli are not. Beyond the last horizon the quantiles
        are NaN (the median apart) and ``ok`` is False.

        Args:
            forecast: quantiles ``[query, obs, quantile]`` in the variables' units.
            horizon: ``[query]`` time from the cut, in ``time_unit``.
            schema: of the forecast.

        Raises:
            BundleError: a variable of the schema has no factor, or another unit.
        """
        columns = self._columns(schema)
        bins = self.bins(horizon)
        inside = bins >= 0
        middle = int(np.argmin(np.abs(forecast.levels - 0.5)))
        factor = np.where(inside[:, None], self.factor[bins][:, columns], np.nan)
        quantiles = np.array(forecast.quantiles, dtype=np.float64)
        for index, variable in enumerate(schema.variables):
            quantiles[:, index] = _stretch(quantiles[:, index], middle, factor[:, index], variable)
        ok = inside if forecast.ok is None else inside & forecast.ok
        return replace(forecast, quantiles=quantiles, ok=None if ok.all() else ok)

    def to_dict(self) -> dict[str, Any]:
        """Content of ``calibration.json``: finite numbers or null (an open last horizon, a coverage not measured)."""
        channels = {}
        for index, (name, unit) in enumerate(zip(self.channels, self.units, strict=True)):
            channels[name] = {
                "unit": unit,
                "factor": self.factor[:, index].tolist(),
                "n_patients": self.n_patients[:, index].tolist(),
                "basis": [BASES[code] for code in self.basis[:, index]],
                "coverage": [_finite(value) for value in self.coverage[:, index]],
                "n_test": self.n_test[:, index].tolist(),
            }
        return {
            "schema_version": FORMAT,
            "kind": KIND,
            "level": self.level,
            "time_unit": self.time_unit,
            "horizons": [_finite(edge) for edge in self.horizons],
            "channels": channels,
            "description": self.description,
        }

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Read what `to_dict` wrote; raises BundleError when it is not that."""
        try:
            built = cls._read(content)
        except (ConfigError, KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise BundleError(
                f"not a readable calibration ({type(error).__name__})", where="calibration.json"
            ) from None
        shape = (len(built.horizons), len(built.channels))
        tables = [getattr(built, item.name) for item in fields(built) if item.name in _TABLES]
        if any(table.shape != shape for table in tables):
            raise BundleError("the tables have different sizes", where="calibration.json", expected=f"{shape} each")
        if not (np.isfinite(built.factor) & (built.factor >= 0)).all() or not 0 < built.level < 1:
            raise BundleError(
                "a factor or the level is out of range", where="calibration.json", expected="factors >= 0"
            )
        return built

    @classmethod
    def _read(cls, content: Any) -> Self:
        if content["schema_version"] != FORMAT or content["kind"] != KIND:
            raise BundleError("a calibration of another kind", where="calibration.json", expected=f"{KIND} {FORMAT}")
        edges = content["horizons"]
        if any(edge is None for edge in edges[:-1]):
            raise ValueError
        channels = content["channels"]

        def table(name: str, kind: Any) -> NDArray[Any]:
            return np.array([[kind(value) for value in channel[name]] for channel in channels.values()]).T

        return cls(
            level=float(content["level"]),
            time_unit=str(content["time_unit"]),
            horizons=check_horizons([math.inf if edge is None else float(edge) for edge in edges]),
            channels=tuple(channels),
            units=tuple(str(channel["unit"]) for channel in channels.values()),
            factor=table("factor", float),
            n_patients=table("n_patients", int),
            basis=table("basis", BASES.index).astype(np.int8),
            coverage=table("coverage", lambda value: math.nan if value is None else float(value)),
            n_test=table("n_test", int),
            description=str(content["description"]),
        )

    def _columns(self, schema: Schema) -> list[int]:
        known = {name: index for index, name in enumerate(self.channels)}
        for variable in schema.variables:
            if variable.name not in known or self.units[known[variable.name]] != variable.unit:
                raise BundleError(
                    f"no factor for {variable.name} in {variable.unit}",
                    where="calibration.json",
                    expected=", ".join(f"{a} ({b})" for a, b in zip(self.channels, self.units, strict=True)),
                    remedy="calibrate with the schema of the bundle",
                )
        return [known[variable.name] for variable in schema.variables]


_TABLES = ("factor", "n_patients", "basis", "coverage", "n_test")


def modelled(variable: Variable, value: Array) -> Array:
    """Values on the variable's modelling scale; -inf or NaN where that scale does not reach."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return variable.recorded_as.forward(value)


def _stretch(quantiles: Array, middle: int, factor: Array, variable: Variable) -> Array:
    """What is recorded of the quantiles ``[query, quantile]`` stretched by ``factor[query]`` about the one at
    ``middle``, which stays exact."""
    head = variable.recorded_as
    if head.kind == "bernoulli":
        factor = np.where(np.isnan(factor), np.nan, 1.0)
    scaled = modelled(variable, quantiles)
    centre = scaled[:, middle : middle + 1]
    with np.errstate(invalid="ignore", over="ignore"):
        stretched = head.inverse(centre + factor[:, None] * (scaled - centre))
    stretched[:, middle] = quantiles[:, middle]
    return head.recorded(stretched)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
