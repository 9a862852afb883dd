"""Patients one after the other: the tests of `checks` at every look, with one bound on all false alarms for ever.

Every ``step`` patients each feature of the last ``window`` patients, and of all so far, is set beside the reference.
Look number j spends the share 6 / (pi j)^2 of the false-alarm rate, split evenly between the two windows and all
features: the sum over all looks is the rate, however long the stream (Bonferroni; alpha spending, Lan & DeMets 1983,
Biometrika 70:659). The short window catches a change that comes late, the whole stream a small one.
"""

import math

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.monitoring.checks import LEAST, category_chance, coarse, matters, number_chance
from neurotwin.monitoring.features import Feature, Table
from neurotwin.monitoring.reference import Marginal, Reference
from neurotwin.monitoring.report import Flag, Look, StreamReport
from neurotwin.monitoring.statistics import stability_index

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def watch(
    table: Table,
    reference: Reference,
    *,
    level: float,
    false_alarm: float = 0.01,
    step: int = 25,
    window: int = 100,
    order: str = "as the cohort stands",
) -> StreamReport:
    """Look at a stream of patients.

    Args:
        table: features ``[patient, feature]`` in the order in which the patients came.
        level: that the intervals aim at.
        false_alarm: probability, at most, of any alarm on a stream of any length in which nothing changed.
        step: patients between two looks.
        window: patients of the last window, a multiple of ``step``.
        order: how the patients were ordered, for the report.

    Raises:
        ConfigError: ``step`` or ``window`` out of range.
    """
    if step < 1 or window < step or window % step:
        raise ConfigError(f"step {step}, window {window}", where="stream", expected="a window of whole steps")
    judged = [
        (column, feature, reference.marginals[feature.name])
        for column, feature in enumerate(table.features)
        if feature.name in reference.marginals and reference.marginals[feature.name].fits(feature)
    ]
    looks = len(table) // step
    share = false_alarm * 6 / (math.pi * np.arange(1, looks + 1)) ** 2 / max(2 * len(judged), 1)
    distances: dict[str, Array] = {}
    flags = []
    for column, feature, marginal in judged:
        so_far, sums = _blocks(marginal, table.values[: looks * step, column], step)
        last = so_far.copy()
        last[window // step :] -= so_far[: -(window // step)]
        found = [
            _alarms(feature, marginal, counts, values, share, level)
            for counts, values in ((last, _windowed(sums, window // step)), (so_far, sums))
        ]
        distances[feature.name] = found[0][1]
        first = [(int(alarm.argmax()), place) for place, (alarm, _) in enumerate(found) if alarm.any()]
        if first:
            look, place = min(first)
            seen = (look + 1) * step
            flags.append(Flag(feature=feature.name, patients=seen, window=seen if place else min(window, seen)))
    return StreamReport(
        order=order,
        step=step,
        window=window,
        n=len(table),
        false_alarm=false_alarm,
        looks=tuple(
            Look(
                patients=(look + 1) * step,
                distance={name: float(one[look]) for name, one in distances.items() if np.isfinite(one[look])},
            )
            for look in range(looks)
        ),
        flags=tuple(sorted(flags, key=lambda one: (one.patients, one.feature))),
    )


def _blocks(marginal: Marginal, values: Array, step: int) -> tuple[Index, Array]:
    """Patients of the stream up to each look by cell ``[look, cell]``, and the sum of their values ``[look]``."""
    cells, looks = len(marginal.counts), len(values) // step
    place = marginal.cells(values) + np.repeat(np.arange(looks), step) * (cells + 1)
    counts = np.bincount(place, minlength=looks * (cells + 1)).reshape(looks, cells + 1)[:, :-1]
    sums = np.nan_to_num(values, posinf=0.0, neginf=0.0).reshape(looks, step).sum(axis=1)
    return np.cumsum(counts, axis=0), np.cumsum(sums)


def _windowed(sums: Array, blocks: int) -> Array:
    last = sums.copy()
    last[blocks:] -= sums[:-blocks]
    return last


def _alarms(
    feature: Feature, marginal: Marginal, counts: Index, sums: Array, share: Array, level: float
) -> tuple[NDArray[np.bool_], Array]:
    """Whether each look raises an alarm, and the distance at it ``[look]``; NaN where too few patients were seen."""
    n, m = counts.sum(axis=1), marginal.n
    enough = n >= LEAST
    gap = counts / np.maximum(n, 1)[:, None] - marginal.counts / m
    if feature.levels:
        distance = np.abs(gap).max(axis=1)
        tried = np.flatnonzero(enough & (distance * np.sqrt(n * m / (n + m)) > 0.5))
        chance = np.ones(len(n))
        chance[tried] = [category_chance(counts[look], marginal.counts) for look in tried]
        value, expected = counts[:, -1] / np.maximum(n, 1), float(marginal.counts[-1] / m)
    else:
        steps = np.cumsum(gap, axis=1)[:, :-1]
        distance = np.abs(steps).max(axis=1)
        kuiper = np.maximum(steps.max(axis=1), 0) - np.minimum(steps.min(axis=1), 0)
        chance = number_chance(distance, kuiper, n.astype(np.float64), m)
        value, expected = sums / np.maximum(n, 1), marginal.mean
    alarm = enough & (chance <= share)
    for look in np.flatnonzero(alarm):
        stability = stability_index(*coarse(counts[look], marginal.counts))
        alarm[look] = matters(feature, float(distance[look]), stability, float(value[look]), expected, level)
    return alarm, np.where(enough, distance, np.nan)
