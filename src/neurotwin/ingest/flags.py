"""What looks odd in a cohort though each value is valid: told, never corrected."""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.events import Observations
from neurotwin.units import conversion

MIN_PAIRS, MIN_DISTINCT = 30, 10
SAME_SHARE, LAG_SHARE = 0.95, 0.05
MAX_ROWS = 2_000_000


def find_flags(cohort: Cohort) -> list[dict[str, Any]]:
    """Variables that copy each other, and measurements that come again exactly one hour later."""
    seen = cohort.observations
    flags = [_flag("two variables have the same values", share, names) for share, names in _copies(cohort)]
    hour = conversion("h", cohort.schema.time_unit).factor
    for number, variable in enumerate(cohort.schema.variables):
        share = _lagged(seen.take(seen.variable == number), hour)
        if share >= LAG_SHARE:
            flags.append(_flag("values come again exactly one hour later", share, [variable.name]))
    return flags


def _flag(what: str, share: float, variables: list[str]) -> dict[str, Any]:
    return {"what": what, "share": round(share, 4), "variables": variables}


def _copies(cohort: Cohort) -> list[tuple[float, list[str]]]:
    """Pairs of variables that agree in nearly all measurements of one subject and instant."""
    seen = cohort.observations.take(np.arange(min(len(cohort.observations), MAX_ROWS)))
    seen = seen.take(seen.censor == 0)
    visits, row = np.unique(np.stack([seen.subject, seen.time], axis=1), axis=0, return_inverse=True)
    table = np.full((len(visits), len(cohort.schema.variables)), np.nan)
    table[row.reshape(-1), seen.variable] = seen.value
    found = []
    for one, other in combinations(range(table.shape[1]), 2):
        both = np.isfinite(table[:, one]) & np.isfinite(table[:, other])
        share = float(np.mean(table[both, one] == table[both, other])) if both.sum() >= MIN_PAIRS else 0.0
        if share >= SAME_SHARE and len(np.unique(table[both, one])) >= MIN_DISTINCT:
            found.append((share, [cohort.schema.variables[number].name for number in (one, other)]))
    return found


def _lagged(seen: Observations, hour: float) -> float:
    """Share of one variable's measurements whose value stands again, same subject, one hour later."""
    if len(seen) < MIN_PAIRS or len(np.unique(seen.value)) < MIN_DISTINCT:
        return 0.0
    tick = np.round(seen.time / hour * 3600.0)
    here, later = (_keys(seen.subject, tick + shift, seen.value) for shift in (3600.0, 0.0))
    return float(np.isin(here, later).mean())


def _keys(subject: NDArray[np.int32], tick: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[Any]:
    packed = np.ascontiguousarray(np.stack([subject.astype(np.float64), tick, value], axis=1))
    return packed.view([("", packed.dtype)] * 3).reshape(-1)
