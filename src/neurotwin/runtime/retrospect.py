"""A patient's record beside the forecasts that its twin made just before each visit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses, Observations, Queries
from neurotwin.runtime.reading import SAME
from neurotwin.runtime.reasons import Reason
from neurotwin.runtime.scores import Marginals, stretched
from neurotwin.runtime.variants import MOST_CELLS
from neurotwin.timeline import Timeline

if TYPE_CHECKING:
    from neurotwin.runtime.past import Past

Array = NDArray[np.float64]
Index = NDArray[np.int64]
BLOCK = 8
"""Visits walked side by side: a run of the graph costs more than a few rows of a few members."""


@dataclass(frozen=True)
class Retrospect:
    """Observations, and what was foretold of each.

    Attributes:
        observations: sorted by time.
        checked: ``[observation]`` whether a forecast stands beside it.
        quantiles: ``[observation, quantile]`` calibrated, on the modelling scale; NaN where not checked.
        after: ``[observation]`` how far ahead it was foretold.
        unchecked: reason -> number of observations of which the twin would not have spoken.
    """

    observations: Observations
    checked: NDArray[np.bool_]
    quantiles: Array
    after: Array
    unchecked: dict[Reason, int]

    def of(self, past: Past, column: int) -> tuple[Index, Marginals]:
        """Rows of one channel and their distributions."""
        rows = np.flatnonzero(self.observations.variable == column)
        signature = past.predictor.signature
        return rows, Marginals(signature.variables[column].head, past.predictor.levels, self.quantiles[rows])


def look_back(past: Past) -> Retrospect:
    """Each visit beside the forecast made at the visit before, which knew the treatments that were given since.

    A forecast that the twin would not have given then (too few visits, a state unlike those of training, too far
    ahead) checks nothing. Raises TimelineError when there is more time between visits than can be walked.
    """
    signature, calibration = past.predictor.signature, past.predictor.calibration
    seen = past.observations
    seen = seen.take(np.lexsort((seen.variable, seen.post_dose, seen.time)))
    visits = _Visits(past, seen)
    states, support = visits.states()
    owner = visits.owner - 1  # of each observation, the visit before
    after = np.where(owner >= 0, seen.time - visits.time[np.maximum(owner, 0)], np.nan)
    barred = {
        Reason.TOO_FEW_OBSERVATIONS: owner + 1 < max(signature.min_visits, 1),
        Reason.HORIZON_TOO_LONG: after > min(signature.horizon * (1 + SAME), float(calibration.horizons[-1])),
        Reason.OOD: ~(support[np.maximum(owner, 0)] <= signature.threshold),
    }
    checked, unchecked = np.ones(len(seen), dtype=bool), {}
    for reason, where in barred.items():
        if count := int((checked & where).sum()):
            unchecked[reason] = count
        checked &= ~where
    quantiles = np.full((len(seen), len(signature.levels)), np.nan)
    foretold = visits.foretold(states, np.flatnonzero(checked))
    for column, channel in enumerate(signature.variables):
        rows = np.flatnonzero(checked & (seen.variable == column))
        factor = calibration.factor[calibration.bins(after[rows]), calibration.channels.index(channel.name)]
        quantiles[rows] = stretched(channel.head, past.predictor.levels, foretold[rows, column], factor)
    return Retrospect(seen, checked, quantiles, after, unchecked)


class _Visits:
    """Distinct times of observation, and the stretches between them.

    Attributes:
        time: ``[visit]``.
        late: ``[visit]`` whether something was seen after the doses of that instant.
        owner: ``[observation]`` visit of each.
    """

    def __init__(self, past: Past, seen: Observations) -> None:
        self.past, self.seen = past, seen
        self.time, owner = np.unique(seen.time, return_inverse=True)
        self.owner = owner.reshape(-1).astype(np.int64)
        self.late = np.zeros(len(self.time), dtype=bool)
        self.late[self.owner[seen.post_dose]] = True
        bolus = past.doses.time[past.doses.is_bolus]
        self.first = float(min([0.0, *seen.time.tolist(), *bolus.tolist()]))
        steps = np.diff(self.time, prepend=self.first) / past.predictor.signature.max_step
        signature = past.predictor.signature
        columns = 3 * len(signature.variables) + 2 * len(signature.treatments) + 4
        self.cells = columns * (np.ceil(steps) + 4)

    def states(self) -> tuple[NDArray[np.float32], Array]:
        """``[visit, state]`` after each visit, and support scores ``[visit]``.

        A few visits at a time: walked side by side from the state before the first of them, or from the begin where a
        model's state is that of a whole history.
        """
        predictor, recursive = self.past.predictor, self.past.predictor.signature.recursive
        before, states, support = None, [], []
        every = np.arange(len(self.time))
        blocks = np.split(every, every[BLOCK::BLOCK]) if recursive else _parts(every, np.cumsum(self.cells))
        for visits in blocks:
            opened = int(visits[0]) if recursive else 0
            timeline = self._walk(visits, opened)
            state, score = predictor.assimilate(timeline, None if before is None else before.repeat(len(visits), 0))
            before = state[-1:] if recursive else None
            states.append(state)
            support.append(score)
        return np.concatenate(states), np.concatenate(support)

    def foretold(self, states: NDArray[np.float32], rows: Index) -> Array:
        """``[observation, obs, quantile]`` foretold after the visit before each, NaN but for ``rows``."""
        signature = self.past.predictor.signature
        told = np.full((len(self.seen), len(signature.variables), len(signature.levels)), np.nan)
        for visits in _parts(np.unique(self.owner[rows]), self.cells):
            own = rows[(self.owner[rows] >= visits[0]) & (self.owner[rows] <= visits[-1])]
            member = np.searchsorted(visits, self.owner[own])
            # What was seen at one instant is asked about once.
            asked, place = np.unique(2 * member + self.seen.post_dose[own], return_inverse=True)
            doses = _numbered([self._given(number, number) for number in visits.tolist()])
            queries = Queries.of(asked // 2, self.time[visits[asked // 2]], asked % 2)
            nothing = Observations.of([], [], [], [])
            timeline = self.past.timeline(self.time[visits - 1], nothing, doses, queries)
            found = self.past.predictor.forecast(states[visits - 1], timeline)["quantiles"]
            told[own] = found[asked // 2, timeline.query_row][place.reshape(-1)]
        return told

    def _walk(self, visits: Index, opened: int) -> Timeline:
        """Rows up to each of the visits, from the visit before ``opened`` on."""
        begin = np.searchsorted(self.owner, opened)
        counts = np.searchsorted(self.owner, visits, "right") - begin
        seen = self.seen.take(np.concatenate([begin + np.arange(count) for count in counts]))
        seen = replace(seen, subject=np.repeat(np.arange(len(visits)), counts).astype(np.int32))
        doses = _numbered([self._given(number, opened) for number in visits.tolist()])
        start = self.time[opened - 1] if opened else self.first
        return self.past.timeline(np.full(len(visits), start), seen, doses, Queries.of())

    def _given(self, number: int, opened: int) -> Doses:
        """Treatments from the visit before ``opened`` up to a visit; what ends later has not ended yet.

        Boluses of an instant come after what was seen there, unless something was seen after them too.
        """
        doses, end = self.past.doses, self.time[number]
        begin = self.time[opened - 1] if opened else self.first
        after = doses.time > begin if opened and self.late[opened - 1] else doses.time >= begin
        before = doses.time <= end if self.late[number] else doses.time < end
        held = ~doses.is_bolus & (doses.time < end) & (doses.end > begin)
        kept = doses.take(held | (doses.is_bolus & after & before))
        return replace(kept, end=np.where(kept.end > end, np.inf, kept.end))


def _numbered(tables: list[Doses]) -> Doses:
    """Tables of one subject each as a table of as many subjects."""
    return Doses.concatenate(
        *(replace(table, subject=np.full(len(table.time), index, np.int32)) for index, table in enumerate(tables))
    )


def _parts(visits: Index, cells: Array) -> Iterator[Index]:
    """Visits in batches whose padded tables, as wide as the widest of them, stay below `MOST_CELLS`."""
    begin, widest = 0, 0.0
    for place, width in enumerate(cells[visits].tolist()):
        widest = max(widest, width)
        if place > begin and widest * (place - begin + 1) > MOST_CELLS:
            yield visits[begin:place]
            begin, widest = place, width
    if begin < len(visits):
        yield visits[begin:]
