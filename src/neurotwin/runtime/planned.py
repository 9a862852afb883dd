"""A plan on the patient's clock, and the reasons to stay silent about it that are known before the graph runs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses
from neurotwin.runtime.asked import Asked
from neurotwin.runtime.documents import PlanDocument
from neurotwin.runtime.history import check_settings
from neurotwin.runtime.reading import SAME, Notes, scale_time
from neurotwin.runtime.reasons import Reason

if TYPE_CHECKING:
    from neurotwin.runtime.twin import Twin

Array = NDArray[np.float64]


def read_plan(twin: Twin, plan: PlanDocument) -> Asked:
    """The plan's doses in the bundle's units, with those that run and go on, and the times asked about."""
    reader, begin, past, notes = twin.predictor.reader, twin.begin, twin.past, Notes()
    factor = reader.time_factor(plan.time_unit, "plan", notes)
    if math.isnan(factor):
        return Asked(plan, twin.notes.merged(notes))
    planned = reader.doses_of(plan.treatments, factor, "plan.", notes, planned=True)
    held = past.running
    going_on = held.treatment[(held.end > begin) & (held.time <= begin)].tolist()
    names = sorted({twin.predictor.signature.treatments[index].name for index in going_on})
    if plan.ongoing == "stop":
        held = replace(held, end=np.minimum(held.end, begin))
        held = held.take(held.end > np.maximum(held.time, past.clock))
    doses = Doses.concatenate(held, replace(planned, time=planned.time + begin, end=planned.end + begin))
    check_settings(doses, twin.predictor.signature, "plan.", notes)
    after = np.array([scale_time(time, factor) for time in plan.query.times()])
    return Asked(plan, twin.notes.merged(notes), doses, after, len(planned), names)


def judge(twin: Twin, item: Asked) -> None:
    """Note the reasons to stay silent that are known before the graph runs."""
    notes, past, signature = item.notes, twin.past, twin.predictor.signature
    judge_record(twin, notes)
    unread = sum(place.startswith("observations.") for places in notes.refused.values() for place in places)
    if past.state is not None and past.n_visits + unread < signature.min_visits:
        notes.refuse(Reason.TOO_FEW_OBSERVATIONS, f"patient: {past.n_visits} visits, {signature.min_visits} needed")
    if past.state is not None and not past.support <= signature.threshold:
        notes.refuse(Reason.OOD, "patient")
    if item.after is not None:
        _judge_times(twin, item.after, notes)


def judge_record(twin: Twin, notes: Notes) -> None:
    """Whether there is a record at all, and none of its events lies ahead of now."""
    if twin.past.state is None and not notes.refused:
        notes.refuse(Reason.MISSING_REQUIRED, "patient")
    if twin.begin < twin.past.clock:
        notes.refuse(Reason.FUTURE_DATED, "patient: an event after now")


def _judge_times(twin: Twin, after: Array, notes: Notes) -> None:
    if not len(after) or after.min() < 0 or after.max() <= 0:
        notes.refuse(Reason.MISSING_REQUIRED, "plan.query: no time after the plan's start")
        return
    signature, limit = twin.predictor.signature, float(twin.predictor.calibration.horizons[-1])
    waited, ahead = twin.begin - twin.past.clock, float(after.max())
    if waited + ahead > signature.horizon * (1 + SAME) or ahead > limit:
        reach = max(min(signature.horizon - waited, limit), 0.0)
        notes.refuse(Reason.HORIZON_TOO_LONG, f"plan.query: answered up to {reach:g} {signature.time_unit}")
