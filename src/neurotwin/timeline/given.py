"""How much a plan asks for: changes of what is given, and totals."""

import numpy as np
from numpy.typing import NDArray

from neurotwin.timeline.table import Timeline


def changes_and_totals(timeline: Timeline) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Up to the row of each subject's last query: ``[subject]`` instants at which something is given or a rate changes,
    and ``[subject, treatment]`` sums of what is given (rates and levels times their duration)."""
    n, treatments = timeline.n_subjects, timeline.jump.shape[2]
    changes, totals = np.zeros(n, np.int64), np.zeros((n, treatments))
    for subject in range(n):
        asked = np.flatnonzero(timeline.query[subject])
        kept = np.flatnonzero(timeline.peek[subject] == 0)
        kept = kept[kept <= asked.max(initial=-1)]
        jump, control = timeline.jump[subject, kept], timeline.control[subject, kept]
        changed = (jump != 0) | (np.diff(control, axis=0, prepend=np.zeros((1, treatments))) != 0)
        changes[subject] = changed.any(axis=1).sum()
        totals[subject] = (jump + control * timeline.dt[subject, kept, None]).sum(axis=0)
    return changes, totals
