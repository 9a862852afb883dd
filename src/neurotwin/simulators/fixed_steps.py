"""Fixed steps of Kutta's 3/8 rule, the whole batch at once, each subject at its own place in its own rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.runge_kutta import RK4, Step, dense_state, runge_kutta_step
from neurotwin.simulators.judge import judge
from neurotwin.simulators.simulator import Simulator
from neurotwin.solution import NON_FINITE, OK, Solution
from neurotwin.timeline import Timeline

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def walk_in_steps(simulator: Simulator, timeline: Timeline, state: Array, status: Index) -> Solution:
    """Walk every row in equal steps no longer than the simulator's ``max_step``.

    In each round every subject takes one step, wherever it is: whoever has finished a row begins the next and waits
    for nobody. So the rounds are as many as the steps of the subject that needs most. Questions within one step (peeks
    and the row's own) are answered from the dense output of that step.
    """
    walk = _Walk(simulator, timeline, state, status)
    with np.errstate(all="ignore"):  # what overflows is marked by its status
        while len(walk.who):
            walk.round()
    return Solution(walk.at_query, walk.final, walk.clock, walk.status)


class _Rows:
    """The timeline's columns, for some of the subjects."""

    def __init__(self, timeline: Timeline, max_step: float) -> None:
        count = np.maximum(1, np.ceil(timeline.dt / max_step - 1e-9))
        acts = (timeline.dt > 0) | (timeline.jump != 0).any(axis=2) | (timeline.query > 0)
        self.last = np.where(acts.any(axis=1), acts.shape[1] - np.argmax(acts[:, ::-1], axis=1), 0)
        self.dt, self.length, self.count = timeline.dt, timeline.dt / count, count.astype(np.int64)
        self.control, self.jump, self.jumps = timeline.control, timeline.jump, (timeline.jump != 0).any(axis=2)
        self.query, self.peek, self.query_at = timeline.query > 0, timeline.peek > 0, timeline.query_at
        self.asked_in = np.clip(np.ceil(timeline.query_at * count) - 1, 0, count - 1).astype(np.int64)
        self.share = timeline.query_at * count - self.asked_in  # of that step

    def keep(self, which: NDArray[Any]) -> None:
        """Forget the other subjects."""
        for name, column in vars(self).items():
            setattr(self, name, column[which])


class _Walk:
    """Where everyone is: row, steps done in it, clock at its begin, state now."""

    def __init__(self, simulator: Simulator, timeline: Timeline, state: Array, status: Index) -> None:
        n = timeline.n_subjects
        self.simulator, self.rows = simulator, _Rows(timeline, simulator.max_step)
        self.at_query = np.full((n, timeline.n_rows, state.shape[1]), np.nan)
        self.final = np.where((status == OK)[:, None], state, np.nan)
        self.clock, self.status = timeline.start.astype(np.float64), status.copy()
        # Of those who are on the way, or were when the others were last forgotten:
        self.who, self.state = np.arange(n), state
        self.row, self.done, self.fresh = np.zeros(n, np.int64), np.zeros(n, np.int64), np.ones(n, dtype=bool)
        self.active = (status == OK) & (self.rows.last > 0)
        self._forget()
        self._look()

    def round(self) -> None:
        """One step for everyone on the way, and the answers to what was asked within it."""
        if self.fresh.any():
            self._begin()
        length, control = self.length, self.control

        def field(t: Array, state: Array) -> Array:
            return np.asarray(self.simulator.vector_field(t, state, control))

        step = runge_kutta_step(RK4, field, self.clock[self.who] + self.done * length, length, self.state)
        # A row without length moves nothing, even where the slope is not finite.
        step = step._replace(end=np.where((length > 0)[:, None], step.end, self.state))
        while (asked := self.active & (self.asked_in == self.done)).any():
            self._answer(step, asked)
            if not (peeks := asked & self.peek).any():
                break
            self.row = self.row + peeks  # done with; a row's own question leaves the row to go on
            self._look()
        self._keep(step.end)

    def _look(self) -> None:
        """Look up everyone's row."""
        rows = self.rows
        here = self.here = np.arange(len(self.who)), np.minimum(self.row, rows.last - 1)
        self.length, self.control, self.count, self.peek = (
            column[here] for column in (rows.length, rows.control, rows.count, rows.peek)
        )
        self.asked_in = np.where(rows.query[here], rows.asked_in[here], -1)

    def _begin(self) -> None:
        """Let boluses act on those who begin a row."""
        begins = self.active & self.fresh & self.rows.jumps[self.here]
        if begins.any():
            amount = np.where(begins[:, None], self.rows.jump[self.here], 0.0)
            self.state = np.asarray(self.simulator.jump(self.state, amount))
        self.fresh[:] = False

    def _answer(self, step: Step, asked: NDArray[np.bool_]) -> None:
        share, inside = self.rows.share[self.here], self.length > 0
        found = dense_state(RK4, step, self.length, share)
        found = np.where((share < 1)[:, None], found, step.end)
        found = np.where(((share > 0) & inside)[:, None], found, step.begin)
        self.at_query[self.who[asked], self.row[asked]] = found[asked]
        bad = asked & ~np.isfinite(found).all(axis=1)
        self.status[self.who[bad]] = NON_FINITE
        self.active = self.active & ~bad

    def _keep(self, end: Array) -> None:
        """Keep the step; who has finished a row goes to the next, who has finished all or failed has ended."""
        self.state = np.where(self.active[:, None], end, self.state)
        self.done = self.done + self.active
        self.status[self.who] = judge(self.simulator, self.state, self.status[self.who])
        self.active = self.active & (self.status[self.who] == OK)
        finished = self.active & (self.done >= self.count)
        if finished.any():
            self.clock[self.who[finished]] += self.rows.dt[self.here][finished]
            self.row, self.done = self.row + finished, np.where(finished, 0, self.done)
            self.fresh = self.fresh | finished
            self.active = self.active & (self.row < self.rows.last)
        if not self.active.all():
            self._forget()
        if finished.any():
            self._look()

    def _forget(self) -> None:
        """Take down where those ended who are on the way no more, and go on without them once they are many."""
        ended, failed = ~self.active, self.status[self.who] != OK
        self.final[self.who[ended]] = np.where(failed[:, None], np.nan, self.state)[ended]
        if 2 * self.active.sum() > len(self.who):
            return
        kept = np.flatnonzero(self.active)
        self.simulator = self.simulator.take(kept) if self.simulator.batch_size and len(kept) else self.simulator
        self.rows.keep(kept)
        for name in ("who", "state", "row", "done", "fresh", "active"):
            setattr(self, name, getattr(self, name)[kept])
        self._look()
