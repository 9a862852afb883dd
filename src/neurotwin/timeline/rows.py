"""Rows: steps and peeks, filled with what happens in them, and padded."""

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses, Observations, Queries
from neurotwin.timeline.anchors import Anchors, changes
from neurotwin.timeline.steps import Steps, too_many
from neurotwin.timeline.table import Timeline

Array = NDArray[np.float64]


class RowTable:
    """Rows being filled: first the queries decide which rows exist, then doses and observations find their rows."""

    def __init__(self, n_subjects: int, steps: Steps, n_variables: int, n_treatments: int, max_rows: int) -> None:
        self.n_subjects, self.steps = n_subjects, steps
        self.shape = (n_variables, n_treatments)
        self.max_rows = max_rows

    def place_queries(self, anchors: Anchors, queries: Queries) -> None:
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
        hosted = np.append(changes(step[order])[1:], True)[: len(order)]
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
            raise too_many(str(int(count.max())), f"subject row {int(count.argmax())}", self.max_rows)
        self.row_number = np.arange(len(self.row_subject)) - (np.cumsum(count) - count)[self.row_subject]
        n_rows = max(1, int(count.max(initial=0)))
        self.jump = np.zeros((len(self.row_subject), self.shape[1]))
        self.control = np.zeros((len(self.row_subject), self.shape[1]))
        self.value, self.mask, self.censor = (np.zeros((len(self.row_subject), self.shape[0])) for _ in range(3))
        self.n_rows = n_rows

    def place_doses(self, anchors: Anchors, doses: Doses) -> None:
        """Boluses jump at the first step that leaves their instant; periods are summed by their edges."""
        if not len(doses):
            return
        bolus = doses.is_bolus
        subject = doses.subject.astype(np.int64)
        origin = anchors.opened
        n_steps = len(self.steps.subject)
        step_jump = np.zeros((n_steps, self.shape[1]))
        np.add.at(step_jump, (self.leaving[origin[bolus]], doses.treatment[bolus]), doses.amount[bolus])
        begins = self.steps.number == 0
        self.jump = step_jump[self.row_step] * begins[self.row_step][:, None]
        held = np.flatnonzero(~bolus)
        stop = anchors.closed[held]
        after = np.searchsorted(self.steps.subject, subject[held], side="right")  # one past the subject's last step
        on = np.minimum(self.leaving[origin[held]], after)
        off = np.where(np.isfinite(doses.end[held]), np.minimum(self.leaving[stop], after), after)
        length = np.maximum(off - on, 0)
        covered = np.repeat(on, length) + np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        level = np.zeros((n_steps, self.shape[1]))
        np.add.at(level, (covered, np.repeat(doses.treatment[held], length)), np.repeat(doses.amount[held], length))
        self.control = level[self.row_step]

    def place_observations(self, anchors: Anchors, observations: Observations) -> None:
        """Each observation goes to the END of the step that reaches its instant."""
        if not len(observations):
            return
        row = self.step_row[self.reaching[anchors.observed]]
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

        place = self.row_subject * self.n_rows + self.row_number

        def pad(flat: Array) -> Array:
            table = np.zeros((self.n_subjects * self.n_rows, *flat.shape[1:]))
            if flat.any():
                table[place] = flat
            return table.reshape(self.n_subjects, self.n_rows, *flat.shape[1:])

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
