"""Solves that know a small network's layers: a row, or a whole plan, in one operator with a gradient of its own."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from neurotwin.solvers.mlp_field import MlpField, Told
from neurotwin.solvers.rows import Rows, clock_of
from neurotwin.solvers.solver import Advance


class Weights(NamedTuple):
    """A field's weights: ``[hidden, moved]``, ``[hidden]``, ``[layers - 1, hidden, hidden]``, ``[layers - 1, hidden]``,
    ``[moved, hidden]``, ``[moved]``."""

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
    """What a solve is told of its rows, each ``[batch, row, ...]``: clock at the stages, length, fraction asked for,
    whether the end is carried on."""

    clock: Tensor
    dt: Tensor
    query: Tensor
    keep: Tensor


Solve = Callable[[Tensor, Tensor, Tensor, Spans, Weights], tuple[Tensor, Tensor]]
"""``solve(state, first, drift, spans, weights) -> (at_query [batch, row, state], final [batch, state])``."""


class Whole:
    """Advances an `MlpField` row by row or all at once (`neurotwin.solvers.advances.RowAdvance`).

    In single precision, in mixed precision too: autocast has no part in a solve, and what comes in less is cast.

    Args:
        solve: what does it.
        field: the vector field.
        nodes: of the method's stages, in parts of a row.
        rows, start, static: as for `neurotwin.solvers.odesolve`.
    """

    def __init__(
        self, solve: Solve, field: MlpField, nodes: Sequence[float], rows: Rows, start: Tensor, static: Tensor
    ) -> None:
        self.solve, self.rows = solve, rows
        with torch.autocast(rows.dt.device.type, enabled=False):
            told = field.hoist(rows.control.float(), static.float())
            self.weights = Weights.of(field, told)
            _, begins = clock_of(rows, start)
            at_stages = [torch.add(begins, rows.dt, alpha=node) for node in nodes]
            self.along = (told.first, told.drift / field.time, field.clock(torch.stack(at_stages, dim=-1)))

    def whole(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """``at_query`` ``[batch, row, state]`` and the final state, along all rows."""
        first, drift, clock = self.along
        rows = self.rows
        kept = rows.kept.squeeze(-1).to(rows.dt.dtype)
        return self.solve(state.float(), first, drift, Spans(clock, rows.dt, rows.query_at, kept), self.weights)

    def __call__(self, t: Tensor, state: Tensor, row: Rows, along: tuple[Tensor, ...]) -> Advance:
        first, drift, clock = (one.unsqueeze(1) for one in along)
        dt = row.dt.unsqueeze(1)
        spans = Spans(clock, dt, row.query_at.unsqueeze(1), torch.ones_like(dt))
        at_query, end = self.solve(state.float(), first, drift, spans, self.weights)
        return Advance(end, at_query.squeeze(1))
