"""What every solver offers: to advance a batch of states by one row."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from neurotwin.errors import SolverError
from neurotwin.runge_kutta import Tableau, dense_weight
from neurotwin.solvers.rows import Rows

if TYPE_CHECKING:  # recordings know solvers, which are no numbers
    from neurotwin.solvers.cuda_graphs import Graphs

VectorField = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""``vector_field(t, state, control, static) -> slope``; t ``[batch]``, the others ``[batch, ...]``."""
Flow = Callable[[Tensor, Tensor], Tensor]
"""``flow(t, state) -> slope``: the vector field of one row, controls bound."""
FlowAt = Callable[[int, Tensor], Tensor]
"""``flow(stage, state) -> slope``: of a row, at the time of a stage of the method."""
Jump = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""``jump(t, state, amount, static) -> state`` at an instant."""
Update = Callable[[Tensor, Tensor, Rows, Tensor], Tensor]
"""``update(t, state, row, static) -> state`` at the END of a row with observations."""


OK, NON_FINITE, STEP_BUDGET = 0, 1, 2
"""Status of a subject: solved; a state or slope that is not finite; more evaluations needed than allowed."""


class Advance(NamedTuple):
    """After one row: the state at its ``end`` and ``at_query``, an error estimate shaped like the state (None where
    the method has none), and the ``status`` ``[batch]`` of each subject (None where the state itself tells it: it is
    not finite)."""

    end: Tensor
    at_query: Tensor
    error: Tensor | None = None
    status: Tensor | None = None


class Solver(ABC):
    """A way to advance states.

    Args:
        max_step: longest step, in the schema's time unit; timelines are cut to it.
    """

    has_error: ClassVar[bool] = False
    tells_status: ClassVar[bool] = False
    exportable: ClassVar[bool] = False
    backend = "torch"

    def __init__(self, max_step: float) -> None:
        if not max_step > 0 or max_step == float("inf"):
            raise SolverError(f"max_step is {max_step}", where=type(self).__name__, expected="a positive, finite time")
        self.max_step = float(max_step)

    @abstractmethod
    def advance(self, flow: Flow, t: Tensor, dt: Tensor, state: Tensor, query_at: Tensor | None) -> Advance:
        """Advance ``state`` ``[batch, state]`` from ``t`` ``[batch]`` by ``dt`` ``[batch]``; ``query_at`` ``[batch]``
        is the fraction of dt asked for, None asks for the end."""


BACKENDS = ("torch", "fused", "cuda_graph", "triton")
ADJOINTS = ("store", "recompute")


class FixedStep(Solver):
    """One explicit Runge-Kutta step per row. A method is a tableau and a subclass that names it.

    Args:
        max_step: longest step, in the schema's time unit; timelines are cut to it.
        backend: what computes it. ``torch`` can do everything; ``fused`` solves an `neurotwin.solvers.MlpField` in
            compiled code on the CPU (single precision), and computes each row again when it goes back through it;
            ``triton`` does the same on a GPU; ``cuda_graph`` records a solve of any field on a GPU and replays it.
            Whether a backend is there is asked when something is solved; an export needs none but torch.
        adjoint: ``store`` keeps what each row computed for the way back; ``recompute`` keeps its first state alone and
            computes it again, in less memory and more time.

    Raises:
        SolverError: no such backend or adjoint.
    """

    tableau: ClassVar[Tableau]
    exportable = True

    def __init__(self, max_step: float, backend: str = "torch", adjoint: str = "store") -> None:
        super().__init__(max_step)
        for name, value, known in (("backend", backend, BACKENDS), ("adjoint", adjoint, ADJOINTS)):
            if value not in known:
                raise SolverError(f"no {name} {value!r}", where=f"solver.{name}", expected=f"one of {', '.join(known)}")
        self.backend, self.adjoint = backend, adjoint

    @cached_property
    def graphs(self) -> "Graphs":
        """Recorded loops over rows, for the backend ``cuda_graph``."""
        from neurotwin.solvers.cuda_graphs import Graphs

        return Graphs()

    def advance(self, flow: Flow, t: Tensor, dt: Tensor, state: Tensor, query_at: Tensor | None) -> Advance:
        if not (self.backend == "torch" or torch.compiler.is_exporting() or self._recording()):
            raise SolverError(
                f"the {self.backend} backend has no part in a model that takes its steps one by one",
                where="solver.backend",
                expected="torch",
                remedy="solver.backend=torch",
            )
        nodes = self.tableau.c
        answers = None if query_at is None else self.answers(dt, query_at)
        return self.advance_along(
            lambda stage, inner: flow(torch.add(t, dt, alpha=nodes[stage]) if nodes[stage] else t, inner),
            dt.unsqueeze(-1),
            state,
            answers,
        )

    def _recording(self) -> bool:
        """Whether a step is part of a loop that is recorded."""
        return self.backend == "cuda_graph" and self.graphs.active

    def answers(self, dt: Tensor, query_at: Tensor) -> Tensor:
        """``[..., stage]`` weights of the stages, times ``dt`` ``[...]``, in the state at fractions ``query_at`` of a
        row; by the continuous extension."""
        return torch.stack([dense_weight(self.tableau, stage, query_at) * dt for stage in range(self.n_stages)], dim=-1)

    def advance_along(self, flow: FlowAt, width: Tensor, state: Tensor, answers: Tensor | None) -> Advance:
        """Advance by a row of length ``width`` ``[batch, 1]``, in the unit of time of the slopes that ``flow(stage,
        state)`` gives; ``answers`` are those of the row's query, None asks for the end."""
        if self.adjoint == "recompute" and torch.is_grad_enabled() and not torch.compiler.is_exporting():
            done: Advance = checkpoint(
                self._step, flow, width, state, answers, use_reentrant=False, preserve_rng_state=False
            )
            return done
        return self._step(flow, width, state, answers)

    @property
    def n_stages(self) -> int:
        """Slopes of a step."""
        return len(self.tableau.b)

    def _step(self, flow: FlowAt, width: Tensor, state: Tensor, answers: Tensor | None) -> Advance:
        """`neurotwin.runge_kutta.runge_kutta_step` in as few operations of torch as it takes: in training on small
        batches, and in a graph for one patient, their number is the cost."""
        stages: list[Tensor] = []
        for number, row in enumerate(self.tableau.a):
            inner = torch.addcmul(state, width, _combined(row, stages)) if row else state
            stages.append(flow(number, inner))
        end = asked = torch.addcmul(state, width, _combined(self.tableau.b, stages))
        if answers is not None:
            asked = state
            for weight, slope in zip(answers.split(1, dim=-1), stages, strict=True):
                asked = torch.addcmul(asked, weight, slope)
        error = width * _combined(self.tableau.error, stages) if self.tableau.error else None
        return Advance(end, asked, error)

    def __init_subclass__(cls) -> None:
        cls.has_error = bool(cls.tableau.error)


def _combined(weights: Sequence[float], stages: Sequence[Tensor]) -> Tensor:
    """The weighted sum of stages; some weight is not 0."""
    parts = [(weight, stage) for weight, stage in zip(weights, stages, strict=True) if weight]
    weight, total = parts[0]
    total = total if weight == 1 else weight * total
    for weight, stage in parts[1:]:
        total = total - stage if weight == -1 else torch.add(total, stage, alpha=weight)
    return total
