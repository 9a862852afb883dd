"""torchdiffeq's adaptive methods behind the same door: for reference and training, never in an exported graph."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from neurotwin.errors import SolverError
from neurotwin.solvers.solver import NON_FINITE, OK, STEP_BUDGET, Advance, Flow, Solver

METHODS = ("dopri8", "dopri5", "bosh3", "fehlberg2", "adaptive_heun")


class _StopError(Exception):
    """Ends a solve from inside the vector field; carries the status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Torchdiffeq(Solver):
    """Adaptive steps inside each row, error-controlled (Chen, torchdiffeq, 2018).

    A batch shares its steps, so a subject's answer may differ from its answer alone by about 10 rtol. When a solve
    fails, the batch is halved until the subjects at fault stand alone: they get a status, the others their answer.

    Args:
        max_step: longest row.
        method: one of `METHODS`.
        rtol, atol: tolerances.
        max_evaluations: of the vector field, per row.
    """

    tells_status = True

    def __init__(
        self,
        max_step: float,
        method: str = "dopri5",
        rtol: float = 1e-6,
        atol: float = 1e-8,
        max_evaluations: int = 20_000,
    ) -> None:
        super().__init__(max_step)
        if method not in METHODS:
            raise SolverError(
                f"no adaptive method {method!r}", where="Torchdiffeq", expected=f"one of {', '.join(METHODS)}"
            )
        if not (rtol > 0 and atol > 0):
            raise SolverError(f"rtol {rtol}, atol {atol}", where="Torchdiffeq", expected="positive tolerances")
        self.method, self.rtol, self.atol, self.max_evaluations = method, rtol, atol, max_evaluations

    def advance(self, flow: Flow, t: Tensor, dt: Tensor, state: Tensor, query_at: Tensor | None) -> Advance:
        end, status = self._solve(flow, t, dt, state)
        if query_at is None:
            return Advance(end, end, None, status)
        inside = (query_at > 0) & (query_at < 1)
        at_query = torch.where((query_at > 0).unsqueeze(-1), end, state)
        if inside.any():
            # A solve of its own, so that asking never changes the carried state.
            part, _ = self._solve(flow, t, torch.where(inside, dt * query_at, 0.0), state)
            at_query = torch.where(inside.unsqueeze(-1), part, at_query)
        return Advance(end, at_query, None, status)

    def _solve(self, flow: Flow, t: Tensor, dt: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        end = torch.full_like(state, torch.nan)
        status = torch.full(dt.shape, NON_FINITE, dtype=torch.int64, device=state.device)
        pending = [torch.nonzero(torch.isfinite(state).all(-1)).squeeze(-1)]
        parts: list[tuple[Tensor, Tensor]] = []
        while pending:
            chosen = pending.pop()
            if not len(chosen):
                continue
            try:
                parts.append((chosen, self._attempt(flow, t, dt, state, chosen)))
                status[chosen] = OK
            except _StopError as stop:
                if len(chosen) == 1:
                    status[chosen] = stop.status
                else:
                    pending += list(chosen.split((len(chosen) + 1) // 2))
        for chosen, solved in parts:
            end = end.index_copy(0, chosen, solved)
        return end, status

    def _attempt(self, flow: Flow, t: Tensor, dt: Tensor, state: Tensor, chosen: Tensor) -> Tensor:
        from torchdiffeq import odeint

        length = dt[chosen]
        if not (length > 0).any():
            return state[chosen]
        field = self._field(flow, t, length, state, chosen)
        span = torch.tensor([0.0, 1.0], dtype=state.dtype, device=state.device)
        try:
            # step_t: land on the row's end instead of interpolating from a step beyond it. Worst element, not the
            # mean over the batch: a subject's accuracy must not depend on how many easy ones stand beside it.
            options = {"step_t": span[1:], "norm": lambda error: error.abs().max()}
            solved = odeint(
                field, state[chosen], span, rtol=self.rtol, atol=self.atol, method=self.method, options=options
            )[-1]
        except AssertionError:
            # torchdiffeq's own guard, "underflow in dt": the error is not finite or cannot be met.
            raise _StopError(NON_FINITE) from None
        if not torch.isfinite(solved).all():
            raise _StopError(NON_FINITE)
        return torch.where((length > 0).unsqueeze(-1), solved, state[chosen])

    def _field(
        self, flow: Flow, t: Tensor, length: Tensor, state: Tensor, chosen: Tensor
    ) -> Callable[[Tensor, Tensor], Any]:
        """Rows of unlike lengths share the pseudo-time 0..1. The flow knows the whole batch, so it gets a whole one."""
        budget = self.max_evaluations
        whole = state.detach().clone()

        def field(fraction: Tensor, inner: Tensor) -> Tensor:
            nonlocal budget
            budget -= 1
            if budget < 0:
                raise _StopError(STEP_BUDGET)
            clock = t.index_copy(0, chosen, t[chosen] + fraction * length)
            slope = flow(clock, whole.index_copy(0, chosen, inner))[chosen] * length.unsqueeze(-1)
            slope = torch.where((length > 0).unsqueeze(-1), slope, 0.0)
            if not torch.isfinite(slope).all():
                raise _StopError(NON_FINITE)
            return slope

        return field
