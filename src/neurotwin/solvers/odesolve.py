"""odesolve: the one verb that acts out a Timeline."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from neurotwin.errors import SolverError
from neurotwin.solvers.advances import RowAdvance, advance_for
from neurotwin.solvers.backends import capturing, check_device
from neurotwin.solvers.folded import folded_for
from neurotwin.solvers.rows import Body, Rows, clock_of, over_rows
from neurotwin.solvers.solver import NON_FINITE, OK, FixedStep, Jump, Solver, Update, VectorField
from neurotwin.solvers.whole import Whole


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


class Facts(NamedTuple):
    """What holds for some row of some subject, so that a loop over rows need not provide for what does not occur.

    Attributes:
        doses: something is given.
        inside: a query asks for another time than its row's end.
    """

    doses: bool = True
    inside: bool = True


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
        vector_field: slope of the state. An `neurotwin.solvers.MlpField` is solved faster than any other callable.
        state: ``[batch, state]`` before the first row.
        rows: from a Timeline that was cut to ``solver.max_step``.
        start: ``[batch]`` clock before the first row.
        static: ``[batch, static]`` passed on to the callables.
        jump: how amounts change the state; without it amounts must be zero.
        update: how observations change the state; without it they are ignored.

    Raises:
        SolverError: shapes that do not fit, a row longer than the solver's max_step, amounts without a jump, an
            adaptive solver in a graph, a vector field that the solver's backend cannot express
            or record, a backend that is not there.
    """
    exporting = torch.compiler.is_exporting()
    facts = _check(state, rows, start, static, solver, jump)
    clock, begins = clock_of(rows, start)
    folded = folded_for(vector_field, solver, rows, begins, static) if exporting and update is None else None
    if folded is not None:
        at_query, final = folded.solve(state, jump)
        return Solution(at_query, final, clock, None, torch.zeros_like(start))
    advance = advance_for(
        vector_field, state, rows, start=start, begins=begins, static=static, solver=solver, inside=facts.inside
    )
    if update is None and not facts.doses and isinstance(advance, Whole):
        at_query, final = advance.whole(state)
        status = _told_by(at_query, final, rows)
        return Solution(at_query, _lost(final, status), clock, None, status)
    counted = solver.tells_status and not exporting
    body = _body(advance, static, jump if facts.doses else None, update, counted=counted)
    first = [state]
    if solver.has_error:
        first.append(torch.zeros_like(state))
    if counted:
        first.append(torch.zeros_like(start, dtype=torch.int64))
    seen = (rows.mask > 0).any(-1, keepdim=True) if update is not None else rows.active
    carry, asked = _loop(solver, state)(body, tuple(first), rows, begins, rows.kept, seen, *advance.along)
    final, error = carry[0], asked[1] if solver.has_error else None
    if exporting:
        return Solution(asked[0], final, clock, error, torch.zeros_like(start))
    status = carry[-1] if counted else _told_by(asked[0], final, rows)
    return Solution(asked[0], _lost(final, status), clock, error, status)


def _loop(solver: Solver, state: Tensor) -> Callable[..., tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]:
    """What goes over the rows: `over_rows`, or recordings of it (inside someone else's recording, the former)."""
    if not isinstance(solver, FixedStep) or solver.backend != "cuda_graph" or torch.compiler.is_exporting():
        return over_rows
    check_device("cuda_graph", state.device)
    return over_rows if capturing() else solver.graphs


def _body(advance: RowAdvance, static: Tensor, jump: Jump | None, update: Update | None, *, counted: bool) -> Body:
    def body(
        carry: tuple[Tensor, ...], row: Rows, t: Tensor, kept: Tensor, seen: Tensor, *along: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        before, *extra = carry
        begun = before if jump is None else jump(t, before, row.jump, static)
        done = advance(t, begun, row, along)
        after = done.end if update is None else torch.where(seen, update(t + row.dt, done.end, row, static), done.end)
        # where() rather than arithmetic: padding must leave the state as it was, bit for bit.
        carried, asked = [torch.where(kept, after, before)], [done.at_query]
        if done.error is not None:
            total = extra.pop(0)
            asked.append(total + done.error.abs())
            carried.append(torch.where(kept, asked[1], total))
        if counted and done.status is not None:
            found = torch.where(row.active.squeeze(-1), done.status, OK)  # what padding does has no consequence
            carried.append(torch.where(extra[0] == OK, found, extra[0]))
        return tuple(carried), tuple(asked)

    return body


def _told_by(at_query: Tensor, final: Tensor, rows: Rows) -> Tensor:
    """Status ``[batch]`` by the states themselves: what is not finite once stays so. Padding has no say."""
    finite = torch.isfinite(at_query).all(-1) | ~rows.active.squeeze(-1)
    return torch.where(finite.all(1) & torch.isfinite(final).all(-1), OK, NON_FINITE)


def _lost(final: Tensor, status: Tensor) -> Tensor:
    return torch.where((status == OK).unsqueeze(-1), final, torch.nan)


def _check(state: Tensor, rows: Rows, start: Tensor, static: Tensor, solver: Solver, jump: Jump | None) -> Facts:
    if torch.compiler.is_exporting():
        if not solver.exportable:
            raise SolverError(
                f"{type(solver).__name__} cannot be exported",
                remedy="train or export with a fixed-step solver, e.g. rk4",
            )
        return Facts()
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
    # Under vmap, or while someone records a graph, the shapes are known and the numbers are not.
    if torch._C._functorch.is_batchedtensor(rows.dt) or capturing():
        return Facts()
    # One question to the device, before the loop: inside it the host waits for nothing.
    short = (rows.dt <= solver.max_step * (1 + 1e-5)).all()
    told = torch.stack([short, (rows.jump != 0).any(), (rows.query_at != 1).any()]).tolist()
    if not told[0]:
        raise SolverError(
            f"a row is {float(rows.dt.max()):g} long",
            where="odesolve",
            expected=f"at most max_step = {solver.max_step:g}",
            remedy="cut the timeline to the solver's max_step",
        )
    if jump is None and told[1]:
        raise SolverError("the rows hold amounts but no jump is given", where="odesolve", remedy="pass jump=")
    return Facts(*told[1:])
