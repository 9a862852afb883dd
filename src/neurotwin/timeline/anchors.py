"""Anchors: the instants between which rows run."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses, Observations

Array = NDArray[np.float64]
Index = NDArray[np.int64]


class Anchors(NamedTuple):
    """Instants between which rows run, sorted; ``phase`` 0 before the doses of that instant, 1 after them."""

    subject: Index
    time: Array
    phase: Index

    def locate(self, subject: Index, time: Array, phase: Index) -> Index:
        """Position of the last anchor that is not after each given instant, within the same subject."""
        n_own = len(self.subject)
        if not len(subject):
            return np.zeros(0, dtype=np.int64)
        if self.subject[-1] == self.subject[0]:  # one subject: its anchors are few and sorted by time and phase
            before = np.searchsorted(self.time, time, side="left")
            upto = np.searchsorted(self.time, time, side="right")
            same = (upto > before) & (self.phase[np.minimum(before, n_own - 1)] <= phase)
            both = same & (upto - before > 1) & (phase == 1)
            return np.asarray(before + same + both - 1, dtype=np.int64)
        keys = np.concatenate([np.arange(n_own), np.full(len(subject), n_own)])
        columns = ((self.phase, phase), (self.time, time), (self.subject, subject))
        order = np.lexsort((keys, *(np.concatenate(pair) for pair in columns)))
        rank = np.cumsum(order < n_own) - 1
        position = np.empty(len(order), dtype=np.int64)
        position[order] = rank
        return position[n_own:]


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
    order = np.lexsort((phase, time, subject))
    subject, time, phase = subject[order], time[order], phase[order]
    fresh = changes(subject) | changes(time) | changes(phase)
    return Anchors(subject[fresh], time[fresh], phase[fresh])


def changes(column: Index | Array) -> NDArray[np.bool_]:
    """Where an entry differs from the one before it; the first counts as different."""
    different = np.ones(len(column), dtype=bool)
    different[1:] = column[1:] != column[:-1]
    return different
