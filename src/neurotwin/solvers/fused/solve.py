"""A fused solve as an operator of torch, with its gradient."""

import ctypes
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from neurotwin.runge_kutta import Tableau
from neurotwin.solvers.fused.library import Course, Gradients, Library, Problem, floats, sequence, threads
from neurotwin.solvers.mlp_field import MlpField, Told
from neurotwin.solvers.rows import Rows
from neurotwin.solvers.solver import Advance


class Weights(NamedTuple):
    """A field's weights as the compiled code reads them."""

    of_state: Tensor
    of_clock: Tensor
    mid: Tensor
    bias_mid: Tensor
    out: Tensor
    bias_out: Tensor

    @classmethod
    def of(cls, field: MlpField, told: Told) -> "Weights":
        """Those of a field; gradients flow back to its layers."""
        first, *middle, last = field.linears
        width = first.out_features
        mid = torch.stack([layer.weight for layer in middle]) if middle else first.weight.new_zeros(0, width, width)
        bias = torch.stack([layer.bias for layer in middle]) if middle else first.weight.new_zeros(0, width)
        flat = (told.of_state.t(), told.of_clock, mid, bias, last.weight, last.bias)
        return cls(*(item.contiguous() for item in flat))


class Spans(NamedTuple):
    """Rows as the compiled code reads them, each ``[batch, row, ...]``: clock at the stages, length, fraction asked
    for, whether the end is carried on."""

    clock: Tensor
    dt: Tensor
    query: Tensor
    keep: Tensor


class FusedSolve(torch.autograd.Function):
    """``(state, first, drift, spans, weights) -> (at_query [batch, row, state], final [batch, state])``.

    Single precision. The gradient is the discrete adjoint; times have none, and there is no second derivative.
    """

    @staticmethod
    def forward(
        ctx: Any,
        code: Library,
        method: "Method",
        scale: float,
        state: Tensor,
        first: Tensor,
        drift: Tensor,
        *rest: Tensor,
    ) -> tuple[Tensor, Tensor]:
        spans, weights = Spans(*rest[:4]), Weights(*rest[4:])
        batch, rows = first.shape[:2]
        state = state.contiguous()
        at_query, final = state.new_empty(batch, rows, state.shape[1]), torch.empty_like(state)
        wanted = any(ctx.needs_input_grad)
        states = torch.empty_like(at_query) if wanted and rows > 1 else None
        problem = _problem(method, scale, state, first, drift, spans, weights)
        code.forward(problem, Course(floats(at_query), floats(states), floats(final)))
        if wanted:
            ctx.save_for_backward(state, first, drift, *spans, *weights, *([] if states is None else [states]))
            ctx.fixed = code, method, scale
        return at_query, final

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_query: Tensor, of_final: Tensor) -> tuple[Tensor | None, ...]:
        state, first, drift, *rest = ctx.saved_tensors
        spans, weights, states = Spans(*rest[:4]), Weights(*rest[4:10]), rest[10] if len(rest) > 10 else None
        code, method, scale = ctx.fixed
        found = [torch.empty_like(state), *(one.new_empty(one.shape) for one in (first, drift))]
        sums = [torch.zeros_like(item) for item in weights]
        of_query, of_final = of_query.contiguous(), of_final.contiguous()
        reads = [floats(one) for one in (states, of_query, of_final)]
        gradients = Gradients(*reads, *(floats(one) for one in (*found, *sums)))
        code.backward(_problem(method, scale, state, first, drift, spans, weights), gradients)
        return (None, None, None, *found, None, None, None, None, *sums)


class Method:
    """A tableau as the compiled code reads it."""

    def __init__(self, tableau: Tableau) -> None:
        stages = len(tableau.b)
        square = [float(row[k]) if k < len(row) else 0.0 for row in tableau.a for k in range(stages)]
        self.stages, self.degree = stages, len(tableau.dense[0])
        self.nodes = [float(node) for node in tableau.c]
        self.a, self.b = _array(square), _array([float(weight) for weight in tableau.b])
        self.dense = _array([float(value) for row in tableau.dense for value in row])


class Fused:
    """Advances an `MlpField` by compiled code (`neurotwin.solvers.advances.RowAdvance`), row by row or all at once.

    Args:
        code: the compiled solve.
        field: in single precision on the CPU.
        tableau: of the method.
        rows, start, static: as for `neurotwin.solvers.odesolve`.
    """

    def __init__(
        self, code: Library, field: MlpField, tableau: Tableau, rows: Rows, start: Tensor, static: Tensor
    ) -> None:
        self.code, self.method, self.scale, self.rows = code, Method(tableau), 1.0 / field.time, rows
        told = field.hoist(rows.control, static)
        self.weights = Weights.of(field, told)
        passes = torch.where(rows.peek == 0, rows.dt, 0.0)
        self.clock = start + passes.sum(1)
        begins = start.unsqueeze(1) + passes.cumsum(1) - passes
        at_stages = begins.unsqueeze(-1) + rows.dt.unsqueeze(-1) * rows.dt.new_tensor(self.method.nodes)
        kept = (rows.active.squeeze(-1) & (rows.peek == 0)).to(rows.dt.dtype)
        self.along = (told.first, told.drift, field.clock(at_stages), kept)

    def whole(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``at_query`` ``[batch, row, state]``, the final state and clock, along all rows."""
        first, drift, clock, kept = self.along
        spans = Spans(clock, self.rows.dt, self.rows.query_at, kept)
        return *self._solve(state, first, drift, spans), self.clock

    def __call__(self, t: Tensor, state: Tensor, row: Rows, along: tuple[Tensor, ...], *, inside: bool) -> Advance:
        first, drift, clock, _ = (one.unsqueeze(1) for one in along)
        dt = row.dt.unsqueeze(1)
        at_query, end = self._solve(
            state, first, drift, Spans(clock, dt, row.query_at.unsqueeze(1), torch.ones_like(dt))
        )
        return Advance(end, at_query.squeeze(1))

    def _solve(self, state: Tensor, first: Tensor, drift: Tensor, spans: Spans) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = FusedSolve.apply(  # type: ignore[no-untyped-call]
            self.code, self.method, self.scale, state, first, drift, *spans, *self.weights
        )
        return found


def _array(values: list[float]) -> Any:
    return (ctypes.c_float * len(values))(*values)


def _problem(
    method: Method, scale: float, state: Tensor, first: Tensor, drift: Tensor, spans: Spans, weights: Weights
) -> Problem:
    batch, rows, hidden = first.shape
    sizes = (state.shape[1], weights.of_state.shape[1], hidden, len(weights.mid) + 1, method.stages, method.degree)
    pointer = ctypes.POINTER(ctypes.c_float)
    tableau = (ctypes.cast(values, pointer) for values in (method.a, method.b, method.dense))
    sequences = (sequence(one) for one in (first, drift, *spans))
    return Problem(
        *(batch, rows, threads(), *sizes, *tableau, scale, floats(state)), *sequences, *(floats(one) for one in weights)
    )
