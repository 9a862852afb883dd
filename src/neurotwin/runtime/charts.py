"""Charts of one channel's records: does its score drift, is it stuck?"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurotwin.runtime.reading import SAME

Array = NDArray[np.float64]
WINSOR = 3.0
"""A score beyond it counts as this much in a chart, so that a single wild record is no drift: Hawkins 1993, J Qual
Technol 25:248."""


@dataclass(frozen=True)
class Drift:
    """A signal of a CUSUM: the record that raised it, the first one since the sum was last zero, and the shift that
    the sum tells, in standard deviations (reference plus the sum's slope: Montgomery, Introduction to Statistical
    Quality Control, 7th ed., section 9.1)."""

    at: int
    first: int
    shift: float


def cusum(scores: Array, reference: float, limit: float) -> list[Drift]:
    """Signals of a two-sided CUSUM, which begins anew after each; scores that are NaN are passed over.

    Page 1954, Biometrika 41:100.
    """
    signals, total, first = [], [0.0, 0.0], [0, 0]
    for index, score in enumerate(scores.tolist()):
        if math.isnan(score):
            continue
        score = max(-WINSOR, min(WINSOR, score))
        for side, sign in enumerate((1.0, -1.0)):
            if total[side] == 0:
                first[side] = index
            total[side] = max(0.0, total[side] + sign * score - reference)
        side = int(total[1] > total[0])
        if total[side] > limit:
            n = int((~np.isnan(scores[first[side] : index + 1])).sum())
            shift = reference + total[side] / n
            signals.append(Drift(index, first[side], -shift if side else shift))
            total = [0.0, 0.0]
    return signals


def average_run_length(reference: float, limit: float, shift: float = 0.0) -> float:
    """Records until a two-sided CUSUM signals, on average, of independent standard normal scores with a ``shift``.

    Siegmund 1985, Sequential Analysis, section 2.6: ``(exp(-2 d b) + 2 d b - 1) / (2 d**2)`` of each side, with the
    drift ``d`` of the sum and ``b = limit + 1.166``; the sides' rates add up.
    """
    rate = 0.0
    for sign in (1.0, -1.0):
        drift, height = sign * shift - reference, limit + 1.166
        steep = 2 * drift * height
        if steep < -700:  # this side never signals
            continue
        one_sided = height**2 if abs(drift) < 1e-9 else (math.exp(-steep) + steep - 1) / (2 * drift**2)
        rate += 1 / one_sided
    return 1 / rate if rate else math.inf


def resolutions(values: Array) -> Array:
    """``[record]`` least difference between two different values up to and with each; NaN while all are the same.

    Of a rounded channel it is never less than the step it is rounded to, in whatever unit that was.
    """
    known: list[float] = []
    least, found = math.nan, []
    for value in values.tolist():
        place = bisect_left(known, value)
        near = [abs(other - value) for other in known[max(place - 1, 0) : place + 1]]
        if not any(gap <= SAME * abs(value) for gap in near):
            least = min([least, *near]) if math.isfinite(least) else min(near, default=math.nan)
            insort(known, value)
        found.append(least)
    return np.array(found)


def spreads(values: Array, length: int) -> Array:
    """``[record]`` range of the last ``length`` values up to and with each; infinite while there are fewer."""
    found = np.full(len(values), np.inf)
    if len(values) >= length:
        windows = np.lib.stride_tricks.sliding_window_view(values, length)
        found[length - 1 :] = windows.max(axis=1) - windows.min(axis=1)
    return found
