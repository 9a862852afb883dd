"""The Timeline: flat events cut into rows that every engine acts out. The only place where time is cut.

A row is one step, acted out in this order: the jump, the flow for ``dt`` under constant controls, the query (anywhere
inside the row, by the solver's dense output), the observation at the END. Time is cut at events only (observation,
dose start, dose stop); a stretch longer than ``max_step`` is divided evenly, and the open stretch after the last
event is walked in steps of ``max_step``. Queries never cut: each is a fraction ``query_at`` of a row. When several
fall into one row, the earlier ones get rows of their own that are acted out and then forgotten (``peek``). So asking
for one more time changes no other answer.

A row whose dt, jump, mask and query are all zero is padding. A dt = 0 row with a jump or a mask acts: this is how a
first visit, or a sample drawn right after a dose, is written.
"""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import TimelineError
from neurotwin.events import Doses, Observations, Queries

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Timeline:
    """Padded event rows of a batch of subjects.

    Attributes:
        start: ``[batch]`` clock at the first row, in the schema's time unit.
        static, static_mask: ``[batch, static]`` encoded covariates; mask 0 where missing.
        dt: ``[batch, row]`` length of the row, >= 0.
        control: ``[batch, row, control]`` rates or levels held during the row.
        jump: ``[batch, row, control]`` amounts given at the start of the row.
        value, mask, censor: ``[batch, row, obs]`` what was observed at the END of the row; censor -1 / 0 / 1.
        query: ``[batch, row]`` 1 where a forecast is asked.
        query_at: ``[batch, row]`` where in the row it is asked, as a fraction of dt.
        peek: ``[batch, row]`` 1 where the row only serves its query and its END state is forgotten.
        query_row: ``[query]`` row of each query, in the order asked (its subject is the query table's).
    """

    start: Array
    static: Array
    static_mask: Array
    dt: Array
    control: Array
    jump: Array
    value: Array
    mask: Array
    censor: Array
    query: Array
    query_at: Array
    peek: Array
    query_row: Index

    @property
    def n_subjects(self) -> int:
        """Length of the batch axis."""
        return int(self.dt.shape[0])

    @property
    def n_rows(self) -> int:
        """Length of the row axis, padding included; at least 1."""
        return int(self.dt.shape[1])

    @property
    def clock(self) -> Array:
        """``[batch]`` clock after the last row."""
        return np.asarray(self.start + np.where(self.peek > 0, 0.0, self.dt).sum(axis=1))

    def take(self, subjects: NDArray[Any]) -> Self:
        """The rows of some subjects (``query_row`` is dropped)."""
        content = {item.name: getattr(self, item.name)[subjects] for item in fields(self) if item.name != "query_row"}
        return type(self)(**content, query_row=np.zeros(0, np.int64))


class _Anchors(NamedTuple):
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


class _Steps(NamedTuple):
    """Rows before padding, in order of subject and time."""

    subject: Index
    anchor: Index  # anchor from which the segment of this step leaves; -1 for the row that reaches the first anchor
    number: Index  # which step of its segment
    dt: Array
    last: NDArray[np.bool_]  # the step that reaches the segment's end


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
    start = np.asarray(start, dtype=np.float64)
    _check(start, observations, doses, queries, max_step)
    doses = doses.take(doses.is_bolus | (doses.end > start[doses.subject]))
    opening = np.maximum(doses.time, start[doses.subject])
    anchors = _anchors(start, observations, doses, opening)
    steps = _steps(start, anchors, queries, max_step, max_rows)
    table = _Rows(len(start), steps, n_variables, n_treatments, max_rows)
    table.place_queries(anchors, queries)
    table.allocate()
    table.place_doses(anchors, doses, opening)
    table.place_observations(anchors, observations)
    return table.padded(start, np.asarray(static, dtype=np.float64), np.asarray(static_mask, dtype=np.float64))


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


def _too_many(steps: str, where: str, most: int) -> TimelineError:
    remedy = "raise max_step, shorten the horizon or ask fewer times"
    return TimelineError(f"{steps} steps for one subject", where=where, expected=f"at most {most}", remedy=remedy)


def _changes(column: Index | Array) -> NDArray[np.bool_]:
    """Where an entry differs from the one before it; the first counts as different."""
    different = np.ones(len(column), dtype=bool)
    different[1:] = column[1:] != column[:-1]
    return different


def _anchors(start: Array, observations: Observations, doses: Doses, opening: Array) -> _Anchors:
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
    fresh = _changes(subject) | _changes(time) | _changes(phase)
    return _Anchors(subject[fresh], time[fresh], phase[fresh])


def _steps(start: Array, anchors: _Anchors, queries: Queries, max_step: float, max_rows: int) -> _Steps:
    n_anchors = len(anchors.subject)
    first = _changes(anchors.subject)
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
        raise _too_many(f"{longest / max_step:.0f}", f"{n_anchors} events", max_rows)
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
    order = np.lexsort((segment_anchor, segment_subject))
    total = segment_count[order]
    number = np.arange(total.sum()) - np.repeat(np.cumsum(total) - total, total)
    open_ended = order >= n_anchors
    last = (number == np.repeat(total, total) - 1) & ~np.repeat(open_ended, total)
    return _Steps(
        np.repeat(segment_subject[order], total),
        np.repeat(segment_anchor[order], total),
        number,
        np.repeat(segment_dt[order], total),
        last,
    )


class _Rows:
    """Rows being filled: first the queries decide which rows exist, then doses and observations find their rows."""

    def __init__(self, n_subjects: int, steps: _Steps, n_variables: int, n_treatments: int, max_rows: int) -> None:
        self.n_subjects, self.steps = n_subjects, steps
        self.shape = (n_variables, n_treatments)
        self.max_rows = max_rows

    def place_queries(self, anchors: _Anchors, queries: Queries) -> None:
        """Give each query a step and a fraction; all but the last query of a step get peek rows before it."""
        steps, n_steps = self.steps, len(self.steps.subject)
        origin = anchors.locate(queries.subject.astype(np.int64), queries.time, queries.post_dose.astype(np.int64))
        # A query exactly on an anchor is the END of the segment that reaches it, unless it wants the far side.
        on_anchor = (anchors.time[origin] == queries.time) & (anchors.phase[origin] == queries.post_dose)
        first_step = np.flatnonzero(steps.number == 0)
        leaving = np.full(len(anchors.subject), n_steps, dtype=np.int64)
        inner = steps.anchor[first_step] >= 0
        leaving[steps.anchor[first_step[inner]]] = first_step[inner]
        reaching = np.flatnonzero(steps.last)
        elapsed = queries.time - anchors.time[origin]
        dt = steps.dt[np.minimum(leaving[origin], n_steps - 1)]
        number = np.where(on_anchor, 0, np.clip(np.ceil(elapsed / np.where(dt > 0, dt, 1) - 1e-9) - 1, 0, None)).astype(
            np.int64
        )
        step = np.where(on_anchor, reaching[origin], leaving[origin] + number)
        fraction = np.where(
            on_anchor, 1.0, np.clip(np.divide(elapsed, dt, out=np.zeros_like(elapsed), where=dt > 0) - number, 0.0, 1.0)
        )
        order = np.lexsort((fraction, step))
        hosted = np.append(_changes(step[order])[1:], True)[: len(order)]
        peeking = order[~hosted]
        # Peek rows go right before their step, in the order of their fractions.
        row_step = np.concatenate((step[peeking], np.arange(n_steps)))
        row_order = np.argsort(row_step, kind="stable")
        self.row_step = row_step[row_order]
        self.row_peek = (row_order < len(peeking)).astype(np.float64)
        place = np.empty(len(row_order), dtype=np.int64)
        place[row_order] = np.arange(len(row_order))
        self.step_row = place[len(peeking) :]
        self.query_flat = np.empty(len(queries), dtype=np.int64)
        self.query_flat[peeking] = place[: len(peeking)]
        self.query_flat[order[hosted]] = self.step_row[step[order[hosted]]]
        self.fraction = fraction
        self.leaving, self.reaching = leaving, reaching

    def allocate(self) -> None:
        """Work out each row's place in the padded table; raises TimelineError when a subject needs too many."""
        self.row_subject = self.steps.subject[self.row_step]
        count = np.bincount(self.row_subject, minlength=self.n_subjects)
        if count.max(initial=0) > self.max_rows:
            raise _too_many(str(int(count.max())), f"subject row {int(count.argmax())}", self.max_rows)
        self.row_number = np.arange(len(self.row_subject)) - (np.cumsum(count) - count)[self.row_subject]
        n_rows = max(1, int(count.max(initial=0)))
        self.jump = np.zeros((len(self.row_subject), self.shape[1]))
        self.control = np.zeros((len(self.row_subject), self.shape[1]))
        self.value, self.mask, self.censor = (np.zeros((len(self.row_subject), self.shape[0])) for _ in range(3))
        self.n_rows = n_rows

    def place_doses(self, anchors: _Anchors, doses: Doses, opening: Array) -> None:
        """Boluses jump at the first step that leaves their instant; periods are summed by their edges."""
        if not len(doses):
            return
        bolus = doses.is_bolus
        subject = doses.subject.astype(np.int64)
        origin = anchors.locate(subject, opening, np.zeros(len(doses), np.int64))
        n_steps = len(self.steps.subject)
        step_jump = np.zeros((n_steps, self.shape[1]))
        np.add.at(step_jump, (self.leaving[origin[bolus]], doses.treatment[bolus]), doses.amount[bolus])
        begins = self.steps.number == 0
        self.jump = step_jump[self.row_step] * begins[self.row_step][:, None]
        held = np.flatnonzero(~bolus)
        stop = anchors.locate(subject[held], doses.end[held], np.zeros(len(held), np.int64))
        after = np.searchsorted(self.steps.subject, subject[held], side="right")  # one past the subject's last step
        on = np.minimum(self.leaving[origin[held]], after)
        off = np.where(np.isfinite(doses.end[held]), np.minimum(self.leaving[stop], after), after)
        length = np.maximum(off - on, 0)
        covered = np.repeat(on, length) + np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        level = np.zeros((n_steps, self.shape[1]))
        np.add.at(level, (covered, np.repeat(doses.treatment[held], length)), np.repeat(doses.amount[held], length))
        self.control = level[self.row_step]

    def place_observations(self, anchors: _Anchors, observations: Observations) -> None:
        """Each observation goes to the END of the step that reaches its instant."""
        if not len(observations):
            return
        origin = anchors.locate(
            observations.subject.astype(np.int64), observations.time, observations.post_dose.astype(np.int64)
        )
        row = self.step_row[self.reaching[origin]]
        variable = observations.variable.astype(np.int64)
        count = np.zeros_like(self.mask)
        np.add.at(self.value, (row, variable), observations.value)
        np.add.at(count, (row, variable), 1.0)
        np.add.at(self.censor, (row, variable), observations.censor)
        self.value = np.divide(self.value, count, out=np.zeros_like(self.value), where=count > 0)
        self.censor = np.sign(self.censor)
        self.mask = (count > 0).astype(np.float64)

    def padded(self, start: Array, static: Array, static_mask: Array) -> Timeline:
        """The finished table."""
        query, query_at = np.zeros(len(self.row_subject)), np.zeros(len(self.row_subject))
        query[self.query_flat] = 1.0
        query_at[self.query_flat] = self.fraction

        def pad(flat: Array) -> Array:
            table = np.zeros((self.n_subjects, self.n_rows, *flat.shape[1:]))
            table[self.row_subject, self.row_number] = flat
            return table

        return Timeline(
            start=start,
            static=static,
            static_mask=static_mask,
            dt=pad(self.steps.dt[self.row_step]),
            control=pad(self.control),
            jump=pad(self.jump),
            value=pad(self.value),
            mask=pad(self.mask),
            censor=pad(self.censor),
            query=pad(query),
            query_at=pad(query_at),
            peek=pad(self.row_peek),
            query_row=self.row_number[self.query_flat],
        )
