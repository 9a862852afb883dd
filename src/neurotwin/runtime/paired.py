"""The ``differences`` part of ``calibration.json``: intervals of paired differences, by what the plans have given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import check_horizons, horizon_bins
from neurotwin.errors import BundleError, ConfigError
from neurotwin.runtime.tried import Tried, is_nothing

if TYPE_CHECKING:
    from neurotwin.runtime.channels import Signature

Array = NDArray[np.float64]

PART, KIND, FORMAT = "differences", "split_conformal_of_differences", 1
AS_DRAWN = -1
ALIKE = 1 + 1e-9
"""By how much two numbers that are one may differ, converted from two units."""


class Judged(NamedTuple):
    """Intervals ``[time, channel]``: their ends; the patients behind each, 0 where the plans lie outside what was tried
    and `AS_DRAWN` where the ends are the joint draws'; the coverage measured, NaN where it was not; and why plans lie
    outside."""

    low: Array
    high: Array
    n_patients: NDArray[np.int64]
    coverage: Array
    why: list[str]


@dataclass(frozen=True)
class PairedCalibration:
    """How far the intervals of paired differences reach.

    Attributes:
        level: of the intervals.
        time_unit: of the horizons.
        horizons: upper edges of the bins, counted from the plans' start; finite.
        units: of the bundle's channels, by name.
        treatments: of the bundle.
        groups: by treatments given.
        pairs: who was simulated under which plans, for people.
    """

    level: float
    time_unit: str
    horizons: Array
    units: Mapping[str, str]
    treatments: tuple[str, ...]
    groups: tuple[Tried, ...]
    pairs: Mapping[str, Any]

    def apply(self, after: Array, totals: Array, low: Array, median: Array, high: Array, size: Array) -> Judged:
        """Intervals of one pair of plans.

        Args:
            after: ``[time]`` from the plans' start.
            totals: ``[time, plan, treatment]`` given by then.
            low, median, high: ``[time, channel]`` of the joint draws' differences.
            size: ``[time, channel]`` mean size of the plans' medians.
        """
        found = Judged(low.copy(), high.copy(), np.full(low.shape, AS_DRAWN), np.full(low.shape, np.nan), [])
        given: NDArray[np.bool_] = np.any(totals > 0, axis=1)
        differ = ~is_nothing(low, median, high, size) & np.any(given, axis=1, keepdims=True)
        bins = horizon_bins(np.asarray(after) / ALIKE, self.horizons)
        beyond = bins < 0
        if (beyond & differ.any(axis=1)).any():
            found.why.append(f"differences tried up to {self.horizons[-1]:g} {self.time_unit}")
        bins = np.where(beyond, len(self.horizons) - 1, bins)
        for pattern in np.unique(given[differ.any(axis=1)], axis=0):
            group = self._group(pattern, found.why)
            if group is None:
                continue
            rows = np.flatnonzero((given == pattern).all(axis=1))
            more = totals[rows].max(axis=1) > group.totals[bins[rows]] * ALIKE
            for column in np.flatnonzero(more.any(axis=0)):
                most = group.totals[bins[rows[more[:, column]]], column].max()
                found.why.append(f"{self.treatments[column]} in total, differences tried up to {most:g} by then")
            outside = more.any(axis=1) | beyond[rows]
            ends = group.interval(bins[rows], *(values[rows] for values in (low, median, high, size)))
            self._put(found, group, rows, bins[rows], outside, differ[rows], ends)
        return found

    def _group(self, pattern: NDArray[np.bool_], why: list[str]) -> Tried | None:
        names = tuple(name for name, told in zip(self.treatments, pattern, strict=True) if told)
        group = next((one for one in self.groups if one.treatments == names), None)
        if group is None:
            why.append(f"differences of {' with '.join(names)} were not tried")
        return group

    @staticmethod
    def _put(
        found: Judged,
        group: Tried,
        rows: NDArray[np.int64],
        bins: NDArray[np.int64],
        outside: NDArray[np.bool_],
        differ: NDArray[np.bool_],
        ends: tuple[Array, Array],
    ) -> None:
        """Enter a group's intervals. Outside what was tried none gets narrower than the draws' own."""
        low, high = found.low[rows], found.high[rows]
        beside = outside[:, None]
        told = differ & np.isfinite(ends[0])
        if (differ & ~told).any():
            found.why.append("differences tried on too few patients at some of the times")
        found.low[rows] = np.where(told, np.where(beside, np.minimum(low, ends[0]), ends[0]), low)
        found.high[rows] = np.where(told, np.where(beside, np.maximum(high, ends[1]), ends[1]), high)
        found.n_patients[rows] = np.where(told, np.where(beside, 0, group.n_patients[bins]), AS_DRAWN)
        found.coverage[rows] = np.where(told & ~beside, group.coverage[bins], np.nan)

    def to_dict(self) -> dict[str, Any]:
        """The part of ``calibration.json``."""
        return {
            "schema_version": FORMAT,
            "kind": KIND,
            "level": self.level,
            "time_unit": self.time_unit,
            "horizons": self.horizons.tolist(),
            "groups": [one.to_dict([*self.units], [*self.units.values()], self.treatments) for one in self.groups],
            "pairs": dict(self.pairs),
        }

    @classmethod
    def of(cls, calibration: Mapping[str, Any], signature: Signature) -> Self | None:
        """From a bundle's calibration, None where it has no such part; raises BundleError for one that is not whole."""
        if PART not in calibration:
            return None
        try:
            return cls._read(calibration[PART], calibration["level"], signature)
        except (ConfigError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(f"not readable ({type(error).__name__})", where="calibration.json: differences") from None

    @classmethod
    def _read(cls, content: Mapping[str, Any], level: Any, signature: Signature) -> Self:
        if content["schema_version"] != FORMAT or content["kind"] != KIND or content["level"] != level:
            raise ValueError("of another kind or level")
        if content["time_unit"] != signature.time_unit:
            raise ValueError("other times")
        units = {channel.name: channel.unit for channel in signature.variables}
        treatments = tuple(channel.name for channel in signature.treatments)
        horizons = check_horizons(content["horizons"])
        if not np.isfinite(horizons).all():
            raise ValueError("an open horizon")
        groups = tuple(Tried.of(one, len(horizons), units, treatments) for one in content["groups"])
        if len({one.treatments for one in groups}) < len(groups):
            raise ValueError("a group stands twice")
        return cls(float(level), signature.time_unit, horizons, units, treatments, groups, dict(content["pairs"]))
