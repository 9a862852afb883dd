"""A solve by Triton kernels as an operator of torch, with its gradient."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from neurotwin.runge_kutta import Tableau
from neurotwin.solvers.triton_kernels.backward import backward_kernel
from neurotwin.solvers.triton_kernels.forward import forward_kernel
from neurotwin.solvers.whole import Solve, Spans, Weights

MOST_UNITS = 128
"""Of a layer: a square of more does not fit the memory that a program shares."""
BLOCK = 16
"""Patients of a program: the least that a product over them takes."""
LEAST_COLUMNS = 16
WARPS = {16: 4, 32: 4, 64: 8, 128: 16}
"""By units, so that a program's numbers fit its registers (at 128 the gradients of the weights do not, and go through
the cache)."""
PRECISIONS = {"highest": "ieee", "high": "tf32x3", "medium": "tf32"}
"""What `torch.set_float32_matmul_precision` says of products of single precision, in Triton's words."""


def triton_solve(tableau: Tableau, scale: float) -> Solve:
    """A `neurotwin.solvers.whole.Solve` by Triton kernels, in single precision; products keep it unless
    `torch.set_float32_matmul_precision` allows less."""

    def solved(state: Tensor, first: Tensor, drift: Tensor, spans: Spans, weights: Weights) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = TritonSolve.apply(  # type: ignore[no-untyped-call]
            tableau, scale, state, first, drift, *spans, *weights
        )
        return found

    return solved


class TritonSolve(torch.autograd.Function):
    """``(state, first, drift, spans, weights) -> (at_query [batch, row, state], final [batch, state])``.

    The gradient is the discrete adjoint; times have none, and there is no second derivative.
    """

    @staticmethod
    def forward(
        ctx: Any, tableau: Tableau, scale: float, state: Tensor, first: Tensor, drift: Tensor, *rest: Tensor
    ) -> tuple[Tensor, Tensor]:
        state, first, drift = state.contiguous(), _in_columns(first), _in_columns(drift)
        spans, weights = Spans(*rest[:4]), Weights(*(one.contiguous() for one in rest[4:]))
        (batch, rows, _), moved = first.shape, weights.of_state.shape[1]
        at_query, final = state.new_empty(batch, rows, state.shape[1]), torch.empty_like(state)
        saves = any(ctx.needs_input_grad)
        inners = state.new_empty(batch, rows, len(tableau.b), moved) if saves else at_query
        constants = _constants(tableau, state, weights)
        strides = (*first.stride()[:2], *drift.stride()[:2], *_strides(spans))
        with _on(state):
            forward_kernel[(triton.cdiv(batch, BLOCK),)](
                state, first, drift, *spans, *weights, at_query, final, inners, batch, rows, scale, *strides,
                **constants, SAVES=saves,
            )  # fmt: skip
        if saves:
            ctx.save_for_backward(inners, state, first, drift, *spans, *weights)
            ctx.fixed = tableau, scale, constants
        return at_query, final

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_query: Tensor, of_final: Tensor) -> tuple[Tensor | None, ...]:
        inners, state, first, drift, *rest = ctx.saved_tensors
        spans, weights = Spans(*rest[:4]), Weights(*rest[4:])
        tableau, scale, constants = ctx.fixed
        batch, rows, _ = first.shape
        of_begin, of_first, of_drift = (
            torch.empty_like(state),
            first.new_empty(first.shape),
            drift.new_empty(drift.shape),
        )
        sizes = [one.numel() for one in weights]
        programs = min(triton.cdiv(batch, BLOCK), _most_programs(state))
        sums = state.new_empty(programs, sum(sizes))
        strides = (*first.stride()[:2], *_strides(spans))
        with _on(state):
            backward_kernel[(programs,)](
                inners, first, *spans, *weights, of_query.contiguous(), of_final.contiguous(),
                of_begin, of_first, of_drift, sums, batch, rows, scale, sum(sizes), *strides, **constants,
            )  # fmt: skip
        parts = sums.sum(0).split(sizes)
        found = [part.view(one.shape) for part, one in zip(parts, weights, strict=True)]
        return (None, None, of_begin, of_first, of_drift, None, None, None, None, *found)


def _constants(tableau: Tableau, state: Tensor, weights: Weights) -> dict[str, Any]:
    """What a kernel is compiled for."""
    stages, (hidden, moved) = len(tableau.b), weights.of_state.shape
    square = tuple(float(row[k]) if k < len(row) else 0.0 for row in tableau.a for k in range(stages))
    wide = _padded(hidden)
    return {
        "A": square,
        "B": tuple(float(weight) for weight in tableau.b),
        "DENSE": tuple(float(value) for row in tableau.dense for value in row),
        "DEGREE": len(tableau.dense[0]),
        "STAGES": stages,
        "LAYERS": len(weights.mid) + 1,
        "STATE": state.shape[1],
        "MOVED": moved,
        "HIDDEN": hidden,
        "WIDE_MOVED": _padded(moved),
        "WIDE_HIDDEN": wide,
        "WIDE_REST": triton.next_power_of_2(max(state.shape[1] - moved, 1)),
        "BLOCK": BLOCK,
        "PRECISION": PRECISIONS[torch.get_float32_matmul_precision()],
        "num_warps": WARPS[wide],
        "num_stages": 1,  # nothing is read ahead: a row takes longer than its reads
    }


def _padded(columns: int) -> int:
    return max(LEAST_COLUMNS, int(triton.next_power_of_2(columns)))


def _in_columns(tensor: Tensor) -> Tensor:
    """The same ``[batch, row, column]`` with its columns side by side."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _strides(spans: Sequence[Tensor]) -> tuple[int, ...]:
    return tuple(step for span in spans for step in span.stride())


def _most_programs(state: Tensor) -> int:
    """As many as run at once: more would only mean more sums to add."""
    if state.device.type != "cuda":
        return 2
    return int(torch.cuda.get_device_properties(state.device).multi_processor_count)


def _on(state: Tensor) -> AbstractContextManager[Any]:
    """Triton launches on the current device."""
    return torch.cuda.device(state.device) if state.device.type == "cuda" else nullcontext()
