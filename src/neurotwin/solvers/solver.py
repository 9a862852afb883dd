"""What every solver offers: to advance a batch of states by one row."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from neurotwin.errors import SolverError
from neurotwin.runge_kutta import Step, Tableau, dense_state, step_error
from neurotwin.solvers.rows import Rows

VectorField = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""``vector_field(t, state, control, static) -> slope``; t ``[batch]``, the others ``[batch, ...]``."""
Flow = Callable[[Tensor, Tensor], Tensor]
"""``flow(t, state) -> slope``: the vector field of one row, controls bound."""
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


BACKENDS = ("torch", "fused")
ADJOINTS = ("store", "recompute")


class FixedStep(Solver):
    """One explicit Runge-Kutta step per row. A method is a tableau and a subclass that names it.

    Args:
        max_step: longest step, in the schema's time unit; timelines are cut to it.
        backend: what computes it. ``torch`` can do everything; ``fused`` solves an `neurotwin.solvers.MlpField` in
            compiled code on the CPU (single precision), and computes each row again when it goes back through it.
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

    def advance(self, flow: Flow, t: Tensor, dt: Tensor, state: Tensor, query_at: Tensor | None) -> Advance:
        if self.adjoint == "recompute" and torch.is_grad_enabled() and not torch.compiler.is_exporting():
            done: Advance = checkpoint(
                self._step, flow, t, dt, state, query_at, use_reentrant=False, preserve_rng_state=False
            )
            return done
        return self._step(flow, t, dt, state, query_at)

    def _step(self, flow: Flow, t: Tensor, dt: Tensor, state: Tensor, query_at: Tensor | None) -> Advance:
        step = step_of(self.tableau, flow, t, dt, state)
        asked = step.end if query_at is None else dense_state(self.tableau, step, dt, query_at)
        return Advance(step.end, asked, step_error(self.tableau, step, dt) if self.tableau.error else None)

    def __init_subclass__(cls) -> None:
        cls.has_error = bool(cls.tableau.error)


def step_of(tableau: Tableau, flow: Flow, t: Tensor, dt: Tensor, state: Tensor) -> Step:
    """`neurotwin.runge_kutta.runge_kutta_step` in as few operations of torch as it takes: in training on small batches
    their number is the cost."""
    stages: list[Tensor] = []
    width = dt.unsqueeze(-1)
    for row, node in zip(tableau.a, tableau.c, strict=True):
        inner = torch.addcmul(state, width, combined(row, stages)) if row else state
        stages.append(flow(torch.add(t, dt, alpha=node) if node else t, inner))
    return Step(state, torch.addcmul(state, width, combined(tableau.b, stages)), tuple(stages))


def combined(weights: Sequence[float], stages: Sequence[Tensor]) -> Tensor:
    """The weighted sum of stages; some weight is not 0."""
    parts = [(weight, stage) for weight, stage in zip(weights, stages, strict=True) if weight]
    weight, total = parts[0]
    total = total if weight == 1 else weight * total
    for weight, stage in parts[1:]:
        total = torch.add(total, stage, alpha=weight)
    return total
