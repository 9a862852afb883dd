"""A plain recurrent network over the same rows: the baseline that every continuous model must meet."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.errors import ConfigError
from neurotwin.models.layers import squashed
from neurotwin.models.recent import Recent
from neurotwin.models.surrogate import SMALLEST_SCALE, Course, Surrogate, linear
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver, over_rows


class Gru(Surrogate):
    """GRU (Cho et al., EMNLP 2014) that steps once per row and once per visit.

    A row is told as its length, what was given per unit and at once, and the clock; a visit as values and masks
    (Che et al., Sci. Rep. 2018, without the decay). With ``recent`` the core is
    ``[hidden | last | exposure | elapsed]``, as that of `NeuralOde`, so that a comparison with it is one of dynamics
    and not of inputs: a visit is also told what changed since the one before, what was given meanwhile and how long it
    took, and a forecast is a change from the last value.

    A dose with nothing after it is a step of its own, which it would not be had more followed: the state does not
    carry on exactly, and a runtime replays the history.

    Args:
        hidden: length of the hidden state.
        recent: whether visits and forecasts know the last visit; False is the network of before.
        widest: largest noise scale, in model units, which are standard deviations of the population. Where a variable
            is a logarithm, the mean of a forecast is ``exp(location + scale**2 / 2)``: unbounded, a few patients of
            whom nothing is known but that they are treated have means thousands of times their medians.

    Raises:
        ConfigError: ``widest`` is not above the least scale of all models.
    """

    recursive = False
    solves = False

    def __init__(
        self,
        schema: Schema,
        scaling: Scaling,
        solver: Solver,
        *,
        hidden: int = 48,
        recent: bool = True,
        widest: float = 1.0,
    ) -> None:
        if not widest > SMALLEST_SCALE:
            expected = f"a number above {SMALLEST_SCALE}"
            raise ConfigError(f"widest is {widest!r}", where="model.widest", expected=expected)
        block = Recent(schema) if recent else None
        size = block.size if block else 0
        super().__init__(schema, scaling, core_size=hidden + size, solver=solver, draws=1)
        self.recent, self.blocks, self.n_learned, self.widest = block, (hidden, size), hidden, widest
        known = self.n_static
        changes, since = (block.n_changes, block.n_since) if block else (0, 0)
        self.start = linear(known, hidden)
        self.step = nn.GRUCell(2 * self.n_control + known + 2, hidden)
        self.visit = nn.GRUCell(2 * self.n_obs + known + changes + since, hidden)
        self.output = nn.Sequential(nn.Linear(hidden + since, hidden), nn.SiLU(), nn.Linear(hidden, 2 * self.n_obs))

    def initial(self, static: Tensor) -> Tensor:
        return F.pad(torch.tanh(self.start(static)), (0, self.blocks[1]))

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        def body(carry: tuple[Tensor, ...], row: Rows) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            before, t = carry
            asked = self._step(t, row.dt * row.query_at, before, row, static)
            after = self._step(t, row.dt, before, row, static)
            if observe:
                after = torch.where((row.mask > 0).any(-1, keepdim=True), self._visited(after, row, static), after)
            kept = row.active & (row.peek == 0).unsqueeze(-1)
            return (torch.where(kept, after, before), torch.where(row.peek == 0, t + row.dt, t)), (asked,)

        (final, ended), (at_query,) = over_rows(body, (core, clock), rows)
        return Course(at_query, final, ended, None)

    def condition(self, core: Tensor) -> Tensor:
        return core[..., : self.n_learned]

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        hidden, recent = core.split(list(self.blocks), dim=-1)
        last = torch.zeros_like(core[..., : self.n_obs])
        if self.recent:
            last, exposure, elapsed = recent.split([self.recent.n_seen, self.n_control, 1], dim=-1)
            hidden = torch.cat([hidden, exposure, squashed(elapsed.squeeze(-1))], dim=-1)
        change, width = self.output(hidden).chunk(2, dim=-1)
        return last + change, SMALLEST_SCALE + (self.widest - SMALLEST_SCALE) * torch.sigmoid(width)

    def _step(self, t: Tensor, dt: Tensor, core: Tensor, row: Rows, static: Tensor) -> Tensor:
        hidden, recent = core.split(list(self.blocks), dim=-1)
        length = (dt / self.scaler.time).unsqueeze(-1)
        told = torch.cat([length * 4, squashed(t / self.scaler.time), row.control * length, row.jump, static], dim=-1)
        moves = (length > 0) | row.doses.unsqueeze(-1)
        stepped = torch.where(moves, self.step(told, hidden), hidden)
        if self.recent is None:
            return stepped
        dosed = self.recent.dosed(recent, row.jump)
        return torch.cat([stepped, dosed + length * self.recent.slope(t, row.control)], dim=-1)

    def _visited(self, core: Tensor, row: Rows, static: Tensor) -> Tensor:
        hidden, recent = core.split(list(self.blocks), dim=-1)
        told = [row.value, row.mask, static]
        if self.recent is None:
            return torch.as_tensor(self.visit(torch.cat(told, dim=-1), hidden))
        told += self.recent.told(recent, row)
        return torch.cat([self.visit(torch.cat(told, dim=-1), hidden), self.recent.renewed(recent, row)], dim=-1)
