"""solve: act out a Timeline with a simulator, in numpy.

Three ways, one door: the simulator's own closed form; fixed steps of Kutta's 3/8 rule, the whole batch at once, one
step per row; or an adaptive solver of scipy, subject by subject between events, as the truth that the others are held
to. A trajectory that is not finite, leaves its state's bounds or exhausts its budget is marked, never clipped; its
neighbours in the batch are not touched.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from neurotwin.errors import SimulationError
from neurotwin.runge_kutta import RK4, dense_state, runge_kutta_step
from neurotwin.simulators.simulator import Simulator
from neurotwin.timeline import Timeline

Array = NDArray[np.float64]
Method = Literal["auto", "closed_form", "rk4", "dop853", "lsoda"]
METHODS: tuple[Method, ...] = ("auto", "closed_form", "rk4", "dop853", "lsoda")

OK, NON_FINITE, STEP_BUDGET, OUT_OF_BOUNDS = 0, 1, 2, 3
REASONS = {NON_FINITE: "non_finite", STEP_BUDGET: "step_budget", OUT_OF_BOUNDS: "out_of_bounds"}
BOUND_TOLERANCE = 1e-9
"""Rounding allowed at a bound, in the state's unit."""


class Solution(NamedTuple):
    """What became of a batch.

    Attributes:
        at_query: ``[batch, row, state]`` where each row's query asks.
        observed: ``[batch, row, obs]`` the variables there, without assay error.
        final: ``[batch, state]`` after the last row; NaN for subjects whose status is not 0.
        clock: ``[batch]`` time of ``final``.
        status: ``[batch]`` 0 ok, 1 non-finite, 2 step budget, 3 out of bounds.
    """

    at_query: Array
    observed: Array
    final: Array
    clock: Array
    status: NDArray[np.int64]


class _Flow(NamedTuple):
    """After one row: END, state at the query, and which subjects the solver gave up."""

    end: Array
    at_query: Array
    given_up: NDArray[np.bool_]


Advance = Callable[[Array, Array, Array, Array, Array], _Flow]


def solve(
    simulator: Simulator,
    timeline: Timeline,
    *,
    method: Method = "auto",
    state: Array | None = None,
    rtol: float = 1e-10,
    atol: float = 1e-12,
    max_evaluations: int = 200_000,
) -> Solution:
    """Solve each subject along its own rows: jump, flow, query.

    Observations in the timeline only cut it; their values are not looked at.

    Args:
        simulator: its array parameters have one value per subject of the timeline.
        timeline: for rk4 cut to the simulator's ``max_step`` or finer.
        method: ``auto`` takes the closed form if there is one, else rk4; ``dop853`` and ``lsoda`` are scipy's.
        state: ``[batch, state]`` before the first row; default: the simulator's initial state.
        rtol, atol, max_evaluations: of the adaptive methods; the last counts per row and subject.

    Raises:
        SimulationError: an unknown method or one that the simulator lacks, shapes that do not fit, or a treatment given
            in a way that its kind forbids.
    """
    chosen = _choose(simulator, method)
    _check_treatments(simulator, timeline)
    n = timeline.n_subjects
    if simulator.batch_size not in (None, n):
        raise SimulationError(f"parameters of {simulator.batch_size} subjects", where="solve", expected=f"{n} subjects")
    state = np.asarray(simulator.initial_state(n) if state is None else state, dtype=np.float64)
    shape = (n, len(simulator.states))
    if state.shape != shape:
        raise SimulationError(f"state has shape {state.shape}", where="solve", expected=f"{shape}")
    if chosen == "closed_form":
        advance = _closed_form(simulator)
    elif chosen == "rk4":
        advance = _fixed_step(simulator)
    else:
        advance = _adaptive(simulator, {"dop853": "DOP853", "lsoda": "LSODA"}[chosen], rtol, atol, max_evaluations)
    with np.errstate(all="ignore"):  # what overflows is marked by its status
        return _walk(simulator, timeline, state, advance)


def longest_row(simulator: Simulator, method: Method, span: float) -> float:
    """``max_step`` of a timeline over ``span`` for this method: only fixed steps have to be short."""
    return simulator.max_step if _choose(simulator, method) == "rk4" else span


def _choose(simulator: Simulator, method: Method) -> Method:
    if method not in METHODS:
        raise SimulationError(f"method {method!r}", where="solve", expected=" | ".join(METHODS))
    if method == "auto":
        return "closed_form" if simulator.has_closed_form else "rk4"
    return method


def _walk(simulator: Simulator, timeline: Timeline, state: Array, advance: Advance) -> Solution:
    clock = timeline.start.astype(np.float64)
    status = _judge(simulator, state, np.zeros(timeline.n_subjects, dtype=np.int64))
    at_query, observed = [], []
    for row in range(timeline.n_rows):
        dt, jump = timeline.dt[:, row], timeline.jump[:, row]
        begun = np.asarray(simulator.jump(state, jump)) if jump.any() else state
        flow = advance(clock, dt, begun, timeline.control[:, row], timeline.query_at[:, row])
        flows = dt > 0
        end, asked = (np.where(flows[:, None], item, begun) for item in (flow.end, flow.at_query))
        status = np.where((status == OK) & flows & flow.given_up, STEP_BUDGET, status)
        status = _judge(simulator, asked, _judge(simulator, end, status))
        failed = (status != OK)[:, None]
        at_query.append(np.where(failed, np.nan, asked))
        observed.append(np.asarray(simulator.observe(at_query[-1])))
        kept = timeline.peek[:, row] == 0
        state = np.where(failed, np.nan, np.where(kept[:, None], end, state))
        clock = np.where(kept, clock + dt, clock)
    return Solution(np.stack(at_query, axis=1), np.stack(observed, axis=1), state, clock, status)


def _judge(simulator: Simulator, state: Array, status: NDArray[np.int64]) -> NDArray[np.int64]:
    """The status after looking at a state; a subject's first fault stays."""
    low, high = np.array([item.bounds for item in simulator.states]).T
    finite = np.isfinite(state).all(axis=1)
    inside = ((state >= low - BOUND_TOLERANCE) & (state <= high + BOUND_TOLERANCE)).all(axis=1)
    fault = np.where(finite, np.where(inside, OK, OUT_OF_BOUNDS), NON_FINITE)
    return np.where(status == OK, fault, status)


def _closed_form(simulator: Simulator) -> Advance:
    def advance(t: Array, dt: Array, state: Array, control: Array, query_at: Array) -> _Flow:
        end = np.asarray(simulator.propagate(t, dt, state, control))
        inside = (query_at > 0) & (query_at < 1)
        asked = np.asarray(simulator.propagate(t, query_at * dt, state, control)) if inside.any() else state
        asked = np.where(inside[:, None], asked, np.where(query_at[:, None] > 0, end, state))
        return _Flow(end, asked, np.zeros(len(t), dtype=bool))

    return advance


def _fixed_step(simulator: Simulator) -> Advance:
    def advance(t: Array, dt: Array, state: Array, control: Array, query_at: Array) -> _Flow:
        step = runge_kutta_step(RK4, lambda time, inner: simulator.vector_field(time, inner, control), t, dt, state)
        asked = dense_state(RK4, step, dt, query_at)
        asked = np.where(query_at[:, None] < 1, asked, step.end)
        return _Flow(step.end, asked, np.zeros(len(t), dtype=bool))

    return advance


def _adaptive(simulator: Simulator, solver: str, rtol: float, atol: float, max_evaluations: int) -> Advance:
    alone: dict[int, Simulator] = {}

    def advance(t: Array, dt: Array, state: Array, control: Array, query_at: Array) -> _Flow:
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
        return _Flow(end, asked, np.asarray(np.isfinite(state).all(axis=1) & ~np.isfinite(end).all(axis=1)))

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


def _check_treatments(simulator: Simulator, timeline: Timeline) -> None:
    if timeline.jump.shape[2] != len(simulator.treatments):
        raise SimulationError(
            f"the timeline has {timeline.jump.shape[2]} treatments",
            where="solve",
            expected=f"{len(simulator.treatments)} of {simulator.name}",
        )
    for index, treatment in enumerate(simulator.treatments):
        wrong = timeline.control if treatment.kind == "bolus" else timeline.jump
        if wrong[:, :, index].any():
            given = "a period" if treatment.kind == "bolus" else "a bolus"
            raise SimulationError(f"{treatment.name} is given as {given}", where="solve", expected=treatment.kind)
