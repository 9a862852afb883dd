"""What looks odd in a cohort though each value is valid: told, never corrected."""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.events import Observations
from neurotwin.schema import Schema
from neurotwin.units import conversion

MIN_PAIRS, MIN_DISTINCT = 30, 10
SAME_SHARE, LAG_SHARE = 0.95, 0.05
MAX_ROWS = 2_000_000


class FlagFinder:
    """Looks at a cohort part by part; a part holds all measurements of its subjects.

    It finds variables that copy each other, and measurements that come again exactly one hour later. The former are
    looked for in the first `MAX_ROWS` measurements.
    """

    def __init__(self, schema: Schema) -> None:
        self._names = [one.name for one in schema.variables]
        self._hour = conversion("h", schema.time_unit).factor
        self._rows = 0
        self._pairs = {pair: _Pair() for pair in combinations(range(len(self._names)), 2)}
        self._lags = [_Pair() for _ in self._names]

    def add(self, cohort: Cohort) -> None:
        """Look at a part."""
        self._add_copies(cohort.observations)
        for number, lag in enumerate(self._lags):
            seen = cohort.observations.take(cohort.observations.variable == number)
            lag.add(_lagged(seen, self._hour), seen.value)

    def flags(self) -> list[dict[str, Any]]:
        """What looked odd: what, the share of measurements, and the variables."""
        flags = [
            _flag("two variables have the same values", found.share, [self._names[one] for one in pair])
            for pair, found in self._pairs.items()
            if found.share >= SAME_SHARE
        ]
        for name, lag in zip(self._names, self._lags, strict=True):
            if lag.share >= LAG_SHARE:
                flags.append(_flag("values come again exactly one hour later", lag.share, [name]))
        return flags

    def _add_copies(self, seen: Observations) -> None:
        """Count pairs of variables that agree in measurements of one subject and instant."""
        seen = seen.take(np.arange(min(len(seen), MAX_ROWS - self._rows)))
        self._rows += len(seen)
        seen = seen.take(seen.censor == 0)
        if not len(seen):
            return
        fresh = np.r_[True, (np.diff(seen.subject) != 0) | (np.diff(seen.time) != 0)]
        visit = np.cumsum(fresh) - 1
        columns = []
        for number in range(len(self._names)):
            column = np.full(int(visit[-1]) + 1, np.nan)
            column[visit[seen.variable == number]] = seen.value[seen.variable == number]
            columns.append(column)
        for (one, other), found in self._pairs.items():
            both = np.isfinite(columns[one]) & np.isfinite(columns[other])
            found.add(columns[one][both] == columns[other][both], columns[one][both])


class _Pair:
    """How many of some measurements match, and some of their distinct values."""

    def __init__(self) -> None:
        self._count, self._matches = 0, 0
        self._values: set[float] = set()

    def add(self, matches: NDArray[np.bool_], values: NDArray[np.float64]) -> None:
        self._count += len(matches)
        self._matches += int(matches.sum())
        if len(self._values) < MIN_DISTINCT:
            self._values.update(np.unique(values)[:MIN_DISTINCT].tolist())

    @property
    def share(self) -> float:
        """Share of the matches; 0 where there is too little to tell."""
        enough = self._count >= MIN_PAIRS and len(self._values) >= MIN_DISTINCT
        return self._matches / self._count if enough else 0.0


def _flag(what: str, share: float, variables: list[str]) -> dict[str, Any]:
    return {"what": what, "share": round(share, 4), "variables": variables}


def _lagged(seen: Observations, hour: float) -> NDArray[np.bool_]:
    """Which of one variable's measurements, sorted by subject and time, stand again one hour later."""
    tick = np.round(seen.time / hour * 3600.0)
    again = np.zeros(len(seen), dtype=np.bool_)
    if not len(seen):
        return again
    # Instants first, which are sorted already; values only of those that have something an hour later.
    span = tick.max() - tick.min() + 3601.0
    instant = seen.subject * span + (tick - tick.min())
    if instant[-1] < 2.0**53:
        behind = np.minimum(np.searchsorted(instant, instant + 3600.0), len(instant) - 1)
        maybe = np.flatnonzero(instant[behind] == instant + 3600.0)
    else:
        maybe = np.arange(len(seen))
    here = _keys(seen.subject[maybe], tick[maybe] + 3600.0, seen.value[maybe])
    again[maybe] = np.isin(here, _keys(seen.subject, tick, seen.value)) if len(maybe) else False
    return again


def _keys(subject: NDArray[np.int32], tick: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[Any]:
    packed = np.ascontiguousarray(np.stack([subject.astype(np.float64), tick, value], axis=1))
    return packed.view([("", packed.dtype)] * 3).reshape(-1)
