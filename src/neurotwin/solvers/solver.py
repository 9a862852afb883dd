"""What every solver offers: to advance a batch of states by one row."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from neurotwin.errors import SolverError
from neurotwin.runge_kutta import Tableau, dense_state, runge_kutta_step, step_error

Flow = Callable[[Tensor, Tensor], Tensor]
"""``flow(t, state) -> slope``: the vector field of one row, controls bound."""


OK, NON_FINITE, STEP_BUDGET = 0, 1, 2
"""Status of a subject: solved; a state or slope that is not finite; more evaluations needed than allowed."""


class Advance(NamedTuple):
    """After one row: the state at its ``end`` and ``at_query``, an error estimate shaped like the state (None where
    the method has none), and the ``status`` ``[batch]`` of each subject."""

    end: Tensor
    at_query: Tensor
    error: Tensor | None
    status: Tensor


class Solver(ABC):
    """A way to advance states.

    Args:
        max_step: longest step, in the schema's time unit; timelines are cut to it.
    """

    has_error: ClassVar[bool] = False
    exportable: ClassVar[bool] = False

    def __init__(self, max_step: float) -> None:
        if not max_step > 0 or max_step == float("inf"):
            raise SolverError(f"max_step is {max_step}", where=type(self).__name__, expected="a positive, finite time")
        self.max_step = float(max_step)

    @abstractmethod
    def advance(self, flow: Flow, t: Tensor, dt: Tensor, state: Tensor, query_at: Tensor) -> Advance:
        """Advance ``state`` ``[batch, state]`` from ``t`` ``[batch]`` by ``dt`` ``[batch]``; ``query_at`` ``[batch]``
        is the fraction of dt asked for."""


class FixedStep(Solver):
    """One explicit Runge-Kutta step per row. A method is a tableau and a subclass that names it."""

    tableau: ClassVar[Tableau]
    exportable = True

    def advance(self, flow: Flow, t: Tensor, dt: Tensor, state: Tensor, query_at: Tensor) -> Advance:
        step = runge_kutta_step(self.tableau, flow, t, dt, state)
        asked = dense_state(self.tableau, step, dt, query_at)
        error = step_error(self.tableau, step, dt) if self.tableau.error else None
        return Advance(step.end, asked, error, torch.where(torch.isfinite(step.end).all(-1), OK, NON_FINITE))

    def __init_subclass__(cls) -> None:
        cls.has_error = bool(cls.tableau.error)
