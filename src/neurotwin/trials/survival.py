"""Times to an event: Kaplan-Meier curves, log-rank tests, hazard ratios, restricted mean times."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.extras import need
from neurotwin.trials.effects import Effect

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


class KaplanMeier(NamedTuple):
    """A survival curve: steps at ``time`` ``[event time]`` with ``survival``, its interval on the log(-log) scale,
    and the ``median`` with its interval (NaN where it is not reached)."""

    time: Array
    survival: Array
    low: Array
    high: Array
    median: float
    median_low: float
    median_high: float
    events: int
    n: int


def kaplan_meier(time: Array, event: Flags, confidence: float) -> KaplanMeier:
    """The curve of one group, by statsmodels."""
    kept = np.isfinite(time)
    time, event = time[kept], event[kept]
    if not event.any():
        none = np.zeros(0)
        return KaplanMeier(none, none, none, none, np.nan, np.nan, np.nan, 0, len(time))
    found: Any = need("statsmodels.duration.survfunc", "baselines").SurvfuncRight(time, event)
    normal = need("scipy.stats", "simulate").norm.ppf(0.5 + confidence / 2)
    share = np.asarray(found.surv_prob)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = normal * np.asarray(found.surv_prob_se) / (share * np.log(share))
        low, high = (np.where((share > 0) & (share < 1), share ** np.exp(s * spread), share) for s in (-1, 1))
    low, high = np.minimum(low, high), np.maximum(low, high)
    median_low, median_high = (_median(found.surv_times, side) for side in (low, high))
    return KaplanMeier(
        np.asarray(found.surv_times), share, low, high, _median(found.surv_times, share), median_low, median_high,
        int(event.sum()), len(time),
    )  # fmt: skip


def _median(time: Array, share: Array) -> float:
    below = np.flatnonzero(share <= 0.5)
    return float(time[below[0]]) if len(below) else float("nan")


def at_risk(time: Array, ticks: Array) -> list[int]:
    """How many are still watched at each tick."""
    kept = time[np.isfinite(time)]
    return [int((kept >= tick).sum()) for tick in ticks]


def log_rank(time: Array, event: Flags, treated: Flags, stratum: NDArray[np.int64] | None = None) -> float:
    """p value of the log-rank test, stratified where strata are given; 1 where nothing happened."""
    kept = np.isfinite(time)
    if not event[kept].any() or treated[kept].all() or not treated[kept].any():
        return 1.0
    if stratum is not None:
        kept &= ~np.isin(
            stratum, [one for one in np.unique(stratum) if not _tells(stratum == one, kept, event, treated)]
        )
        if not kept.any():
            return 1.0
    test = need("statsmodels.duration.survfunc", "baselines").survdiff
    many = stratum is not None and len(np.unique(stratum[kept])) > 1
    with np.errstate(invalid="ignore", divide="ignore"):
        _, p = test(
            time[kept], event[kept], treated[kept], strata=stratum[kept] if many and stratum is not None else None
        )
    return float(p) if np.isfinite(p) else 1.0


def _tells(mine: Flags, kept: Flags, event: Flags, treated: Flags) -> bool:
    """Whether a stratum says anything: both arms and an event."""
    mine = mine & kept
    return bool(event[mine].any() and treated[mine].any() and not treated[mine].all())


def hazard_ratio(
    time: Array, event: Flags, treated: Flags, confidence: float, stratum: NDArray[np.int64] | None = None
) -> Effect | None:
    """Cox's hazard ratio (Efron's ties), with Wald's interval; None where an arm has no event."""
    kept = np.isfinite(time)
    if not event[kept & treated].any() or not event[kept & ~treated].any():
        return None
    model: Any = need("statsmodels.duration.hazard_regression", "baselines").PHReg(
        time[kept],
        treated[kept, None].astype(np.float64),
        status=event[kept].astype(np.int64),
        strata=None if stratum is None else stratum[kept],
        ties="efron",
    )
    fit = model.fit(disp=0)
    low, high = np.exp(fit.conf_int(1 - confidence)[0])
    return Effect(
        float(np.exp(fit.params[0])), float(low), float(high), float(fit.bse[0]), float(fit.pvalues[0]), "Cox, Wald",
        int(kept.sum()),
    )  # fmt: skip


def restricted_mean(time: Array, event: Flags, until: float) -> tuple[float, float]:
    """Mean time without the event up to ``until``, and its standard error.

    The area under the Kaplan-Meier curve, with the variance of Klein and Moeschberger (Survival Analysis, 2nd ed., eq.
    4.5.2), without which the difference of Royston and Parmar (BMC Med Res Methodol 13:152, 2013) has no interval.
    """
    kept = np.isfinite(time)
    time, event = time[kept], event[kept]
    steps, inverse = np.unique(time[event & (time <= until)], return_inverse=True)
    died = np.bincount(inverse, minlength=len(steps))
    risk = len(time) - np.searchsorted(np.sort(time), steps, side="left")
    survival = np.cumprod(1 - died / np.maximum(risk, 1))
    edges, heights = np.concatenate([[0.0], steps, [until]]), np.concatenate([[1.0], survival])
    area = np.diff(edges) * heights
    ahead = np.cumsum(area[::-1])[::-1][1:]  # from each event on
    gone = died / np.maximum(risk * (risk - died), 1)
    return float(area.sum()), float(np.sqrt((ahead**2 * np.where(risk > died, gone, 0.0)).sum()))


def restricted_mean_difference(time: Array, event: Flags, treated: Flags, until: float, confidence: float) -> Effect:
    """Difference of the restricted means, with a normal interval."""
    normal = need("scipy.stats", "simulate").norm
    (one, one_se), (other, other_se) = (restricted_mean(time[side], event[side], until) for side in (treated, ~treated))
    se = float(np.hypot(one_se, other_se))
    half = normal.ppf(0.5 + confidence / 2) * se
    gap = one - other
    p = float(2 * normal.sf(abs(gap) / se)) if se > 0 else 1.0
    return Effect(gap, gap - half, gap + half, se, p, "restricted mean", int(np.isfinite(time).sum()))
