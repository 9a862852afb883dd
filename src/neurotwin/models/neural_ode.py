"""A controlled neural ODE that is corrected at each visit."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.models.surrogate import SMALLEST_SCALE, Course, Surrogate, linear
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver, odesolve


class NeuralOde(Surrogate):
    """Continuous-discrete neural ODE (as ODE-RNN, Rubanova et al., NeurIPS 2019, and GRU-ODE-Bayes, De Brouwer et
    al., NeurIPS 2019), with controls in the field and doses as jumps.

    The core is ``[observable | memory | last | exposure | elapsed]``, in model units.

    - ``observable``: the estimate of the observed variables. The field moves it, doses move it, and at a visit a
      learned gain pulls it towards what was seen.
    - ``memory``: everything else that is learned of a patient. It stays unless the field or a dose drives it, so that
      what is constant in a patient can be kept; a GRU cell updates it at a visit.
    - ``last`` values seen, ``exposure`` to each treatment and time ``elapsed`` since the last visit: a visit tells what
      changed, what was given meanwhile and how long it took, from which a patient's own response can be read. Their
      dynamics are known, and a visit starts them anew.

    Args:
        memory: length of the memory block.
        hidden: width of the networks.
        draws: joint draws of a forecast.
        use_clock: whether the field may depend on the time since the index event.
        dropout: of what the memory learns from at a visit, and of the covariates at the start.
    """

    def __init__(
        self,
        schema: Schema,
        scaling: Scaling,
        solver: Solver,
        *,
        memory: int = 12,
        hidden: int = 48,
        draws: int = 16,
        use_clock: bool = True,
        dropout: float = 0.0,
    ) -> None:
        n_obs, n_control = len(schema.variables), len(schema.treatments)
        learned = n_obs + memory
        super().__init__(schema, scaling, core_size=learned + n_obs + n_control + 1, solver=solver, draws=draws)
        known = self.n_static
        self.blocks = (n_obs, memory, n_obs, n_control, 1)
        self.n_learned, self.use_clock = learned, use_clock
        self.start = nn.Sequential(nn.Dropout(dropout), _network(known, hidden, learned))
        self.field = _network(learned + n_control + known + 1, hidden, learned, gentle=True)
        self.impulse = _network(learned + known, hidden, learned * n_control, gentle=True)
        told = 4 * n_obs + n_control + 2 + memory + known
        self.reading = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(told, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.learn = nn.GRUCell(hidden, memory)
        self.gain = nn.Linear(hidden, n_obs)
        self.noise_scale = _network(learned, hidden // 2, n_obs)
        nn.init.constant_(self.gain.bias, 1.0)
        # What is known of the past has no spread.
        self.noise[:, learned:] = 0.0

    def initial(self, static: Tensor) -> Tensor:
        return F.pad(self.start(static), (0, sum(self.blocks[2:])))

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        solution = odesolve(
            self._slope,
            core,
            rows,
            start=clock,
            static=static,
            solver=self.solver,
            jump=self._jump,
            update=self._update if observe else None,
        )
        return Course(solution.at_query, solution.final, solution.clock, solution.error)

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        learned = core[..., : self.n_learned]
        return learned[..., : self.n_obs], F.softplus(self.noise_scale(learned) - 1.0) + SMALLEST_SCALE

    def _slope(self, t: Tensor, state: Tensor, control: Tensor, static: Tensor) -> Tensor:
        learned = state[:, : self.n_learned]
        slope = self.field(torch.cat([learned, control, static, self._clock(t)], dim=-1))
        still = torch.zeros_like(learned[:, : self.n_obs])
        return torch.cat([slope, still, control, torch.ones_like(t).unsqueeze(-1)], dim=-1) / self.scaler.time

    def _jump(self, t: Tensor, state: Tensor, amount: Tensor, static: Tensor) -> Tensor:
        if not self.n_control:
            return state
        learned, last, exposure, elapsed = state.split([self.n_learned, *self.blocks[2:]], dim=-1)
        # Linear in the amounts, so that no dose is exactly no change.
        effect = self.impulse(torch.cat([learned, static], dim=-1)).unflatten(-1, (-1, self.n_control))
        moved = learned + (effect * amount.unsqueeze(1)).sum(-1)
        return torch.cat([moved, last, exposure + amount, elapsed], dim=-1)

    def _update(self, t: Tensor, state: Tensor, row: Rows, static: Tensor) -> Tensor:
        estimate, memory, last, exposure, elapsed = state.split(list(self.blocks), dim=-1)
        surprise, change = (row.value - estimate) * row.mask, (row.value - last) * row.mask
        told = [row.value, row.mask, surprise, change, exposure, elapsed, self._clock(t), memory, static]
        read = self.reading(torch.cat(told, dim=-1))
        gained = estimate + torch.sigmoid(self.gain(read)) * surprise
        kept = torch.where(row.mask > 0, row.value, last)
        anew = torch.cat([torch.zeros_like(exposure), torch.zeros_like(elapsed)], dim=-1)
        return torch.cat([gained, self.learn(read, memory), kept, anew], dim=-1)

    def _clock(self, t: Tensor) -> Tensor:
        """Time since the index event, squashed: it tells early from late but cannot grow without bound."""
        scaled = t / self.scaler.time if self.use_clock else torch.zeros_like(t)
        return (scaled / (2.0 + scaled.abs())).unsqueeze(-1)


def _network(inputs: int, hidden: int, outputs: int, *, gentle: bool = False) -> nn.Sequential:
    """Two hidden layers; a gentle one begins with small outputs, so that an untrained solve stays near its start."""
    last = linear(hidden, outputs)
    if gentle:
        nn.init.zeros_(last.bias)
        last.weight.data.mul_(0.1)
    return nn.Sequential(linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), last)
