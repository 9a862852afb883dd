"""Anchors: the instants between which rows run."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses, Observations

Array = NDArray[np.float64]
Index = NDArray[np.int64]


class Anchors(NamedTuple):
    """Instants between which rows run, sorted; ``phase`` 0 before the doses of that instant, 1 after them.

    ``observed`` ``[observation]``, ``opened`` and ``closed`` ``[dose]`` are the anchors of the events: where each was
    seen, begins and ends (0 where it has no end).
    """

    subject: Index
    time: Array
    phase: Index
    observed: Index
    opened: Index
    closed: Index

    def locate(self, subject: Index, time: Array, phase: Index) -> Index:
        """Position of the last anchor that is not after each given instant, within the same subject, by bisection."""
        low, high = np.searchsorted(self.subject, np.stack([subject, subject + 1]))
        for _ in range(int((high - low).max(initial=0)).bit_length()):
            middle = np.minimum((low + high) // 2, len(self.subject) - 1)
            there = self.time[middle]
            passed = (there < time) | ((there == time) & (self.phase[middle] <= phase))
            open_ = low < high
            low, high = np.where(open_ & passed, middle + 1, low), np.where(open_ & ~passed, middle, high)
        return np.asarray(low - 1, dtype=np.int64)


def find_anchors(start: Array, observations: Observations, doses: Doses, opening: Array) -> Anchors:
    """Anchors of all events; ``opening`` ``[dose]`` is when each dose begins to count."""
    bolus, n_subjects = doses.is_bolus, len(start)
    closing = np.isfinite(doses.end) & ~bolus
    subject = np.concatenate(
        (np.arange(n_subjects), observations.subject, doses.subject, doses.subject[closing])
    ).astype(np.int64)
    time = np.concatenate((start, observations.time, opening, doses.end[closing]))
    late = np.zeros(len(time), dtype=np.int64)
    late[n_subjects : n_subjects + len(observations)] = observations.post_dose
    # A post-dose sample needs both sides of its instant, and so does a dose with nothing after it.
    final = np.full(n_subjects, -np.inf)
    np.maximum.at(final, subject, time)
    ends_with_dose = bolus & (opening == final[doses.subject])
    subject = np.concatenate((subject, subject[late == 1], doses.subject[ends_with_dose]))
    time = np.concatenate((time, time[late == 1], opening[ends_with_dose]))
    phase = np.concatenate((late, np.zeros(int(late.sum()), np.int64), np.ones(int(ends_with_dose.sum()), np.int64)))
    # By subject and time, stable, with the earlier phase first: complex numbers are sorted by both of their parts, and
    # tables that are sorted themselves are merged ten times as fast as by `lexsort`.
    instant = np.empty(len(time), dtype=np.complex128)
    instant.real, instant.imag = subject, time
    phased = np.concatenate((np.flatnonzero(phase == 0), np.flatnonzero(phase)))
    order = phased[np.argsort(instant[phased], kind="stable")]
    subject, time, phase = subject[order], time[order], phase[order]
    fresh = changes(subject) | changes(time) | changes(phase)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.cumsum(fresh) - 1
    _, observed, opened, ended = np.split(place[: len(late)], np.cumsum([n_subjects, len(observations), len(doses)]))
    closed = np.zeros(len(doses), dtype=np.int64)
    closed[closing] = ended
    return Anchors(subject[fresh], time[fresh], phase[fresh], observed, opened, closed)


def changes(column: Index | Array) -> NDArray[np.bool_]:
    """Where an entry differs from the one before it; the first counts as different."""
    different = np.ones(len(column), dtype=bool)
    different[1:] = column[1:] != column[:-1]
    return different
