"""A controlled neural ODE that is corrected at each visit."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.models.surrogate import SMALLEST_SCALE, Course, Surrogate
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver, odesolve


class NeuralOde(Surrogate):
    """Continuous-discrete neural ODE (as ODE-RNN, Rubanova et al., NeurIPS 2019, and GRU-ODE-Bayes, De Brouwer et
    al., NeurIPS 2019), with controls in the field and doses as jumps.

    The core is ``[observable | memory]``. The observable block is the model's estimate of the observed variables, in
    model units: the field moves it, doses move it, and at a visit a learned gain pulls it towards what was seen. The
    memory block carries everything else: it decays unless driven, and a GRU cell updates it with the values, their
    masks and the surprise (value minus estimate).

    Args:
        memory: length of the memory block.
        hidden: width of the networks.
        draws, train_draws: joint draws of a forecast, and of a training step, see `Surrogate`.
        use_clock: whether the field may depend on the time since the index event.
        dropout: of what the memory learns from at a visit, and of the covariates at the start.
    """

    def __init__(
        self, schema: Schema, scaling: Scaling, solver: Solver, *, memory: int = 16, hidden: int = 64, draws: int = 16, train_draws: int = 8,
        use_clock: bool = True, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        n_obs = len(schema.variables)
        super().__init__(schema, scaling, core_size=n_obs + memory, solver=solver, draws=draws, train_draws=train_draws)
        size, known = n_obs + memory, self.n_static
        self.n_memory, self.use_clock = memory, use_clock
        self.start = nn.Sequential(nn.Dropout(dropout), _network(known, hidden, size))
        self.forgets = nn.Dropout(dropout)
        self.field = _network(size + self.n_control + known + 1, hidden, size)
        self.impulse = _network(size + known, hidden, size * self.n_control)
        self.gain = nn.Linear(memory + n_obs + known, n_obs)
        self.learn = nn.GRUCell(3 * n_obs + 1, memory)
        self.noise_scale = _network(size, hidden // 2, n_obs)
        nn.init.constant_(self.gain.bias, 1.0)
        for network in (self.field, self.impulse):
            nn.init.zeros_(network[-1].bias)
            network[-1].weight.data.mul_(0.1)

    def initial(self, static: Tensor) -> Tensor:
        return torch.as_tensor(self.start(static))

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        solution = odesolve(
            self._slope, core, rows, start=clock, static=static, solver=self.solver, jump=self._jump,
            update=self._update if observe else None,
        )  # fmt: skip
        return Course(solution.at_query, solution.final, solution.clock, solution.error)

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        return core[..., : self.n_obs], F.softplus(self.noise_scale(core) - 1.0) + SMALLEST_SCALE

    def _slope(self, t: Tensor, state: Tensor, control: Tensor, static: Tensor) -> Tensor:
        slope = self.field(torch.cat([state, control, static, self._clock(t)], dim=-1))
        decay = F.pad(state[:, self.n_obs :], (self.n_obs, 0))
        return (slope - decay) / self.scaler.time

    def _jump(self, t: Tensor, state: Tensor, amount: Tensor, static: Tensor) -> Tensor:
        if not self.n_control:
            return state
        # Linear in the amounts, so that no dose is exactly no change.
        effect = self.impulse(torch.cat([state, static], dim=-1)).unflatten(-1, (-1, self.n_control))
        return state + (effect * amount.unsqueeze(1)).sum(-1)

    def _update(self, t: Tensor, state: Tensor, row: Rows, static: Tensor) -> Tensor:
        estimate, memory = state[:, : self.n_obs], state[:, self.n_obs :]
        surprise = (row.value - estimate) * row.mask
        gain = torch.sigmoid(self.gain(torch.cat([memory, row.mask, static], dim=-1)))
        learned = self.learn(self.forgets(torch.cat([row.value, row.mask, surprise, self._clock(t)], dim=-1)), memory)
        return torch.cat([estimate + gain * surprise, learned], dim=-1)

    def _clock(self, t: Tensor) -> Tensor:
        """Time since the index event, squashed: it tells early from late but cannot grow without bound."""
        scaled = t / self.scaler.time if self.use_clock else torch.zeros_like(t)
        return (scaled / (2.0 + scaled.abs())).unsqueeze(-1)


def _network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, outputs))
