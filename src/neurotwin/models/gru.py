"""A plain recurrent network over the same rows: the baseline that every continuous model must meet."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.models.layers import squashed
from neurotwin.models.surrogate import SMALLEST_SCALE, Course, Surrogate, linear
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver, over_rows


class Gru(Surrogate):
    """GRU (Cho et al., EMNLP 2014) that steps once per row and once per visit.

    A row is told as its length, what was given per unit and at once, and the clock; a visit as values and masks
    (Che et al., Sci. Rep. 2018, without the decay).

    A dose with nothing after it is a step of its own, which it would not be had more followed: the state does not
    carry on exactly, and a runtime replays the history.

    Args:
        hidden: length of the hidden state.
    """

    recursive = False
    solves = False

    def __init__(self, schema: Schema, scaling: Scaling, solver: Solver, *, hidden: int = 48) -> None:
        super().__init__(schema, scaling, core_size=hidden, solver=solver, draws=1)
        known = self.n_static
        self.start = linear(known, hidden)
        self.step = nn.GRUCell(2 * self.n_control + known + 2, hidden)
        self.visit = nn.GRUCell(2 * self.n_obs + known, hidden)
        self.output = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 2 * self.n_obs))

    def initial(self, static: Tensor) -> Tensor:
        return torch.tanh(self.start(static))

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        def body(carry: tuple[Tensor, ...], row: Rows) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            before, t = carry
            asked = self._step(t, row.dt * row.query_at, before, row, static)
            after = self._step(t, row.dt, before, row, static)
            if observe:
                learned = self.visit(torch.cat([row.value, row.mask, static], dim=-1), after)
                after = torch.where((row.mask > 0).any(-1, keepdim=True), learned, after)
            kept = row.active & (row.peek == 0).unsqueeze(-1)
            return (torch.where(kept, after, before), torch.where(row.peek == 0, t + row.dt, t)), (asked,)

        (final, ended), (at_query,) = over_rows(body, (core, clock), rows)
        return Course(at_query, final, ended, None)

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        location, width = self.output(core).chunk(2, dim=-1)
        return location, F.softplus(width) + SMALLEST_SCALE

    def _step(self, t: Tensor, dt: Tensor, core: Tensor, row: Rows, static: Tensor) -> Tensor:
        length = (dt / self.scaler.time).unsqueeze(-1)
        told = torch.cat([length * 4, squashed(t / self.scaler.time), row.control * length, row.jump, static], dim=-1)
        moves = (length > 0) | row.doses.unsqueeze(-1)
        return torch.where(moves, self.step(told, core), core)
