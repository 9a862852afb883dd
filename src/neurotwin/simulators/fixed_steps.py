"""Fixed steps of Kutta's 3/8 rule, the whole batch at once."""

import numpy as np
from numpy.typing import NDArray

from neurotwin.runge_kutta import RK4, Step, dense_state, runge_kutta_step
from neurotwin.simulators.rows import Flow, Row
from neurotwin.simulators.simulator import Simulator

Array = NDArray[np.float64]


class FixedSteps:
    """Each row in equal steps, each subject with its own number of them.

    A peek looks at a stretch that the next row walks too, so what has been walked is kept for it: asking often costs
    one more step per question, not the way from the row's beginning.
    """

    def __init__(self, simulator: Simulator, n: int) -> None:
        self.simulator = simulator
        self.state = np.zeros((n, len(simulator.states)))
        self.done = np.zeros(n, dtype=np.int64)

    def __call__(self, row: Row, state: Array) -> Flow:
        count = np.maximum(1, np.ceil(row.dt / self.simulator.max_step - 1e-9)).astype(np.int64)
        self.state = np.where(row.resumed[:, None], self.state, state)
        self.done = np.where(row.resumed, self.done, 0)
        asked_in = np.clip(np.ceil(row.query_at * count) - 1, 0, count - 1).astype(np.int64)
        self._walk_to(asked_in, row, count)
        step = self._step(row, count)
        asked = dense_state(RK4, step, row.dt / count, row.query_at * count - asked_in)
        asked = np.where(row.query_at[:, None] < 1, asked, step.end)
        # Not for who was already beyond the question, which lies before the one of the row's last peek.
        self._keep(step, ~row.peek & (self.done == asked_in))
        self._walk_to(np.where(row.peek, 0, count), row, count)
        return Flow(self.state, asked, np.zeros(len(state), dtype=bool))

    def _walk_to(self, goal: NDArray[np.int64], row: Row, count: NDArray[np.int64]) -> None:
        while (active := self.done < goal).any():
            self._keep(self._step(row, count), active)

    def _step(self, row: Row, count: NDArray[np.int64]) -> Step:
        def field(t: Array, state: Array) -> Array:
            return np.asarray(self.simulator.vector_field(t, state, row.control))

        length = row.dt / count
        return runge_kutta_step(RK4, field, row.t + self.done * length, length, self.state)

    def _keep(self, step: Step, which: NDArray[np.bool_]) -> None:
        self.state = np.where(which[:, None], step.end, self.state)
        self.done = self.done + which
