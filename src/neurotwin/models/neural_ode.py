"""A controlled neural ODE that is corrected at each visit."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.models.activation import softplus
from neurotwin.models.hazards import HazardFactory
from neurotwin.models.layers import Impulse, network, squashed
from neurotwin.models.recent import Recent
from neurotwin.models.surrogate import SMALLEST_SCALE, Course, Surrogate
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import MlpField, Rows, Solver


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
        extremes: whether a visit is told the rise above the lowest and the fall below the highest value so far
            (`neurotwin.models.recent.Recent`).
        step: whether a visit also moves the estimate of what it saw by a learned step. The gain alone puts it between
            the forecast and the value seen, and what comes next need not lie there: a tumour rebounds from its lowest
            size.
        hazards: of the schema's outcomes, which then read observable and memory.
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
        extremes: bool = False,
        step: bool = False,
        hazards: HazardFactory | None = None,
    ) -> None:
        recent = Recent(schema, extremes)
        n_obs, n_control = len(schema.variables), len(schema.treatments)
        learned = n_obs + memory
        super().__init__(schema, scaling, core_size=learned + recent.size, solver=solver, draws=draws)
        known = self.n_static
        self.recent, self.blocks = recent, (n_obs, memory, recent.size)
        self.n_learned, self.use_clock = learned, use_clock
        self.start = nn.Sequential(nn.Dropout(dropout), network(known, hidden, learned))
        self.field: nn.Module = MlpField(
            learned, n_control, known, hidden, time=self.scaler.time, use_clock=use_clock, drift=recent.slope
        )
        # What is held over a period acts through the field: only an amount at an instant is a jump.
        self.has_boluses = any(treatment.kind == "bolus" for treatment in schema.treatments)
        if self.has_boluses:
            self.impulse = Impulse(learned, n_control, known, hidden)
        told = 3 * n_obs + recent.n_changes + n_control + 2 + memory + known
        self.reading = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(told, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.learn = nn.GRUCell(hidden, memory)
        self.gain = nn.Linear(hidden, n_obs)
        self.noise_scale = network(learned, hidden // 2, n_obs)
        nn.init.constant_(self.gain.bias, 1.0)
        self.step = nn.Linear(hidden, n_obs) if step else None
        if self.step is not None:  # an untrained model goes on from what it saw
            nn.init.zeros_(self.step.weight)
            nn.init.zeros_(self.step.bias)
        # What is known of the past has no spread.
        self.noise[:, learned:] = 0.0
        self.add_hazards(hazards, scaling, learned)

    def initial(self, static: Tensor) -> Tensor:
        return F.pad(self.start(static), (0, self.recent.size))

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        return self.solved(
            self.field,
            core,
            rows,
            start=clock,
            static=static,
            jump=self._jump if self.has_boluses else None,
            update=self._update if observe else None,
        )

    def condition(self, core: Tensor) -> Tensor:
        return core[..., : self.n_learned]

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        learned = core[..., : self.n_learned]
        return learned[..., : self.n_obs], softplus(self.noise_scale(learned) - 1.0) + SMALLEST_SCALE

    def _jump(self, t: Tensor, state: Tensor, amount: Tensor, static: Tensor) -> Tensor:
        learned, recent = state.split([self.n_learned, self.recent.size], dim=-1)
        return torch.cat([self.impulse(learned, amount, static), self.recent.dosed(recent, amount)], dim=-1)

    def _update(self, t: Tensor, state: Tensor, row: Rows, static: Tensor) -> Tensor:
        estimate, memory, recent = state.split(list(self.blocks), dim=-1)
        surprise = (row.value - estimate) * row.mask
        change, since = self.recent.told(recent, row)
        told = [row.value, row.mask, surprise, change, since, self._clock(t), memory, static]
        read = self.reading(torch.cat(told, dim=-1))
        gained = estimate + torch.sigmoid(self.gain(read)) * surprise
        if self.step is not None:
            gained = gained + self.step(read) * row.mask
        return torch.cat([gained, self.learn(read, memory), self.recent.renewed(recent, row)], dim=-1)

    def _clock(self, t: Tensor) -> Tensor:
        """Time since the index event, squashed: it tells early from late but cannot grow without bound."""
        return squashed(t / self.scaler.time if self.use_clock else torch.zeros_like(t))
