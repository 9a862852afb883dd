"""Ways to advance a batch by one row: slope by slope, with what is known of all rows computed before, or fused."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from neurotwin.solvers.backends import check_device, expressible
from neurotwin.solvers.mlp_field import MlpField
from neurotwin.solvers.rows import Rows
from neurotwin.solvers.solver import Advance, FixedStep, Solver, VectorField
from neurotwin.solvers.whole import Solve, Whole


class RowAdvance(Protocol):
    """Advances a batch along a row; ``along`` are tensors ``[batch, row, ...]`` that are cut into rows with them."""

    @property
    def along(self) -> tuple[Tensor, ...]:
        """What goes along with the rows."""

    def __call__(self, t: Tensor, state: Tensor, row: Rows, along: tuple[Tensor, ...]) -> Advance:
        """From ``state`` at times ``t``."""


@dataclass(frozen=True)
class BySolver:
    """Any vector field, by a solver that chooses its steps."""

    vector_field: VectorField
    solver: Solver
    static: Tensor
    along: tuple[Tensor, ...] = ()

    def __call__(self, t: Tensor, state: Tensor, row: Rows, along: tuple[Tensor, ...]) -> Advance:
        def flow(time: Tensor, inner: Tensor) -> Tensor:
            return self.vector_field(time, inner, row.control, self.static)

        return self.solver.advance(flow, t, row.dt, state, row.query_at)


@dataclass(frozen=True)
class BySlope:
    """Any vector field, by one step per row; ``along``: weights of the stages in the row's answer, or nothing."""

    vector_field: VectorField
    solver: FixedStep
    static: Tensor
    along: tuple[Tensor, ...]

    def __call__(self, t: Tensor, state: Tensor, row: Rows, along: tuple[Tensor, ...]) -> Advance:
        nodes = self.solver.tableau.c

        def flow(stage: int, inner: Tensor) -> Tensor:
            time = torch.add(t, row.dt, alpha=nodes[stage]) if nodes[stage] else t
            return self.vector_field(time, inner, row.control, self.static)

        return self.solver.advance_along(flow, row.dt.unsqueeze(-1), state, along[0] if along else None)


class Hoisted:
    """An `MlpField` of which everything that state and slopes do not touch is computed for all rows at once: what its
    first layer gets from controls and covariates, its clock at the stages, the weights of the answers."""

    def __init__(
        self,
        field: MlpField,
        solver: FixedStep,
        rows: Rows,
        begins: Tensor,
        static: Tensor,
        answers: tuple[Tensor, ...],
    ) -> None:
        self.field, self.solver = field, solver
        self.told = field.hoist(rows.control, static)
        more = [rows.dt.unsqueeze(-1) / field.time, self.told.first]
        if field.drift is not None:
            more.append(self.told.drift)
        if field.use_clock:
            nodes = rows.dt.new_tensor(solver.tableau.c)
            more.append(field.clock(begins.unsqueeze(-1) + rows.dt.unsqueeze(-1) * nodes))
        self.along = (*more, *(one / field.time for one in answers))

    def __call__(self, t: Tensor, state: Tensor, row: Rows, along: tuple[Tensor, ...]) -> Advance:
        width, first, *rest = along
        told = self.told._replace(first=first)
        if self.field.drift is not None:
            told = told._replace(drift=rest.pop(0))
        clocks = rest.pop(0).split(1, dim=-1) if self.field.use_clock else None

        def flow(stage: int, inner: Tensor) -> Tensor:
            return self.field.slope(None if clocks is None else clocks[stage], inner, told)

        return self.solver.advance_along(flow, width, state, rest[0] if rest else None)


def advance_for(
    vector_field: VectorField,
    state: Tensor,
    rows: Rows,
    *,
    start: Tensor,
    begins: Tensor,
    static: Tensor,
    solver: Solver,
    inside: bool,
) -> RowAdvance:
    """How a solver's backend advances a vector field.

    Args:
        begins: ``[batch, row]`` clock at the beginning of each row.
        inside: whether some query asks for another time than its row's end.

    Raises:
        SolverError: a field or a state that the backend cannot express, or a backend that is not there.
    """
    if not isinstance(solver, FixedStep):
        return BySolver(vector_field, solver, static)
    if solver.backend in ("fused", "triton") and not torch.compiler.is_exporting():
        if solver.backend == "triton":
            check_device("triton", state.device)
        field = expressible(vector_field, state, solver)
        solve = _solve_of(solver, field)
        if solve is not None:
            return Whole(solve, field, solver.tableau.c, rows, start, static)
    answers = (solver.answers(rows.dt, rows.query_at),) if inside else ()
    if isinstance(vector_field, MlpField):
        return Hoisted(vector_field, solver, rows, begins, static, answers)
    return BySlope(vector_field, solver, static, answers)


def _solve_of(solver: FixedStep, field: MlpField) -> Solve | None:
    """A whole solve by the solver's backend; None where it falls back, which it has told."""
    if solver.backend == "triton":
        from neurotwin.solvers.triton_kernels import triton_solve

        return triton_solve(solver.tableau, 1.0 / field.time)
    from neurotwin.solvers import fused

    code = fused.library()
    return None if code is None else fused.fused_solve(code, solver.tableau, 1.0 / field.time)
