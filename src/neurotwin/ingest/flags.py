"""What looks odd in a cohort though each value is valid: told, never corrected."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.events import Observations
from neurotwin.ingest.accounting import Account, Reason
from neurotwin.ingest.series import by_variable
from neurotwin.schema import Schema
from neurotwin.units import conversion

MIN_PAIRS, MIN_DISTINCT, MIN_SUBJECTS = 30, 10, 10
"""So many measurements, distinct values and subjects are needed for a flag; a constant signal has one value."""
SAME_SHARE, LAG_SHARE, STUCK_SHARE, STRAIGHT_SHARE, OUTSIDE_SHARE = 0.95, 0.05, 0.10, 0.50, 0.001
STUCK_RUN = 10
"""A value that comes this often in a row, in one subject, is stuck."""
MIN_OUTSIDE = 10
"""So many values outside the plausible range are needed for a flag."""
STRAIGHT = 0.01
"""A value lies on the line between its neighbours when it is off by at most this share of their difference."""
MAX_ROWS = 2_000_000

COPIED = "two variables have the same values"
HOUR_TWINS = "values come again exactly one hour later"
CONSTANT = "all measurements have one value"
STUCK = f"a value stands {STUCK_RUN} times in a row or more"
STRAIGHT_LINES = "values lie on straight lines between a few others"
OUTSIDE = "values outside the plausible range"


class FlagFinder:
    """Looks at a cohort part by part; a part holds all measurements of its subjects.

    It finds variables that copy each other, signals that are constant, stuck or interpolated (all these in the first
    `MAX_ROWS` measurements), and measurements that come again exactly one hour later.
    """

    def __init__(self, schema: Schema) -> None:
        self._names = [one.name for one in schema.variables]
        self._hour = conversion("h", schema.time_unit).factor
        self._rows = 0
        self._copies = _Copies(len(self._names))
        self._signals = [_Signal() for _ in self._names]

    def add(self, cohort: Cohort) -> None:
        """Look at a part."""
        for number, seen in by_variable(cohort.observations):
            self._signals[number].add_twins(_lagged(seen, self._hour), seen.value)
        seen = cohort.observations.take(np.arange(min(len(cohort.observations), MAX_ROWS - self._rows)))
        self._rows += len(seen)
        seen = seen.take(seen.censor == 0)  # of a value below a limit only the limit is known
        self._copies.add(seen)
        for number, own in by_variable(seen):
            self._signals[number].add_shape(own)

    def flags(self) -> list[dict[str, Any]]:
        """What looked odd: what, the share of measurements, and the variables."""
        varied = [one.varied for one in self._signals]
        flags = [
            _flag(COPIED, share, [self._names[one], self._names[other]])
            for one, other, share in self._copies.shares()
            if varied[one] and varied[other] and share >= SAME_SHARE
        ]
        for name, signal in zip(self._names, self._signals, strict=True):
            flags += [_flag(what, share, [name]) for what, share in signal.findings()]
        return flags


def outside_flags(accounts: Mapping[str, Account]) -> list[dict[str, Any]]:
    """Which variables, treatments and covariates have many values outside their plausible range."""
    flags = []
    for name, account in accounts.items():
        outside = account.rejected[Reason.IMPLAUSIBLE]
        judged = account.accepted + account.merged + outside
        if outside >= MIN_OUTSIDE and outside / judged >= OUTSIDE_SHARE:
            flags.append(_flag(OUTSIDE, outside / judged, [name]))
    return flags


class _Copies:
    """How often each pair of variables was measured at one instant of a subject, and agreed."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._met = np.zeros(count * count, dtype=np.int64)
        self._same = np.zeros(count * count, dtype=np.int64)

    def add(self, seen: Observations) -> None:
        if not len(seen):
            return
        fresh = (np.diff(seen.subject) != 0) | (np.diff(seen.time) != 0) | (np.diff(seen.post_dose.view(np.int8)) != 0)
        visit = np.r_[0, np.cumsum(fresh)]
        # Within a visit rows stand in the order of variables: each row meets the next one, the one after it, and so on.
        for step in range(1, self._count):
            one = np.flatnonzero(visit[step:] == visit[:-step])
            if not len(one):
                break
            pair = seen.variable[one].astype(np.int64) * self._count + seen.variable[one + step]
            self._met += np.bincount(pair, minlength=len(self._met))
            self._same += np.bincount(pair[seen.value[one] == seen.value[one + step]], minlength=len(self._same))

    def shares(self) -> list[tuple[int, int, float]]:
        """Both variables and the share of agreement, for pairs that met often enough."""
        pairs = np.flatnonzero(self._met >= MIN_PAIRS)
        found = [(int(pair) // self._count, int(pair) % self._count, pair) for pair in pairs]
        return [(one, other, float(self._same[at] / self._met[at])) for one, other, at in found if one != other]


class _Signal:
    """One variable: how many measurements there are, and how many of them look odd in one way or another."""

    def __init__(self) -> None:
        self._rows, self._twins = 0, 0
        self._shaped, self._stuck, self._subjects = 0, 0, 0
        self._triples, self._straight, self._drawn = 0, 0, 0
        self._values: set[float] = set()

    def add_twins(self, twins: NDArray[np.bool_], values: NDArray[np.float64]) -> None:
        """``twins``: which of the measurements stand again an hour later."""
        self._rows += len(twins)
        self._twins += int(twins.sum())
        if len(self._values) < MIN_DISTINCT:
            self._values.update(np.unique(values)[:MIN_DISTINCT].tolist())

    def add_shape(self, seen: Observations) -> None:
        """Measurements without a limit, sorted by subject and time."""
        subject, time, value = seen.subject, seen.time, seen.value
        self._shaped += len(seen)
        self._subjects += 1 + int((np.diff(subject) != 0).sum())
        first = np.flatnonzero(np.r_[True, (np.diff(subject) != 0) | (np.diff(value) != 0)])
        length = np.diff(np.r_[first, len(seen)])
        self._stuck += int(length[length >= STUCK_RUN].sum())
        rise = value[2:] - value[:-2]
        whole = (subject[2:] == subject[:-2]) & (rise != 0) & (np.diff(time)[1:] > 0) & (np.diff(time)[:-1] > 0)
        at = np.flatnonzero(whole)
        share = (time[at + 1] - time[at]) / (time[at + 2] - time[at])
        straight = np.abs(value[at] + share * rise[at] - value[at + 1]) <= STRAIGHT * np.abs(rise[at])
        self._triples += len(at)
        self._straight += int(straight.sum())
        self._drawn += len(np.unique(subject[at]))

    @property
    def varied(self) -> bool:
        """Whether there are enough distinct values for an agreement to mean something."""
        return len(self._values) >= MIN_DISTINCT

    def findings(self) -> list[tuple[str, float]]:
        """What looks odd, and the share."""
        if self._rows >= MIN_PAIRS and self._subjects >= MIN_SUBJECTS and len(self._values) == 1:
            return [(CONSTANT, 1.0)]
        if not self.varied:
            return []
        enough = self._subjects >= MIN_SUBJECTS
        shares = (
            (HOUR_TWINS, self._twins, self._rows, True, LAG_SHARE),
            (STUCK, self._stuck, self._shaped, enough, STUCK_SHARE),
            (STRAIGHT_LINES, self._straight, self._triples, self._drawn >= MIN_SUBJECTS, STRAIGHT_SHARE),
        )
        return [
            (what, odd / count)
            for what, odd, count, told, share in shares
            if told and count >= MIN_PAIRS and odd / count >= share
        ]


def _flag(what: str, share: float, variables: list[str]) -> dict[str, Any]:
    return {"what": what, "share": round(share, 4), "variables": variables}


def _lagged(seen: Observations, hour: float) -> NDArray[np.bool_]:
    """Which of one variable's measurements, sorted by subject and time, stand again one hour later."""
    again = np.zeros(len(seen), dtype=np.bool_)
    if not len(seen):
        return again
    tick = np.round(seen.time / hour * 3600.0)
    span = tick.max() - tick.min() + 3601.0
    instant = (seen.subject - seen.subject[0]) * span + (tick - tick.min())  # sorted
    if instant[-1] >= 2.0**53 and seen.subject[0] < seen.subject[-1]:  # too long for exact numbers
        half = int(np.searchsorted(seen.subject, (int(seen.subject[0]) + int(seen.subject[-1]) + 1) // 2))
        parts = (np.arange(half), np.arange(half, len(seen)))
        return np.concatenate([_lagged(seen.take(part), hour) for part in parts])
    here = np.arange(len(seen))
    later = np.searchsorted(instant, instant + 3600.0)
    while len(here):  # as often as there are measurements at one instant
        met = later < len(seen)
        here, later = here[met], later[met]
        met = instant[later] == instant[here] + 3600.0
        here, later = here[met], later[met]
        again[here] |= seen.value[later] == seen.value[here]
        later = later + 1
    return again
