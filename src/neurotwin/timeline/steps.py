"""Steps: the stretches between anchors, divided so that none is longer than ``max_step``."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import TimelineError
from neurotwin.events import Queries
from neurotwin.timeline.anchors import Anchors, changes

Array = NDArray[np.float64]
Index = NDArray[np.int64]


class Steps(NamedTuple):
    """Rows before padding, in order of subject and time."""

    subject: Index
    anchor: Index  # anchor from which the segment of this step leaves; -1 for the row that reaches the first anchor
    number: Index  # which step of its segment
    dt: Array
    last: NDArray[np.bool_]  # the step that reaches the segment's end


def divide(start: Array, anchors: Anchors, queries: Queries, max_step: float, max_rows: int) -> Steps:
    """Divide the stretches between anchors, and the open one after the last as far as the queries ask.

    Raises TimelineError when that takes more than ``max_rows`` steps.
    """
    n_anchors = len(anchors.subject)
    first = changes(anchors.subject)
    final = np.append(first[1:], True)
    # Segments that reach each anchor (the first of a subject is reached from its start, at no distance) ...
    gap = np.zeros(n_anchors)
    gap[1:] = np.where(first[1:], 0.0, anchors.time[1:] - anchors.time[:-1])
    # ... and the open stretch after the last one, walked as far as the queries ask.
    reach = np.full(len(start), -np.inf)
    np.maximum.at(reach, queries.subject, queries.time)
    overhang = reach[anchors.subject[final]] - anchors.time[final]
    longest = max(gap.max(initial=0.0), overhang.max(initial=0.0))
    if longest > max_rows * max_step:
        raise too_many(f"{longest / max_step:.0f}", f"{n_anchors} events", max_rows)
    count = np.maximum(1, np.ceil(gap / max_step - 1e-9)).astype(np.int64)
    beyond = np.maximum(0, np.ceil(overhang / max_step - 1e-9)).astype(np.int64)
    post = (
        queries.post_dose
        & (queries.time == anchors.time[final][queries.subject])
        & (anchors.phase[final][queries.subject] == 0)
    )
    np.maximum.at(beyond, queries.subject[post], 1)
    segment_anchor = np.concatenate((np.where(first, -1, np.arange(n_anchors) - 1), np.flatnonzero(final)))
    segment_subject = np.concatenate((anchors.subject, anchors.subject[final]))
    segment_dt = np.concatenate((gap / count, np.full(int(final.sum()), max_step)))
    segment_count = np.concatenate((count, beyond))
    order = np.argsort(segment_subject * (n_anchors + 1) + segment_anchor, kind="stable")
    total = segment_count[order]
    number = np.arange(total.sum()) - np.repeat(np.cumsum(total) - total, total)
    open_ended = order >= n_anchors
    last = (number == np.repeat(total, total) - 1) & ~np.repeat(open_ended, total)
    return Steps(
        np.repeat(segment_subject[order], total),
        np.repeat(segment_anchor[order], total),
        number,
        np.repeat(segment_dt[order], total),
        last,
    )


def too_many(steps: str, where: str, most: int) -> TimelineError:
    """The error of a subject that needs more rows than are allowed."""
    remedy = "raise max_step, shorten the horizon or ask fewer times"
    return TimelineError(f"{steps} steps for one subject", where=where, expected=f"at most {most}", remedy=remedy)
