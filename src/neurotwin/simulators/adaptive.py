"""Adaptive solvers of scipy, subject by subject between events: the truth that other engines are held to."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from neurotwin.simulators.rows import Advance, Flow, Row
from neurotwin.simulators.simulator import Simulator

Array = NDArray[np.float64]


def adaptive(simulator: Simulator, solver: str, rtol: float, atol: float, max_evaluations: int) -> Advance:
    alone: dict[int, Simulator] = {}

    def advance(row: Row, state: Array) -> Flow:
        t, dt, control, query_at = row.t, row.dt, row.control, row.query_at
        end, asked = np.full_like(state, np.nan), np.full_like(state, np.nan)
        for subject in np.flatnonzero((dt > 0) & np.isfinite(state).all(axis=1)):
            one = alone.setdefault(int(subject), simulator.take(slice(subject, subject + 1)))
            field = _Budgeted(one, control[subject : subject + 1], max_evaluations)
            begin, share, options = t[subject], query_at[subject], {"method": solver, "rtol": rtol, "atol": atol}
            end[subject] = field.integrate(begin, begin + dt[subject], state[subject], options)
            # On its own, not on the way to the end: a query must not change where the course goes.
            inside = 0 < share < 1
            middle = field.integrate(begin, begin + share * dt[subject], state[subject], options) if inside else None
            asked[subject] = (end if share else state)[subject] if middle is None else middle
        return Flow(end, asked, np.asarray(np.isfinite(state).all(axis=1) & ~np.isfinite(end).all(axis=1)))

    return advance


class _Exhausted(Exception):
    pass


class _Budgeted:
    """One subject's vector field that may be evaluated only so often."""

    def __init__(self, simulator: Simulator, control: Array, max_evaluations: int) -> None:
        self.simulator, self.control, self.left = simulator, control, max_evaluations

    def __call__(self, t: float, state: Array) -> Array:
        self.left -= 1
        if self.left < 0:
            raise _Exhausted
        return np.asarray(self.simulator.vector_field(np.array([t]), state[None], self.control)[0])

    def integrate(self, begin: float, end: float, state: Array, options: dict[str, Any]) -> Array:
        """State at ``end``; NaN when the solver fails or the budget is spent."""
        if not end > begin:
            return state
        try:
            solution = solve_ivp(self, (begin, end), state, **options)
        except (_Exhausted, ValueError):
            return np.full_like(state, np.nan)
        return np.asarray(solution.y[:, -1]) if solution.success else np.full_like(state, np.nan)
