"""A neural flow: the solution itself is learned, so nothing is solved."""

import torch
from torch import Tensor, nn

from neurotwin.models.layers import network
from neurotwin.models.neural_ode import NeuralOde
from neurotwin.models.surrogate import Course
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver, over_rows


class CouplingFlow(nn.Module):
    """Flow map F(t, x) of affine coupling layers that are the identity at t = 0 and invertible at any t.

        a <- a exp(tanh(p) t / (1 + t)) + q t,        p, q = network(b, condition, t)

    with x = [a | b], the two taking turns (Bilos et al., NeurIPS 2021, section 3.1, coupling flow).
    """

    def __init__(self, size: int, condition: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.halves = (size // 2, size - size // 2)
        self.conditioners = nn.ModuleList(
            network(self.halves[1 - turn % 2] + condition + 1, hidden, 2 * self.halves[turn % 2], gentle=True)
            for turn in range(layers)
        )

    def forward(self, length: Tensor, state: Tensor, condition: Tensor) -> Tensor:
        """State ``[..., size]`` after scaled times ``length`` ``[..., 1]`` under a condition that is held."""
        parts = list(state.split(list(self.halves), dim=-1))
        for turn, conditioner in enumerate(self.conditioners):
            stretch, shift = self.terms(conditioner, length, parts[1 - turn % 2], condition)
            parts[turn % 2] = parts[turn % 2] * torch.exp(stretch) + shift
        return torch.cat(parts, dim=-1)

    def inverse(self, length: Tensor, state: Tensor, condition: Tensor) -> Tensor:
        """The state from which the flow led to ``state``."""
        parts = list(state.split(list(self.halves), dim=-1))
        for turn, conditioner in reversed(list(enumerate(self.conditioners))):
            stretch, shift = self.terms(conditioner, length, parts[1 - turn % 2], condition)
            parts[turn % 2] = (parts[turn % 2] - shift) * torch.exp(-stretch)
        return torch.cat(parts, dim=-1)

    @staticmethod
    def terms(conditioner: nn.Module, length: Tensor, other: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithm of the factor, and the shift, of one layer; both 0 at length 0."""
        bounded = length / (1.0 + length)
        stretch, shift = conditioner(torch.cat([other, condition, bounded], dim=-1)).chunk(2, dim=-1)
        return torch.tanh(stretch) * bounded, shift * length


class NeuralFlow(NeuralOde):
    """`NeuralOde` with its vector field replaced by a flow map (Bilos, Sommer, Rangapuram, Januschowski, Günnemann,
    Neural flows: efficient alternative to neural ODEs, NeurIPS 2021).

        x(t0 + t) = F(t, x(t0); u, c, t0),        F(0, x) = x exactly,        F(t, .) invertible

    Doses, visits, memory and draws are those of `NeuralOde`, whose core it has. Controls are constant in a row, so a
    row is one evaluation and a course is a composition of rows. All queries are read in one pass: the loop only carries
    the state from row to row, then one batched evaluation answers every query from the beginning of its row.

    There is no solver and no step error; the solver's ``max_step`` only says how rows are cut, and may be as long as
    the follow-up. F is not a one-parameter group: two rows are not exactly one row of their length, so answers depend
    (a little, after training) on where events cut the time, a dose of nothing included. Queries cut nothing.

    Args:
        layers: coupling layers, at least 2, so that each half is moved.
        The others are those of `NeuralOde`.
    """

    solves = False
    field: CouplingFlow

    def __init__(
        self,
        schema: Schema,
        scaling: Scaling,
        solver: Solver,
        *,
        memory: int = 12,
        hidden: int = 48,
        draws: int = 16,
        layers: int = 2,
        use_clock: bool = True,
        dropout: float = 0.0,
    ) -> None:
        if layers < 2:
            raise ValueError(f"layers must be at least 2, got {layers}")
        super().__init__(
            schema, scaling, solver, memory=memory, hidden=hidden, draws=draws, use_clock=use_clock, dropout=dropout
        )
        self.field = CouplingFlow(self.n_learned, self.n_control + self.n_static + 1, hidden, layers)

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        def body(carry: tuple[Tensor, ...], row: Rows) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            before, t = carry
            begun = self._jump(t, before, row.jump, static) if self.has_boluses else before
            after = self._flow(t, row.dt, begun, row.control, static)
            if observe:
                seen = (row.mask > 0).any(-1, keepdim=True)
                after = torch.where(seen, self._update(t + row.dt, after, row, static), after)
            kept = row.active & (row.peek == 0).unsqueeze(-1)
            return (torch.where(kept, after, before), torch.where(row.peek == 0, t + row.dt, t)), (begun, t)

        (final, ended), (begun, begins) = over_rows(body, (core, clock), rows)
        known = static.unsqueeze(1).expand(-1, rows.dt.shape[1], -1)
        return Course(self._flow(begins, rows.dt * rows.query_at, begun, rows.control, known), final, ended, None)

    def _flow(self, t: Tensor, dt: Tensor, state: Tensor, control: Tensor, static: Tensor) -> Tensor:
        """The core ``[..., core]`` a time ``dt`` ``[...]`` after ``t``."""
        learned, recent = state.split([self.n_learned, self.recent.size], dim=-1)
        length = (dt / self.scaler.time).unsqueeze(-1)
        moved = self.field(length, learned, torch.cat([control, static, self._clock(t)], dim=-1))
        return torch.cat([moved, recent + self.recent.slope(t, control) * length], dim=-1)
