"""Ways to advance a batch by one row: slope by slope, with what is known of all rows computed before, or fused."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from neurotwin.errors import SolverError
from neurotwin.solvers.mlp_field import MlpField, Told
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

    def __call__(self, t: Tensor, state: Tensor, row: Rows, along: tuple[Tensor, ...], *, inside: bool) -> Advance:
        """From ``state`` at times ``t``; ``inside``: a row's query may ask for another time than its end."""


@dataclass(frozen=True)
class BySlope:
    """Any vector field, any solver."""

    vector_field: VectorField
    solver: Solver
    static: Tensor
    along: tuple[Tensor, ...] = ()

    def __call__(self, t: Tensor, state: Tensor, row: Rows, along: tuple[Tensor, ...], *, inside: bool) -> Advance:
        return self.solver.advance(
            lambda time, inner: self.vector_field(time, inner, row.control, self.static),
            t,
            row.dt,
            state,
            row.query_at if inside else None,
        )


@dataclass(frozen=True)
class Hoisted:
    """An `MlpField` whose first layer has seen controls and covariates of all rows at once."""

    field: MlpField
    solver: Solver
    told: Told

    @property
    def along(self) -> tuple[Tensor, ...]:
        return self.told.first, self.told.drift

    def __call__(self, t: Tensor, state: Tensor, row: Rows, along: tuple[Tensor, ...], *, inside: bool) -> Advance:
        told = self.told._replace(first=along[0], drift=along[1])
        return self.solver.advance(
            lambda time, inner: self.field.slope(time, inner, told), t, row.dt, state, row.query_at if inside else None
        )


def advance_for(
    vector_field: VectorField, state: Tensor, rows: Rows, start: Tensor, static: Tensor, solver: Solver, *, graph: bool
) -> RowAdvance:
    """How a solver's backend advances a vector field; in a ``graph`` that is exported, always slope by slope.

    Raises:
        SolverError: a field or a state that the backend cannot express.
    """
    if graph:
        return BySlope(vector_field, solver, static)
    if isinstance(solver, FixedStep) and solver.backend == "fused":
        field = _expressible(vector_field, state, solver)
        from neurotwin.solvers import fused

        code = fused.library()
        if code is not None:
            solve = fused.fused_solve(code, solver.tableau, 1.0 / field.time)
            return Whole(solve, field, solver.tableau.c, rows, start, static)
    if isinstance(vector_field, MlpField):
        return Hoisted(vector_field, solver, vector_field.hoist(rows.control, static))
    return BySlope(vector_field, solver, static)


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
