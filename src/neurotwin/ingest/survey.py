"""What a cohort covers, in aggregates over subjects: who has which variable, when, and how far apart.

Nothing is told of fewer than `FEWEST` subjects: such a cell is None, in the report and on its page.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import N_FOLDS, Cohort
from neurotwin.events import Observations
from neurotwin.follow_up import CENSORED
from neurotwin.ingest.series import by_variable
from neurotwin.schema import Schema
from neurotwin.units import conversion

FEWEST = 10
"""Subjects in a cell at least."""

PERIODS = (
    ("1 s", 1.0),
    ("1 min", 60.0),
    ("1 h", 3600.0),
    ("6 h", 21_600.0),
    ("12 h", 43_200.0),
    ("1 d", 86_400.0),
    ("3 d", 259_200.0),
    ("1 wk", 604_800.0),
    ("1 mo", 2_629_800.0),
    ("3 mo", 7_889_400.0),
    ("6 mo", 15_778_800.0),
    ("1 a", 31_557_600.0),
    ("2 a", 63_115_200.0),
    ("5 a", 157_788_000.0),
    ("10 a", 315_576_000.0),
    ("20 a", 631_152_000.0),
)
"""Where periods of time after the index event end, in seconds, the end included. Before the first stand two more,
"before" and "at 0", and after the last "later"."""
PERIOD_NAMES = ("before 0", "at 0", *(f"to {name}" for name, _ in PERIODS), "later")

BINS_PER_DECADE, FIRST_DECADE, LAST_DECADE = 6, -3, 10
# Shifted so that no edge is within 3 % of a usual interval: 1 or 10 s; 1, 5 or 15 min; 1 h; 1, 7, 30, 91 or 182 d; 1 a.
_STEPS = np.arange((LAST_DECADE - FIRST_DECADE) * BINS_PER_DECADE + 1) + 0.09
EDGES = 10.0 ** (_STEPS / BINS_PER_DECADE + FIRST_DECADE)
"""Edges of the bins of intervals between measurements, in seconds; shorter and longer ones go to the ends."""

Counts = NDArray[np.int64]


class Survey:
    """Counts part by part; a part holds whole subjects, and memory does not grow with their number."""

    def __init__(self, schema: Schema) -> None:
        self._names = [one.name for one in schema.variables]
        self._ends_by = ["censored", *(one.name for one in schema.outcomes)]
        self._ended = np.zeros(len(self._ends_by) + 1, dtype=np.int64)
        self._second = conversion(schema.time_unit, "s").factor
        variables, periods, bins = len(self._names), len(PERIOD_NAMES), len(EDGES) - 1
        self._ends = np.array([seconds for _, seconds in PERIODS])
        self._subjects = np.zeros(N_FOLDS, dtype=np.int64)
        self._measured = np.zeros(variables, dtype=np.int64)
        self._with = np.zeros((variables, N_FOLDS), dtype=np.int64)
        self._present = np.zeros(periods, dtype=np.int64)
        self._with_then = np.zeros((variables, periods), dtype=np.int64)
        self._intervals = np.zeros((variables, bins), dtype=np.int64)
        self._interval_subjects = np.zeros((variables, bins), dtype=np.int64)

    def add(self, cohort: Cohort) -> None:
        """Count a part."""
        self._subjects += np.bincount(cohort.fold, minlength=N_FOLDS)
        if cohort.follow_up is not None:
            known = np.isfinite(cohort.follow_up.time)
            by = np.where(known, cohort.follow_up.event - CENSORED, len(self._ends_by))
            self._ended += np.bincount(by, minlength=len(self._ended))
        present = np.zeros((len(cohort), len(PERIOD_NAMES)), dtype=np.bool_)
        for number, seen in by_variable(cohort.observations):
            then = np.zeros_like(present)
            then[seen.subject, self._period(seen)] = True
            present |= then
            self._measured[number] += len(seen)
            self._with[number] += np.bincount(cohort.fold[then.any(axis=1)], minlength=N_FOLDS)
            self._with_then[number] += then.sum(axis=0)
            self._add_intervals(number, seen, len(cohort))
        self._present += present.sum(axis=0)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: subjects by fold, and for each variable

        * ``missingness``: the share of subjects who have it, by fold, and in each period of time the share of those
          who have anything then;
        * ``follow_up``, where the schema has outcomes: how many subjects each of them ended the follow-up of, how many
          were censored, and of how many the end is not known;
        * ``intervals``: how many times between its successive measurements of a subject fell into each bin.
        """
        kept = np.flatnonzero(self._present)
        return {
            "fewest": FEWEST,
            "folds": self._subjects.tolist(),
            **self._follow_up(),
            "missingness": {
                "periods": [PERIOD_NAMES[one] for one in kept],
                "subjects": [_guarded(count) for count in self._present[kept].tolist()],
                "by_period": self._shares(self._with_then[:, kept], self._present[kept]),
                "by_fold": self._shares(self._with, self._subjects),
            },
            "intervals": {
                "edges": [float(f"{edge:.6g}") for edge in EDGES],
                "unit": "s",
                "by_name": {name: self._told_intervals(number) for number, name in enumerate(self._names)},
            },
        }

    def _follow_up(self) -> dict[str, Any]:
        if len(self._ends_by) == 1:
            return {}
        counts = zip([*self._ends_by, "unknown"], self._ended.tolist(), strict=True)
        return {"follow_up": {name: _guarded(count) if count else 0 for name, count in counts}}

    def _period(self, seen: Observations) -> NDArray[np.int64]:
        """``[measurement]`` position in `PERIOD_NAMES`."""
        after = np.searchsorted(self._ends, seen.time * self._second * (1 - 1e-12), side="left") + 2
        return np.where(seen.time < 0, 0, np.where(seen.time == 0, 1, after)).astype(np.int64)

    def _add_intervals(self, number: int, seen: Observations, subjects: int) -> None:
        own = (np.diff(seen.subject) == 0) & (np.diff(seen.time) > 0)
        length = np.diff(seen.time)[own] * self._second
        found = np.clip(np.searchsorted(EDGES, length, side="right") - 1, 0, len(EDGES) - 2)
        self._intervals[number] += np.bincount(found, minlength=len(EDGES) - 1)
        whose = np.zeros((subjects, len(EDGES) - 1), dtype=np.bool_)
        whose[seen.subject[1:][own], found] = True
        self._interval_subjects[number] += whose.sum(axis=0)

    def _shares(self, having: Counts, among: Counts) -> dict[str, list[float | None]]:
        return {
            name: [_share(one, all_) for one, all_ in zip(row, among.tolist(), strict=True)]
            for name, row in zip(self._names, having.tolist(), strict=True)
        }

    def _told_intervals(self, number: int) -> dict[str, Any]:
        told = self._interval_subjects[number] >= FEWEST
        counts = self._intervals[number]
        return {
            "measurements": int(self._measured[number]),
            "intervals": int(counts.sum()),
            "untold": int(counts[~told].sum()),
            "median": _median(np.where(told, counts, 0)),
            "bins": {int(at): int(counts[at]) for at in np.flatnonzero(told)},
        }


def _guarded(count: int) -> int | None:
    return count if count >= FEWEST else None


def _share(having: int, among: int) -> float | None:
    """The share, of whole percents; None where either side has fewer than `FEWEST` subjects, unless nobody has it."""
    if among < FEWEST or 0 < having < FEWEST:
        return None
    return round(having / among, 2)


def _median(counts: Counts) -> list[float] | None:
    """Between which two lengths, in seconds, the middle interval lies: the edges of its bin."""
    if not counts.any():
        return None
    at = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    return [float(f"{edge:.6g}") for edge in EDGES[at : at + 2]]
