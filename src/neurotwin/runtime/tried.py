"""Pairs of plans that were tried on virtual patients, and how far a difference's interval reaches for such. Numpy only.

Joint draws hold what a model leaves open about a patient, and not its own error. Where virtual patients were simulated
under pairs of plans by their mechanism, that error is known. On each side of a difference's median the interval reaches
as far as ``factor`` times

    (h / h0 + 0.001)^p (m / m0 + 0.001)^q (y / y0 + 0.001)^r

where h is the draws' own reach on that side, m the size of the median, y the mean size of the two plans' medians, and
h0, m0, y0 what is typical of each. The powers make large and small differences hold alike; the factor makes enough of
them hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses

Array = NDArray[np.float64]

BASES = ("treatments", "all", "none")
FEATURES = 3
LEAST = 1e-3
NOTHING = 1e-5
"""Size of a difference, in that of the forecasts, that is rounding of single precision."""


def reach(features: Array, powers: Array, typical: Array) -> Array:
    """``[...]`` the product of powers above; all are ``[..., 3]``."""
    return np.asarray(np.exp((powers * np.log(features / typical + LEAST)).sum(axis=-1)))


def is_nothing(low: Array, median: Array, high: Array, size: Array) -> NDArray[np.bool_]:
    """Where plans do not differ yet: neither in the median nor in any draw."""
    return np.asarray(np.maximum(np.abs(median), high - low) <= NOTHING * size)


def size_of(draws: Array) -> Array:
    """``[query, obs]`` how large a plan's median is, of joint draws ``[query, obs, draw]``."""
    return np.asarray(np.abs(np.median(draws, axis=-1)))


def totals_by(doses: Doses, begin: float, after: Array, n_treatments: int) -> Array:
    """``[time, treatment]`` what one subject's ``doses`` give between ``begin`` and so long after it; of infusions and
    settings, rate or level times duration."""
    until = begin + np.asarray(after, dtype=np.float64)[:, None]
    lasted = np.clip(np.minimum(doses.end, until) - np.maximum(doses.time, begin), 0.0, None)
    acted = np.where(doses.is_bolus, (doses.time >= begin) & (doses.time < until), lasted)
    totals = np.zeros((len(until), n_treatments))
    for treatment in np.unique(doses.treatment):
        own = doses.treatment == treatment
        totals[:, treatment] = acted[:, own] @ doses.amount[own]
    return totals


@dataclass(frozen=True)
class Tried:
    """Pairs of plans of which one at least has given each of these treatments by then, and neither another.

    Attributes:
        treatments: their names.
        totals: ``[horizon, treatment]`` most that a plan gave by then, of all treatments of the bundle.
        factor: ``[horizon, channel]``, NaN where there were too few patients.
        powers, typical: ``[horizon, channel, 3]``.
        n_patients: ``[horizon, channel]`` behind the factor.
        coverage, n_test: ``[horizon, channel]`` measured on other patients, each with the same weight; NaN where not.
        drawn: ``[horizon, channel]`` the same of the joint draws as they are.
        basis: ``[horizon, channel]`` what the factor rests on, a position in `BASES`: pairs that give these treatments,
            pairs that give any (too few give these), or nothing (too few give any).
    """

    treatments: tuple[str, ...]
    totals: Array
    factor: Array
    powers: Array
    typical: Array
    n_patients: NDArray[np.int64]
    coverage: Array
    n_test: NDArray[np.int64]
    drawn: Array
    basis: NDArray[np.int8]

    def interval(
        self, bins: NDArray[np.int64], low: Array, median: Array, high: Array, size: Array
    ) -> tuple[Array, Array]:
        """Ends ``[time, channel]`` at times in these ``bins``; NaN where there were too few patients."""
        factor, powers, typical = self.factor[bins], self.powers[bins], self.typical[bins]
        below, above = (
            factor * reach(np.stack([own, np.abs(median), size], axis=-1), powers, typical)
            for own in (median - low, high - median)
        )
        return median - below, median + above

    def to_dict(self, channels: Sequence[str], units: Sequence[str], treatments: Sequence[str]) -> dict[str, Any]:
        """For JSON; NaN is null."""
        tables = ("factor", "powers", "typical", "n_patients", "coverage", "n_test", "drawn")
        return {
            "treatments": list(self.treatments),
            "totals": {name: self.totals[:, index].tolist() for index, name in enumerate(treatments)},
            "channels": {
                name: {
                    "unit": unit,
                    **{table: _listed(getattr(self, table)[:, index]) for table in tables},
                    "basis": [BASES[code] for code in self.basis[:, index]],
                }
                for index, (name, unit) in enumerate(zip(channels, units, strict=True))
            },
        }

    @classmethod
    def of(
        cls, content: Mapping[str, Any], n_horizons: int, units: Mapping[str, str], treatments: Sequence[str]
    ) -> Self:
        """Back from `to_dict`; raises KeyError, TypeError or ValueError for what is not whole."""
        own = content["channels"]
        if list(own) != list(units) or any(own[name]["unit"] != unit for name, unit in units.items()):
            raise ValueError("other channels")
        names = tuple(str(name) for name in content["treatments"])
        if list(names) != [name for name in treatments if name in names]:
            raise ValueError("other treatments")

        def table(name: str, *more: int) -> Array:
            values = np.stack([_numbers(channel[name]) for channel in own.values()], axis=1)
            if values.shape != (n_horizons, len(own), *more):
                raise ValueError("tables of different sizes")
            return values

        totals = np.stack([_numbers(content["totals"][name]) for name in treatments], axis=1)
        built = cls(
            names,
            totals,
            table("factor"),
            table("powers", FEATURES),
            table("typical", FEATURES),
            table("n_patients").astype(np.int64),
            table("coverage"),
            table("n_test").astype(np.int64),
            table("drawn"),
            np.array([[BASES.index(code) for code in one["basis"]] for one in own.values()], dtype=np.int8).T,
        )
        known = np.isfinite(built.factor)
        sizes = built.basis.shape == built.factor.shape and totals.shape == (n_horizons, len(treatments))
        positive = (built.typical[known] > 0).all() and (built.factor[known] > 0).all()
        if not (sizes and positive and (built.powers[known] >= 0).all() and (totals >= 0).all()):
            raise ValueError("out of range")
        return built


def _listed(values: NDArray[Any]) -> list[Any]:
    if values.ndim > 1:
        return [_listed(row) for row in values]
    return [value if isinstance(value, int) or math.isfinite(value) else None for value in values.tolist()]


def _numbers(values: Any) -> Array:
    """Numbers, null as NaN."""
    told = [[*row] if isinstance(row, list) else row for row in values]
    return np.array(
        [[_number(one) for one in row] if isinstance(row, list) else _number(row) for row in told], dtype=np.float64
    )


def _number(value: Any) -> float:
    if isinstance(value, bool | str):
        raise ValueError("not a number")
    return math.nan if value is None else float(value)
