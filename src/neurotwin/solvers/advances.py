"""Ways to advance a batch by one row: slope by slope, with what is known of all rows computed before, or fused."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from neurotwin.errors import SolverError
from neurotwin.solvers.mlp_field import MlpField
from neurotwin.solvers.rows import Rows
from neurotwin.solvers.solver import Advance, FixedStep, Solver, VectorField
from neurotwin.solvers.whole import Whole

MOST_UNITS = 4096
"""Of a layer, in compiled code."""


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
        SolverError: a field or a state that the backend cannot express.
    """
    if not isinstance(solver, FixedStep):
        return BySolver(vector_field, solver, static)
    if solver.backend == "fused" and not torch.compiler.is_exporting():
        field = _expressible(vector_field, state, solver)
        from neurotwin.solvers import fused

        code = fused.library()
        if code is not None:
            solve = fused.fused_solve(code, solver.tableau, 1.0 / field.time)
            return Whole(solve, field, solver.tableau.c, rows, start, static)
    answers = (solver.answers(rows.dt, rows.query_at),) if inside else ()
    if isinstance(vector_field, MlpField):
        return Hoisted(vector_field, solver, rows, begins, static, answers)
    return BySlope(vector_field, solver, static, answers)


def _expressible(vector_field: VectorField, state: Tensor, solver: Solver) -> MlpField:
    wrong = None
    if not isinstance(vector_field, MlpField):
        wrong = f"{getattr(vector_field, '__qualname__', type(vector_field).__name__)} is no MlpField"
    elif state.device.type != "cpu" or str(state.dtype) != "torch.float32":
        wrong = f"the state is {state.dtype} on {state.device}"
    elif max(layer.out_features for layer in vector_field.linears) > MOST_UNITS:
        wrong = f"a layer has more than {MOST_UNITS} units"
    elif solver.has_error:
        wrong = f"it has no error estimate, which {type(solver).__name__} gives"
    if wrong is not None:
        raise SolverError(
            f"the fused backend cannot solve this: {wrong}",
            where="solver.backend",
            expected="a network of SiLU layers as vector field (neurotwin.solvers.MlpField), in float32 on the CPU",
            remedy="solver.backend=torch solves any vector field on any device",
        )
    return vector_field  # type: ignore[return-value]
