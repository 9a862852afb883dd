"""Whether two engines tell the same of a trial: means, effects and courses of one population under each."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.trials.analysis import Pool, true_effect
from neurotwin.trials.courses import Courses
from neurotwin.trials.endpoints import Outcome
from neurotwin.trials.survival import restricted_mean

Array = NDArray[np.float64]


def agreement(
    mechanistic: Mapping[str, Pool], surrogate: Mapping[str, Pool], untils: Mapping[str, float], tolerance: float
) -> dict[str, Any]:
    """Per endpoint: mean under each arm and effect by each engine, and their gaps in standard deviations of the
    mechanistic outcome. An endpoint agrees when no gap is greater than ``tolerance``."""
    rows = {}
    for name, ours in mechanistic.items():
        theirs = surrogate[name]
        spread = _spread(ours)
        arms = {}
        for arm in ("control", "treated"):
            one, other = _level(getattr(ours, arm), untils[name]), _level(getattr(theirs, arm), untils[name])
            arms[arm] = {"mechanistic": one, "surrogate": other, "gap": (other - one) / spread}
        first, second = (_effect(pool, untils[name]) for pool in (ours, theirs))
        effect = {"mechanistic": first, "surrogate": second, "gap": (second - first) / spread}
        worst = max(abs(row["gap"]) for row in (*arms.values(), effect))
        rows[name] = {
            "sd": spread,
            "arms": arms,
            "effect": effect,
            "same_direction": bool(np.sign(first) == np.sign(second)),
            "worst_gap": worst,
            "tolerance": tolerance,
            "agrees": bool(worst <= tolerance),
        }
    return rows


def _level(outcome: Outcome, until: float) -> float:
    """Mean; of a time its restricted mean, of all subjects."""
    if outcome.event is None:
        return float(np.nanmean(outcome.value))
    return restricted_mean(outcome.value, outcome.event, until)[0]


def _effect(pool: Pool, until: float) -> float:
    told = true_effect(pool, until)
    return told["restricted_mean"] if "restricted_mean" in told else told["difference"]


def _spread(pool: Pool) -> float:
    both = np.concatenate([pool.control.value, pool.treated.value])
    return max(float(np.nanstd(both)), 1e-12)


def mean_courses(courses: Courses, variable: int, n_bins: int = 24) -> dict[str, dict[str, list[float]]]:
    """By arm: mean and central 80 % of what was measured, in bins of time from the start; on the logarithm's scale,
    for variables that are modelled there."""
    log = courses.schema.variables[variable].transform == "log"
    end = float(np.nanmax(courses.time))
    visits = int(np.isfinite(courses.time).sum(axis=1).max())
    edges = np.linspace(-1e-9, end * (1 + 1e-9), min(n_bins, visits) + 1)
    found = {}
    for arm, table in courses.measured.items():
        rows: dict[str, list[float]] = {"time": [], "mean": [], "low": [], "high": []}
        place = np.digitize(courses.time, edges) - 1
        for one in range(len(edges) - 1):
            here = (place == one) & np.isfinite(courses.time) & np.isfinite(table[:, :, variable])
            if here.sum() < 10:
                continue
            value = table[:, :, variable][here]
            value = np.log(np.maximum(value, 1e-12)) if log else value
            told = [float(value.mean()), *np.quantile(value, [0.1, 0.9]).tolist()]
            rows["time"].append(float(courses.time[here].mean() - courses.cut))
            for key, number in zip(("mean", "low", "high"), np.exp(told) if log else told, strict=True):
                rows[key].append(float(number))
        found[arm] = rows
    return found
