"""odesolve: the one verb that acts out a Timeline."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from neurotwin.errors import SolverError
from neurotwin.solvers.rows import Rows, over_rows
from neurotwin.solvers.solver import OK, Solver

VectorField = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""``vector_field(t, state, control, static) -> slope``; t ``[batch]``, the others ``[batch, ...]``."""
Jump = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""``jump(t, state, amount, static) -> state`` at an instant."""
Update = Callable[[Tensor, Tensor, Rows, Tensor], Tensor]
"""``update(t, state, row, static) -> state`` at the END of a row with observations."""


class Solution(NamedTuple):
    """What became of a batch.

    Attributes:
        at_query: ``[batch, row, state]`` the state where each row's query asks (before the row's observation).
        final: ``[batch, state]`` after the last row; NaN for subjects whose status is not 0.
        clock: ``[batch]`` time of ``final``.
        error: ``[batch, row, state]`` sum of the absolute step-error estimates up to each row, or None.
        status: ``[batch]`` 0 ok, 1 non-finite, 2 step budget; of no meaning inside an exported graph.
    """

    at_query: Tensor
    final: Tensor
    clock: Tensor
    error: Tensor | None
    status: Tensor


def odesolve(
    vector_field: VectorField,
    state: Tensor,
    rows: Rows,
    *,
    start: Tensor,
    static: Tensor,
    solver: Solver,
    jump: Jump | None = None,
    update: Update | None = None,
) -> Solution:
    """Solve each subject along its own rows: jump, flow, query, observation.

    Args:
        vector_field: slope of the state.
        state: ``[batch, state]`` before the first row.
        rows: from a Timeline that was cut to ``solver.max_step``.
        start: ``[batch]`` clock before the first row.
        static: ``[batch, static]`` passed on to the callables.
        jump: how amounts change the state; without it amounts must be zero.
        update: how observations change the state; without it they are ignored.

    Raises:
        SolverError: shapes that do not fit, a row longer than the solver's max_step, amounts without a jump, an
            adaptive solver in a graph.
    """
    _check(state, rows, start, static, solver, jump)

    exporting = torch.compiler.is_exporting()

    def body(carry: tuple[Tensor, ...], row: Rows) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        before, t, *extra = carry
        begun = before if jump is None else jump(t, before, row.jump, static)
        done = solver.advance(
            lambda time, inner: vector_field(time, inner, row.control, static), t, row.dt, begun, row.query_at
        )
        after = done.end
        if update is not None:
            seen = (row.mask > 0).any(-1, keepdim=True)
            after = torch.where(seen, update(t + row.dt, after, row, static), after)
        kept = row.active & (row.peek == 0).unsqueeze(-1)
        # where() rather than arithmetic: padding must leave the state as it was, bit for bit.
        carried, asked = [torch.where(kept, after, before), torch.where(row.peek == 0, t + row.dt, t)], [done.at_query]
        if done.error is not None:
            total = extra.pop(0)
            asked.append(total + done.error.abs())
            carried.append(torch.where(kept, asked[1], total))
        if not exporting:
            found = torch.where(row.active.squeeze(-1), done.status, OK)  # what padding does has no consequence
            carried.append(torch.where(extra[0] == OK, found, extra[0]))
        return tuple(carried), tuple(asked)

    first = [state, start]
    if solver.has_error:
        first.append(torch.zeros_like(state))
    if not exporting:
        first.append(torch.zeros_like(start, dtype=torch.int64))
    carry, asked = over_rows(body, tuple(first), rows)
    final, clock, status = carry[0], carry[1], carry[-1]
    if not exporting:
        final = torch.where((status == OK).unsqueeze(-1), final, torch.nan)
    return Solution(asked[0], final, clock, asked[1] if solver.has_error else None, status)


def _check(state: Tensor, rows: Rows, start: Tensor, static: Tensor, solver: Solver, jump: Jump | None) -> None:
    if torch.compiler.is_exporting():
        if not solver.exportable:
            raise SolverError(
                f"{type(solver).__name__} cannot be exported",
                remedy="train or export with a fixed-step solver, e.g. rk4",
            )
        return
    if state.ndim != 2 or rows.dt.ndim != 2 or rows.dt.shape[0] != state.shape[0] or rows.dt.shape[1] < 1:
        raise SolverError(
            f"state has shape {tuple(state.shape)} and dt {tuple(rows.dt.shape)}",
            where="odesolve",
            expected="state [batch, state] and dt [batch, row >= 1]",
        )
    if start.shape != state.shape[:1] or static.shape[0] != state.shape[0]:
        raise SolverError(
            f"start has shape {tuple(start.shape)} and static {tuple(static.shape)}",
            where="odesolve",
            expected="start [batch] and static [batch, static]",
        )
    if torch._C._functorch.is_batchedtensor(rows.dt):  # under vmap the shapes are known and the numbers are not
        return
    longest = rows.dt.max()
    if not longest <= solver.max_step * (1 + 1e-5):
        raise SolverError(
            f"a row is {float(longest):g} long",
            where="odesolve",
            expected=f"at most max_step = {solver.max_step:g}",
            remedy="cut the timeline to the solver's max_step",
        )
    if jump is None and (rows.jump != 0).any():
        raise SolverError("the rows hold amounts but no jump is given", where="odesolve", remedy="pass jump=")
