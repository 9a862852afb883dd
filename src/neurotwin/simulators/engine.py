"""solve: act out a Timeline with a simulator.

Three ways, one door: the simulator's own closed form; fixed steps of Kutta's 3/8 rule, the whole batch at once, each
row in equal steps no longer than the simulator's ``max_step``; or an adaptive solver of scipy, subject by subject
between events, as the truth that the others are held to. A trajectory that is not finite, leaves its state's bounds or
exhausts its budget is marked, never clipped; its neighbours in the batch are not touched.

What does the work is an `Engine`. `NumpyEngine` is the one that others are held to; `neurotwin.solvers.mechanism` has
one for torch, which this tower does not know: it is handed in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

from neurotwin.errors import SimulationError
from neurotwin.schema import Treatment
from neurotwin.simulators.adaptive import adaptive
from neurotwin.simulators.fixed_steps import walk_in_steps
from neurotwin.simulators.judge import judge
from neurotwin.simulators.rows import Advance, Flow, Row
from neurotwin.simulators.simulator import Simulator
from neurotwin.solution import OK, STEP_BUDGET, Solution
from neurotwin.timeline import Timeline

Array = NDArray[np.float64]
Method = Literal["auto", "closed_form", "rk4", "dop853", "lsoda"]
METHODS: tuple[Method, ...] = ("auto", "closed_form", "rk4", "dop853", "lsoda")


class Engine(Protocol):
    """What acts out a timeline whose doses `solve` has checked. Must be picklable, and plain data for provenance."""

    @property
    def methods(self) -> tuple[str, ...]:
        """Those of `METHODS` that it has."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the libraries that its numbers depend on."""
        ...

    def __call__(
        self, simulator: Simulator, timeline: Timeline, method: str, state: Array, status: NDArray[np.int64]
    ) -> Solution:
        """``method`` is one of its ``methods``, not ``auto``; ``state`` ``[batch, state]`` before the first row,
        ``status`` ``[batch]``."""
        ...


@dataclass(frozen=True)
class NumpyEngine:
    """All methods, in double precision on one CPU core.

    Args:
        rtol, atol: of the adaptive methods.
        max_evaluations: of the adaptive methods, per row and subject.
    """

    rtol: float = 1e-10
    atol: float = 1e-12
    max_evaluations: int = 200_000

    methods: ClassVar[tuple[str, ...]] = METHODS[1:]
    versions: ClassVar[Mapping[str, str]] = {"numpy": np.__version__, "scipy": scipy.__version__}

    def __call__(
        self, simulator: Simulator, timeline: Timeline, method: str, state: Array, status: NDArray[np.int64]
    ) -> Solution:
        if method == "rk4":
            return walk_in_steps(simulator, timeline, state, judge(simulator, state, status))
        if method == "closed_form":
            advance = _closed_form(simulator)
        else:
            name = {"dop853": "DOP853", "lsoda": "LSODA"}[method]
            advance = adaptive(simulator, name, self.rtol, self.atol, self.max_evaluations)
        with np.errstate(all="ignore"):  # what overflows is marked by its status
            return _walk(simulator, timeline, state, judge(simulator, state, status), advance)


NUMPY = NumpyEngine()


def solve(
    simulator: Simulator,
    timeline: Timeline,
    *,
    method: Method = "auto",
    state: Array | None = None,
    status: NDArray[np.int64] | None = None,
    rtol: float = 1e-10,
    atol: float = 1e-12,
    max_evaluations: int = 200_000,
    engine: Engine | None = None,
) -> Solution:
    """Solve each subject along its own rows: jump, flow, query.

    Observations in the timeline only cut it; their values are not looked at.

    Args:
        simulator: its array parameters have one value per subject of the timeline.
        timeline: of events that the simulator has `Simulator.acted_out`.
        method: ``auto`` takes the closed form if there is one, else rk4; ``dop853`` and ``lsoda`` are scipy's.
        state: ``[batch, state]`` before the first row; default: the simulator's initial state.
        status: ``[batch]`` of an earlier part of the course; who failed there stays failed.
        rtol, atol, max_evaluations: of the adaptive methods; the last counts per row and subject.
        engine: what does the work; None: a `NumpyEngine` with these tolerances.

    Raises:
        SimulationError: an unknown method or one that the simulator lacks, shapes that do not fit, a state that is
            not finite, or a treatment in a way or an amount that its description forbids.
    """
    engine = engine or NumpyEngine(rtol, atol, max_evaluations)
    chosen = _choose(simulator, method, engine)
    _check_treatments(simulator, timeline)
    n = timeline.n_subjects
    if simulator.batch_size not in (None, n):
        raise SimulationError(f"parameters of {simulator.batch_size} subjects", where="solve", expected=f"{n} subjects")
    state = np.asarray(simulator.initial_state(n) if state is None else state, dtype=np.float64)
    shape = (n, len(simulator.states))
    if state.shape != shape:
        raise SimulationError(f"state has shape {state.shape}", where="solve", expected=f"{shape}")
    status = np.zeros(n, dtype=np.int64) if status is None else status
    if not np.isfinite(state[status == OK]).all():
        subject, column = np.argwhere(~np.isfinite(state) & (status == OK)[:, None])[0]
        name = simulator.states[column].name
        raise SimulationError(f"state {name} is {state[subject, column]}", where="solve", expected="a finite number")
    return engine(simulator, timeline, chosen, state, status)


def _choose(simulator: Simulator, method: Method, engine: Engine) -> Method:
    if method not in METHODS:
        raise SimulationError(f"method {method!r}", where="solve", expected=" | ".join(METHODS))
    if method == "auto":
        return "closed_form" if simulator.has_closed_form else "rk4"
    if method not in engine.methods:
        where, expected = type(engine).__name__, " | ".join(("auto", *engine.methods))
        raise SimulationError(f"method {method}", where=where, expected=expected, remedy="or take the numpy engine")
    return method


def _walk(
    simulator: Simulator, timeline: Timeline, state: Array, status: NDArray[np.int64], advance: Advance
) -> Solution:
    clock = timeline.start.astype(np.float64)
    at_query = []
    for row in range(timeline.n_rows):
        dt, jump = timeline.dt[:, row], timeline.jump[:, row]
        begun = np.asarray(simulator.jump(state, jump)) if jump.any() else state
        peek = timeline.peek[:, row] > 0
        flow = advance(Row(clock, dt, timeline.control[:, row], timeline.query_at[:, row]), begun)
        flows = dt > 0
        end, asked = (np.where(flows[:, None], item, begun) for item in (flow.end, flow.at_query))
        status = np.where((status == OK) & flows & flow.given_up, STEP_BUDGET, status)
        status = judge(simulator, asked, judge(simulator, end, status))
        failed = (status != OK)[:, None]
        at_query.append(np.where(failed, np.nan, asked))
        state = np.where(failed, np.nan, np.where(peek[:, None], state, end))
        clock = np.where(peek, clock, clock + dt)
    return Solution(np.stack(at_query, axis=1), state, clock, status)


def _closed_form(simulator: Simulator) -> Advance:
    def advance(row: Row, state: Array) -> Flow:
        t, dt, control, query_at = row.t, row.dt, row.control, row.query_at
        end = np.asarray(simulator.propagate(t, dt, state, control))
        inside = (query_at > 0) & (query_at < 1)
        asked = np.asarray(simulator.propagate(t, query_at * dt, state, control)) if inside.any() else state
        asked = np.where(inside[:, None], asked, np.where(query_at[:, None] > 0, end, state))
        return Flow(end, asked, np.zeros(len(t), dtype=bool))

    return advance


def _check_treatments(simulator: Simulator, timeline: Timeline) -> None:
    if timeline.jump.shape[2] != len(simulator.treatments):
        raise SimulationError(
            f"the timeline has {timeline.jump.shape[2]} treatments",
            where="solve",
            expected=f"{len(simulator.treatments)} of {simulator.name}",
        )
    for index, treatment in enumerate(simulator.treatments):
        jump, control = timeline.jump[:, :, index], timeline.control[:, :, index]
        if treatment.name in simulator.delivered:
            if jump.any() and not control.any():
                remedy = "build the timeline from simulator.acted_out(doses)"
                raise SimulationError(f"{treatment.name} is not delivered", where="solve", remedy=remedy)
            continue
        given, wrong, way = (jump, control, "a period") if treatment.kind == "bolus" else (control, jump, "a bolus")
        if wrong.any():
            raise SimulationError(f"{treatment.name} is given as {way}", where="solve", expected=treatment.kind)
        _check_amounts(treatment, given)


def _check_amounts(treatment: Treatment, given: Array) -> None:
    """What acts at one time, doses that overlap added up."""
    low, high = treatment.plausible
    bad = given[~((given >= low) & (given <= high)) & (given != 0)]
    if bad.size:
        expected = f"{low:g} to {high:g} {treatment.unit} at any one time"
        raise SimulationError(f"{treatment.name} = {bad[0]:g} {treatment.unit}", where="solve", expected=expected)
