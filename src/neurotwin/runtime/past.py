"""A patient's past under one bundle: events, and the packed state that they lead to."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import TimelineError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.runtime.history import check_settings, merge_doses, new_observations
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.reading import Notes
from neurotwin.runtime.reasons import Reason
from neurotwin.timeline import Timeline, build_timeline

Array = NDArray[np.float64]


class Past:
    """Events taken in so far, in the bundle's units, and where they lead.

    Attributes:
        observations, doses: flat events.
        statics: ``[1, static]`` raw covariates, NaN where unknown.
        clock: time of the last observation or begin of treatment, where ``state`` stands.
        state: ``[1, state]`` packed, or None before anything was walked.
        support: score of the state, to be held against the bundle's threshold.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.observations, self.doses = Observations.of([], [], [], []), Doses.of()
        self.statics = np.full((1, len(predictor.signature.statics)), np.nan)
        self.clock = 0.0
        self.state: NDArray[np.float32] | None = None
        self.support = math.nan

    @property
    def last_event(self) -> float:
        """Time of the last event, the end of a treatment included."""
        return float(np.max(self.doses.end, initial=self.clock, where=np.isfinite(self.doses.end)))

    @property
    def first_seen(self) -> float:
        """Time of the first observation; the clock where nothing was observed."""
        return float(self.observations.time.min(initial=np.inf)) if len(self.observations) else self.clock

    @property
    def n_visits(self) -> int:
        """Distinct times of observation."""
        return len(set(self.observations.time.tolist()))

    @property
    def running(self) -> Doses:
        """Infusions and settings that go on after the state's clock."""
        return self.doses.take(~self.doses.is_bolus & (self.doses.end > self.clock))

    def take_in(self, seen: Observations, given: Doses, raw: Array, notes: Notes) -> None:
        """Put events in their place; what comes late replays the history."""
        signature, told = self.predictor.signature, np.isfinite(raw)
        if (told & np.isfinite(self.statics) & (raw != self.statics)).any():
            notes.refuse(Reason.CONFLICTING_INPUT, "static: differs from an earlier document")
        statics = np.where(np.isfinite(self.statics), self.statics, raw)
        fresh = new_observations(self.observations, seen, signature, notes)
        doses, added, closed = merge_doses(self.doses, given, signature, notes)
        check_settings(doses, signature, "", notes)
        changed = closed or not np.array_equal(statics, self.statics, equal_nan=True)
        late = (fresh.time <= self.clock).any() or (added.time < self.clock).any()
        # A bolus that was the last event has a row of its own, which a model that counts rows would take twice.
        ended_on_bolus = (self.doses.is_bolus & (self.doses.time == self.clock)).any()
        replay = self.state is None or changed or late or ended_on_bolus or not signature.recursive
        self.statics, self.observations, self.doses = statics, Observations.concatenate(self.observations, fresh), doses
        if self.state is not None and not changed and not len(fresh) and not len(added):
            return
        if replay:
            bolus = self.doses.time[self.doses.is_bolus]
            first = min([0.0, *self.observations.time.tolist(), *bolus.tolist()])
            self._walk(first, self.observations, self.doses, None, notes)
        else:
            self._walk(
                self.clock, fresh, Doses.concatenate(added.take(added.is_bolus), self.running), self.state, notes
            )

    def _walk(
        self, start: float, observations: Observations, doses: Doses, state: NDArray[np.float32] | None, notes: Notes
    ) -> None:
        """Assimilate events from ``start`` on."""
        last = max([start, *observations.time.tolist(), *doses.time.tolist()])
        # A stop that lies ahead of everything seen is not an event yet.
        doses = replace(doses, end=np.where(doses.end > last, np.inf, doses.end))
        try:
            timeline = self.timeline(np.array([start]), observations, doses, Queries.of())
        except TimelineError:
            notes.refuse(Reason.IMPLAUSIBLE_INPUT, "patient: more time between events than can be walked")
            return
        self.predictor.reader.judge_totals(timeline, "", notes)
        self.state, support = self.predictor.assimilate(timeline, state)
        self.clock, self.support = last, float(support[0])

    def timeline(self, start: Array, observations: Observations, doses: Doses, queries: Queries) -> Timeline:
        """Rows of this patient, once for each entry of ``start`` (``[batch]``)."""
        signature = self.predictor.signature
        static, mask = signature.encode_statics(np.repeat(self.statics, len(start), axis=0))
        return build_timeline(
            start=start,
            static=static,
            static_mask=mask,
            n_variables=len(signature.variables),
            n_treatments=len(signature.treatments),
            observations=observations,
            doses=doses,
            queries=queries,
            max_step=signature.max_step,
        )
