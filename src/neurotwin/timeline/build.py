"""The door: events in, checked, a Timeline out."""

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import TimelineError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.timeline.anchors import find_anchors
from neurotwin.timeline.rows import RowTable
from neurotwin.timeline.single import single_timeline
from neurotwin.timeline.steps import divide
from neurotwin.timeline.table import Timeline

Array = NDArray[np.float64]


def build_timeline(
    *,
    start: Array,
    static: Array,
    static_mask: Array,
    n_variables: int,
    n_treatments: int,
    observations: Observations,
    doses: Doses,
    queries: Queries,
    max_step: float,
    max_rows: int = 100_000,
) -> Timeline:
    """Cut the events of a batch of subjects into rows.

    A dose period that began before ``start`` counts from there on; one that ended by then has no effect.
    Repeated observations of one variable at one instant are averaged.

    Raises:
        TimelineError: an event before the subject's start, a time that is not finite, or more than ``max_rows`` rows.
    """
    start, static, static_mask = (np.asarray(table, dtype=np.float64) for table in (start, static, static_mask))
    if len(start) == 1:
        sizes = (n_variables, n_treatments)
        found = single_timeline(start, static, static_mask, sizes, observations, doses, queries, max_step)
        if found is not None and found.n_rows <= max_rows:
            return found
    _check(start, observations, doses, queries, max_step)
    doses = doses.take(doses.is_bolus | (doses.end > start[doses.subject]))
    opening = np.maximum(doses.time, start[doses.subject])
    anchors = find_anchors(start, observations, doses, opening)
    steps = divide(start, anchors, queries, max_step, max_rows)
    table = RowTable(len(start), steps, n_variables, n_treatments, max_rows)
    table.place_queries(anchors, queries)
    table.allocate()
    table.place_doses(anchors, doses)
    table.place_observations(anchors, observations)
    return table.padded(start, static, static_mask)


def _check(start: Array, observations: Observations, doses: Doses, queries: Queries, max_step: float) -> None:
    if not max_step > 0:
        raise TimelineError(f"max_step is {max_step}", where="timeline", expected="a positive time")
    for name, table in (("observation", observations), ("query", queries)):
        if not np.isfinite(table.time).all():
            raise TimelineError(f"{name} time is not finite", where=f"row {int(np.argmin(np.isfinite(table.time)))}")
        if len(table) and (table.time < start[table.subject]).any():
            raise TimelineError(
                f"{name} before the subject's start", where=f"row {int(np.argmax(table.time < start[table.subject]))}"
            )
    bolus = doses.is_bolus
    if not np.isfinite(doses.time).all() or not np.isfinite(doses.amount).all():
        raise TimelineError("dose time or amount is not finite", where="doses")
    if (doses.time[bolus] < start[doses.subject[bolus]]).any():
        raise TimelineError("bolus before the subject's start", where="doses")
    if (doses.end[~bolus] <= doses.time[~bolus]).any():
        raise TimelineError("a dose period ends before it begins", where="doses", expected="end > time")
