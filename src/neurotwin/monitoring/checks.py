"""Every feature of a cohort set beside the reference, with one bound on the false alarms of all of them together.

An alarm needs both: a difference that chance hardly makes (adjusted by Holm at the false-alarm rate), and one that
matters (`MATERIAL`); with thousands of patients the first comes without the second. What is one but not the other is to
be watched.
"""

import numpy as np
from numpy.typing import NDArray

from neurotwin.monitoring.features import Feature, Table
from neurotwin.monitoring.reference import FEWEST, Marginal, Reference
from neurotwin.monitoring.report import Check, Verdict
from neurotwin.monitoring.statistics import fisher, holm, kolmogorov_tail, kuiper_tail, stability_index

Array = NDArray[np.float64]
LEAST = 20
"""Patients with a feature below which it is not judged."""
MATERIAL = 0.1
"""Distance of distribution functions, difference of shares, or stability index from which a change matters."""
WORSE = 1.1
"""Error over that of the reference from which a change matters."""
OFF = 0.05
"""Share of truths inside an interval, off its level, from which it matters."""
WATCHED = 0.05
"""Adjusted probability from which on nothing is said."""
DECILES = 10


def check_all(
    table: Table, reference: Reference, *, level: float, false_alarm: float
) -> tuple[list[Check], dict[str, str]]:
    """A check of each feature that both have, and why the others have none.

    Args:
        level: that the intervals aim at.
        false_alarm: probability, at most, of any alarm where nothing changed.
    """
    found: list[Check] = []
    left_out: dict[str, str] = {}
    for column, feature in enumerate(table.features):
        values, marginal = table.values[:, column], reference.marginals.get(feature.name)
        n = int(np.isfinite(values).sum())
        if marginal is None or not marginal.fits(feature):
            left_out[feature.name] = f"the reference has fewer than {2 * FEWEST} patients with it"
        elif n < LEAST:
            left_out[feature.name] = f"{n} patients have it, {LEAST} are needed"
        else:
            found.append(_compare(feature, marginal, values))
    adjusted = holm([one.chance or 0.0 for one in found])
    judged = []
    for one, chance in zip(found, adjusted.tolist(), strict=True):
        verdict, told = _judge(one, chance, level, false_alarm)
        judged.append(one.model_copy(update={"adjusted": chance, "verdict": verdict, "told": told}))
    return judged, left_out


def number_chance(distance: Array, kuiper: Array, n: Array, m: int) -> Array:
    """Probability of a number's two distances where nothing changed, both tests together (Bonferroni)."""
    return np.asarray(np.minimum(1.0, 2 * np.minimum(kolmogorov_tail(distance, n, m), kuiper_tail(kuiper, n, m))))


def category_chance(counts: NDArray[np.int64], reference: NDArray[np.int64]) -> float:
    """The same of a category: Fisher's exact test of each level against the rest (Bonferroni)."""
    n, m = int(counts.sum()), int(reference.sum())
    levels = range(1 if len(counts) == 2 else 0, len(counts))
    return min(1.0, len(levels) * min(fisher(int(counts[k]), n, int(reference[k]), m) for k in levels))


def matters(feature: Feature, distance: float, stability: float, value: float, expected: float, level: float) -> bool:
    """Whether a change is large enough to act on."""
    if feature.group == "accuracy":
        return value >= WORSE * expected
    if feature.group == "calibration" and feature.levels:
        return value <= level - OFF
    return max(distance, stability) >= MATERIAL


def coarse(counts: NDArray[np.int64], reference: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cells merged to about ten of equal size in the reference, as the stability index is used to."""
    cells = len(reference)
    if cells <= DECILES:
        return counts, reference
    below = np.cumsum(reference) - reference
    group = np.minimum(below * DECILES // max(int(reference.sum()), 1), DECILES - 1)
    first = np.flatnonzero(np.r_[True, np.diff(group) > 0])
    return np.add.reduceat(counts, first), np.add.reduceat(reference, first)


def _compare(feature: Feature, marginal: Marginal, values: Array) -> Check:
    counts, known = marginal.count(values), values[np.isfinite(values)]
    n, m = int(counts.sum()), marginal.n
    gap = counts / n - marginal.counts / m
    if feature.levels:
        distance, chance = float(np.abs(gap).max()), category_chance(counts, marginal.counts)
        value, expected = float(counts[-1] / n), float(marginal.counts[-1] / m)
    else:
        steps = np.cumsum(gap)[:-1]
        distance = float(np.abs(steps).max())
        kuiper = float(max(steps.max(), 0.0) - min(steps.min(), 0.0))
        chance = float(number_chance(np.array(distance), np.array(kuiper), np.array(n), m))
        value, expected = float(known.mean()), marginal.mean
    told = len(feature.levels) > 2
    return Check(
        feature=feature.name,
        group=feature.group,
        channel=feature.channel,
        unit=feature.unit,
        levels=feature.levels,
        n=n,
        n_reference=m,
        distance=distance,
        stability=stability_index(*coarse(counts, marginal.counts)),
        chance=chance,
        value=None if told else value,
        expected=None if told else expected,
        edges=tuple(marginal.edges.tolist()),
        counts=tuple(counts.tolist()),
        reference=tuple(marginal.counts.tolist()),
        verdict="ok",
    )


def _judge(one: Check, adjusted: float, level: float, false_alarm: float) -> tuple[Verdict, str]:
    if adjusted > WATCHED:
        return "ok", ""
    feature = Feature(one.feature, one.group, one.channel, one.levels)  # type: ignore[arg-type]
    value, expected = one.value or 0.0, one.expected or 0.0
    large = matters(feature, one.distance or 0.0, one.stability or 0.0, value, expected, level)
    told = _say(one, value, expected)
    if adjusted <= false_alarm and large:
        return "alarm", told
    return "watch", f"{told}; {'could be chance' if adjusted > false_alarm else 'too small to act on'}"


def _say(one: Check, value: float, expected: float) -> str:
    """The change in words."""
    if one.group == "accuracy":
        return f"the error is {value / expected:.2f} times the reference's" if expected else "another error"
    if one.group == "calibration" and one.levels:
        return f"{value:.1%} inside the interval, {expected:.1%} in the reference"
    if len(one.levels) == 2:
        return f"{one.levels[1]}: {value:.1%}, {expected:.1%} in the reference"
    if one.levels:
        gap = np.array(one.counts) / one.n - np.array(one.reference) / one.n_reference
        place = int(np.abs(gap).argmax())
        share = np.array([one.counts[place] / one.n, one.reference[place] / one.n_reference])
        return f"{one.levels[place]}: {share[0]:.1%}, {share[1]:.1%} in the reference"
    return f"mean {value:.4g}, {expected:.4g} in the reference"
