"""Paired differences between plans, and how sure they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.runtime.answer import draw_quantiles, rounded, rounded_times
from neurotwin.runtime.deadline import check_time
from neurotwin.runtime.paired import AS_DRAWN, KIND, Judged
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.reasons import Reason
from neurotwin.runtime.tried import size_of

Array = NDArray[np.float64]


class Told(NamedTuple):
    """A plan that was answered: its name, joint draws ``[query, obs, draw]``, times ``[query]`` from the plans' start,
    and what it has given by then ``[query, treatment]``."""

    name: str
    draws: Array
    after: Array
    totals: Array


class Differences(NamedTuple):
    """Rows of the answer, and where plans lie outside what intervals of differences were calibrated on."""

    rows: list[dict[str, Any]]
    details: list[str]


def differences(predictor: Predictor, plans: Sequence[Told], start: float) -> Differences:
    """Paired differences ``b - a`` between plans, draw by draw, at the times that both were asked about.

    Args:
        start: the plans' start on the patient's clock.

    Raises DeadlineError: the rows grow with the square of the plans.
    """
    found = Differences([], [])
    for a, b in combinations(plans, 2):
        check_time()
        # Ten digits: one time told in two units is one time.
        common, left, right = np.intersect1d(
            rounded_times(a.after, 10), rounded_times(b.after, 10), return_indices=True
        )
        gap = b.draws[right] - a.draws[left]
        level = predictor.calibration.level
        median, low, high = draw_quantiles(gap, [0.5, (1 - level) / 2, (1 + level) / 2])
        judged = None
        if predictor.paired is not None:
            totals = np.stack([a.totals[left], b.totals[right]], axis=1)
            size = (size_of(a.draws[left]) + size_of(b.draws[right])) / 2
            judged = predictor.paired.apply(common, totals, low, median, high, size)
            low, high = judged.low, judged.high
            found.details.extend(f"{Reason.EXTRAPOLATION}: {a.name}, {b.name}: {why}" for why in judged.why)
        times = list(zip(rounded_times(start + common), rounded_times(common), strict=True))
        found.rows.extend(_rows(predictor, (a.name, b.name), times, (median, low, high), _basis(judged, gap, level)))
    return found


def _basis(judged: Judged | None, gap: Array, level: float) -> list[dict[str, Any]]:
    """What each interval is and rests on, time by time and channel by channel."""
    draws = {"draws": gap.shape[-1]}
    as_drawn = {"level": level, "kind": "joint_draws", **draws}
    if judged is None:
        return [as_drawn] * (gap.shape[0] * gap.shape[1])
    counts, measured = judged.n_patients.ravel().tolist(), np.isfinite(judged.coverage).ravel().tolist()
    shares = rounded(np.nan_to_num(judged.coverage))
    return [
        as_drawn
        if n == AS_DRAWN
        else {"level": level, "kind": KIND, **draws, "calib_n": n, "empirical_coverage": share if known else None}
        for n, share, known in zip(counts, shares, measured, strict=True)
    ]


def _rows(
    predictor: Predictor,
    names: tuple[str, str],
    times: list[tuple[float, float]],
    numbers: tuple[Array, Array, Array],
    basis: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    middles, lows, highs, known = *(iter(rounded(values)) for values in numbers), iter(basis)
    rows = []
    for t, passed in times:
        for variable in predictor.signature.variables:
            median, low, high, about = next(middles), next(lows), next(highs), next(known)
            if math.isnan(median):
                continue  # a silenced channel
            rows.append(
                {
                    "a": names[0],
                    "b": names[1],
                    "t": t,
                    "after": passed,
                    "channel": variable.name,
                    "unit": variable.unit,
                    "median": median,
                    "interval": {**about, "lo": low, "hi": high},
                }
            )
    return rows
