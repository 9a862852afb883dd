"""TorchEngine: acts out a Timeline with a simulator, all patients at once, on a CPU or a GPU.

The same rows, steps, questions and faults as the numpy engine of `neurotwin.simulators.engine`, to which it is held.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurotwin.errors import SolverError
from neurotwin.solution import Solution
from neurotwin.solvers.kernels import Kernels, Values, compiled_kernels, works_on_columns
from neurotwin.timeline import Timeline

Array = NDArray[np.float64]
Advance = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""Number of a row, state and status at its beginning, to the state at its end and where it is asked, and the status."""
DTYPES = {"float64": torch.float64, "float32": torch.float32}


@dataclass(frozen=True)
class TorchEngine:
    """An engine for `neurotwin.simulators.engine.solve`: closed forms, and fixed steps of Kutta's 3/8 rule.

    Args:
        dtype: of all numbers. Single precision is faster and keeps about six digits: try it on your model.
        device: as torch names it, such as ``cpu`` or ``cuda``.
        compiled: compile the fixed steps. Costs some seconds once per model (torch keeps the result on disk), then
            each step is one pass over memory: for many patients or many steps. Equations that multiply the whole state
            by a matrix are left as they are.

    Raises:
        SolverError: a dtype or device that there is not.
    """

    dtype: Literal["float64", "float32"] = "float64"
    device: str = "cpu"
    compiled: bool = False

    methods: ClassVar[tuple[str, ...]] = ("closed_form", "rk4")
    versions: ClassVar[Mapping[str, str]] = {"numpy": np.__version__, "torch": torch.__version__}

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise SolverError(f"dtype {self.dtype!r}", where="TorchEngine", expected=" | ".join(DTYPES))
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
            reason = str(error).splitlines()[0]
            raise SolverError(f"device {self.device!r}: {reason}", where="TorchEngine", remedy="use cpu") from None

    def __call__(
        self, simulator: Any, timeline: Timeline, method: str, state: Array, status: NDArray[np.int64]
    ) -> Solution:
        """As `neurotwin.simulators.engine.Engine`."""
        with torch.no_grad():
            course = _Course(self, simulator, timeline, method)
            return course.run(self.tensor(state.T), self.tensor(status))

    def tensor(self, array: Any) -> Tensor:
        """A numpy array as a tensor of this engine, in one piece."""
        return torch.as_tensor(np.ascontiguousarray(array), device=self.device).to(DTYPES[self.dtype])


class _Plan(NamedTuple):
    """How one row is walked, each ``[batch]``: the ``length`` of a step; asked within it after ``before`` steps, at the
    ``share`` of the next one (0: not asked there); ``goal``, the steps to its end (0: not walked to its end)."""

    length: Array
    before: Array
    share: Array
    goal: Array

    @classmethod
    def of(cls, dt: Array, query_at: Array, peek: NDArray[np.bool_], max_step: float) -> "_Plan":
        count = np.maximum(1.0, np.ceil(dt / max_step - 1e-9))
        inside = _inside(dt, query_at, peek)
        before = np.where(inside, np.clip(np.ceil(query_at * count) - 1, 0, count - 1), 0.0)
        share = np.where(inside, query_at * count - before, 0.0)
        return cls(dt / count, before, share, np.where(peek | (dt <= 0), 0.0, count))


def _inside(dt: Array, query_at: Array, peek: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Who is asked before a row's end, or at the end of one that is not walked to it."""
    return np.asarray((query_at > 0) & ((query_at < 1) | peek) & (dt > 0))


class _Course:
    """One timeline being acted out, row by row."""

    def __init__(self, engine: TorchEngine, simulator: Any, timeline: Timeline, method: str) -> None:
        self.engine, self.tensor = engine, engine.tensor
        # Turned once, so that what belongs to a row lies in one piece.
        self.dt, self.query_at, self.jump, self.control, peek = (
            np.ascontiguousarray(np.moveaxis(item, 0, -1))
            for item in (timeline.dt, timeline.query_at, timeline.jump, timeline.control, timeline.peek)
        )
        self.peek = np.asarray(peek > 0)
        self.names, self.values = _values(simulator, engine)
        self.simulator, self.closed = simulator, method == "closed_form"
        self.clock = timeline.start

    def run(self, state: Tensor, status: Tensor) -> Solution:
        """From the state before the first row to the solution."""
        kernels = self._kernels(state)
        advance = self._closed_form(kernels) if self.closed else _FixedSteps(self, kernels, state)
        status, answers = kernels.judge(state, status), []
        for row, peek in enumerate(self.peek):
            begun = kernels.jump(state, self.tensor(self.jump[row]), self.values) if self.jump[row].any() else state
            end, asked, status = advance(row, begun, status)
            at_end = (self.query_at[row] >= 1) & ~peek
            state, asked, status = kernels.finish(end, asked, state, self.tensor(at_end), self.tensor(peek), status)
            answers.append(asked)
            self.clock = np.where(peek, self.clock, self.clock + self.dt[row])
        at_query = torch.stack(answers).permute(2, 0, 1)
        found, final = (item.to("cpu", torch.float64).numpy() for item in (at_query, state.T))
        return Solution(found, final, self.clock, status.to("cpu", torch.int64).numpy())

    def _kernels(self, state: Tensor) -> Kernels:
        held = self.tensor(self.control[0])
        packed = self.closed or not works_on_columns(self.simulator, self.names, self.values, state, held)
        # Packed equations are products of matrices, which compiling does not make faster.
        if self.engine.compiled and not packed:
            return compiled_kernels(self.simulator, self.names, self.values)
        return Kernels(self.simulator, self.names, packed, compiled=False)

    def _closed_form(self, kernels: Kernels) -> Advance:
        model = kernels.model_of(self.values)

        def advance(row: int, begun: Tensor, status: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            dt, inside = self.tensor(self.dt[row]), _inside(self.dt[row], self.query_at[row], self.peek[row])
            t, state, control = self.tensor(self.clock), begun.T, self.tensor(self.control[row]).T
            end = torch.where(dt > 0, model.propagate(t, dt, state, control).T, begun)
            if not inside.any():
                return end, begun, status
            share = self.tensor(np.where(inside, self.query_at[row], 0.0))
            asked = torch.where(share > 0, model.propagate(t, share * dt, state, control).T, begun)
            return end, asked, status

        return advance


class _FixedSteps:
    """Each row in equal steps, each subject with its own number of them.

    A peek looks at a stretch that the next row walks too, so what has been walked is kept for it. How many steps a row
    needs is known beforehand: nothing has to be asked of the device on the way.
    """

    def __init__(self, course: _Course, kernels: Kernels, state: Tensor) -> None:
        self.course, self.kernels, self.state = course, kernels, state
        self.none, self.control = torch.zeros_like(state[0]), course.tensor(course.control[0])
        # Steps done in this row, on the device and here.
        self.done, self.counted = self.none, np.zeros(len(course.clock))

    def __call__(self, row: int, begun: Tensor, status: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        course, self.status = self.course, status
        peek, resumed = course.peek[row], course.peek[row - 1] if row else np.zeros_like(course.peek[0])
        plan = _Plan.of(course.dt[row], course.query_at[row], peek, course.simulator.max_step)
        if row and not np.array_equal(course.control[row], course.control[row - 1]):
            self.control = course.tensor(course.control[row])
        if resumed.any():
            again = course.tensor(resumed) > 0
            self.state, self.done = torch.where(again, self.state, begun), torch.where(again, self.done, 0.0)
            self.counted = np.where(resumed, self.counted, 0.0)
        else:
            self.state, self.done, self.counted = begun, self.none, np.zeros_like(self.counted)
        t, length, asked = course.tensor(course.clock), course.tensor(plan.length), begun
        if plan.share.any():
            self._walk_to(t, length, plan.before)
            share = course.tensor(plan.share)
            asked = self.kernels.dense(t, length, self.state, self.control, self.done, share, course.values)
        self._walk_to(t, length, plan.goal)
        return self.state, asked, self.status

    def _walk_to(self, t: Tensor, length: Tensor, goal: Array) -> None:
        steps, aim = int((goal - self.counted).max(initial=0)), self.course.tensor(goal)
        for _ in range(steps):
            self.state, self.done, self.status = self.kernels.step(
                t, length, self.state, self.control, self.done, aim, self.status, self.course.values
            )
        self.counted = np.maximum(self.counted, goal)


def _values(simulator: Any, engine: TorchEngine) -> tuple[list[str], Values]:
    """Names and values of the parameters that have one value per patient, single numbers first."""
    axes = {name: len(item.shape) for name, item in simulator.parameters.items()}
    names = [name for name, n in axes.items() if np.ndim(getattr(simulator, name)) > n]
    numbers, others = [name for name in names if not axes[name]], [name for name in names if axes[name]]
    table = np.stack([getattr(simulator, name) for name in numbers]) if numbers else np.zeros((0, 0))
    return [*numbers, *others], Values(
        engine.tensor(table), tuple(engine.tensor(getattr(simulator, name)) for name in others)
    )
