"""A fused solve as an operator of torch, with its gradient."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from neurotwin.runge_kutta import Tableau
from neurotwin.solvers.fused.library import Course, Gradients, Library, Problem, floats, sequence, threads
from neurotwin.solvers.whole import Solve, Spans, Weights


def fused_solve(code: Library, tableau: Tableau, scale: float) -> Solve:
    """A `neurotwin.solvers.whole.Solve` by compiled code."""
    method = Method(tableau)

    def solved(state: Tensor, first: Tensor, drift: Tensor, spans: Spans, weights: Weights) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = FusedSolve.apply(  # type: ignore[no-untyped-call]
            code, method, scale, state, first, drift, *spans, *weights
        )
        return found

    return solved


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
        spans, weights = rest[:4], Weights(*rest[4:])
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
        spans, weights = rest[:4], Weights(*rest[4:10])
        states = rest[10] if len(rest) > 10 else None
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
        self.a, self.b = _array(square), _array([float(weight) for weight in tableau.b])
        self.dense = _array([float(value) for row in tableau.dense for value in row])


def _array(values: list[float]) -> Any:
    return (ctypes.c_float * len(values))(*values)


def _problem(
    method: Method, scale: float, state: Tensor, first: Tensor, drift: Tensor, spans: Sequence[Tensor], weights: Weights
) -> Problem:
    batch, rows, hidden = first.shape
    sizes = (state.shape[1], weights.of_state.shape[1], hidden, len(weights.mid) + 1, method.stages, method.degree)
    pointer = ctypes.POINTER(ctypes.c_float)
    tableau = (ctypes.cast(values, pointer) for values in (method.a, method.b, method.dense))
    sequences = (sequence(one) for one in (first, drift, *spans))
    return Problem(
        *(batch, rows, threads(), *sizes, *tableau, scale, floats(state)), *sequences, *(floats(one) for one in weights)
    )
