"""A latent ODE: a posterior of the state at the plan's start, and an ODE that draws from it follow."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.models.activation import softplus
from neurotwin.models.hazards import HazardFactory
from neurotwin.models.layers import Impulse, network, squashed
from neurotwin.models.posterior.gaussian import divergence_from_standard
from neurotwin.models.recent import Recent
from neurotwin.models.surrogate import SMALLEST_SCALE, Course, Surrogate, missed, standard_draws
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import MlpField, Rows, Solver


class LatentOde(Surrogate):
    """Variational latent ODE with an ODE-RNN encoder (Rubanova, Chen, Duvenaud, NeurIPS 2019, sections 3.1 and 3.2).

        encoder   h' = e(h, u, c, t) / s between visits, doses as jumps, h <- GRU(reading(visit), h) at a visit
        posterior q(z | past) = N(mu(h), diag sigma(h)^2)                     prior p(z) = N(0, I)
        plan      z' = f(z, u, c, t) / s from each draw of z, doses as jumps; location = first columns of z

    The encoder runs forward, and z is the state at the plan's start, not at the first visit: a new visit then updates
    the state exactly (`recursive`), where the paper's backward encoder would read the whole history again. As there in
    extrapolation, only the future is decoded. The mean of the observed columns is the last value seen plus what h adds,
    and a visit is told to the encoder with what that mean had missed.

    The core is ``[h | last | exposure | elapsed]``; a draw's own core is z. Training adds ``kl`` times KL(q | p), which
    beside the joint likelihood of the draws is a penalty, not an exact evidence bound, and ``past`` times the error of
    past values.

    Args:
        latent: columns of z beyond the observed variables.
        memory: length of h.
        hidden: width of the networks.
        draws: joint draws of a forecast; one is the posterior's mean.
        kl: weight of the divergence from the prior.
        past: weight of the absolute error of each past value, foretold just before it was learned from.
        hazards: of the schema's outcomes, which then read z.
    """

    learns_spread = False
    standard: Tensor

    def __init__(
        self,
        schema: Schema,
        scaling: Scaling,
        solver: Solver,
        *,
        latent: int = 12,
        memory: int = 24,
        hidden: int = 48,
        draws: int = 16,
        kl: float = 0.01,
        past: float = 1.0,
        hazards: HazardFactory | None = None,
    ) -> None:
        recent = Recent(schema)
        super().__init__(schema, scaling, core_size=memory + recent.size, solver=solver, draws=draws)
        known, n_latent = self.n_static, self.n_obs + latent
        self.recent, self.n_learned, self.n_latent = recent, memory, n_latent
        self.kl, self.past = kl, past
        self.start = network(known, hidden, memory)
        time = self.scaler.time
        self.encoder_field = MlpField(memory, self.n_control, known, hidden, time=time, drift=recent.slope)
        self.encoder_impulse = Impulse(memory, self.n_control, known, hidden)
        told = 4 * self.n_obs + recent.n_since + 1 + memory + known
        self.reading = nn.Sequential(nn.Linear(told, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.learn = nn.GRUCell(hidden, memory)
        self.posterior_network = network(memory + recent.size + known, hidden, 2 * n_latent)
        self.field = MlpField(n_latent, self.n_control, known, hidden, time=time)
        self.impulse = Impulse(n_latent, self.n_control, known, hidden)
        self.noise_scale = network(n_latent, hidden // 2, self.n_obs)
        self.register_buffer("standard", standard_draws(draws, n_latent))
        self.add_hazards(hazards, scaling, n_latent)

    def initial(self, static: Tensor) -> Tensor:
        return F.pad(torch.tanh(self.start(static)), (0, self.recent.size))

    def posterior(self, core: Tensor, static: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``[..., latent]`` of z."""
        _, last, _ = core.split([self.n_learned, self.n_obs, self.recent.n_since], dim=-1)
        mean, width = self.posterior_network(torch.cat([core, static], dim=-1)).chunk(2, dim=-1)
        return mean + F.pad(last, (0, self.n_latent - self.n_obs)), softplus(width - 1.0) + 1e-3

    def drawn(self, part: dict[str, Tensor]) -> Tensor:
        mean, deviation = self.posterior(part["core"], part["static"])
        return mean.unsqueeze(1) + deviation.unsqueeze(1) * self.standard

    def divergence(self, part: dict[str, Tensor]) -> Tensor | None:
        return self.kl * divergence_from_standard(*self.posterior(part["core"], part["static"])) if self.kl else None

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        # What the past would have asked just before each visit; a graph does without.
        judged = observe and self.past > 0 and not torch.compiler.is_exporting()
        if judged:
            rows = rows._replace(query_at=torch.ones_like(rows.dt))
        jump = self._encoder_jump if observe else self._jump
        course = self.solved(
            self.encoder_field if observe else self.field,
            core,
            rows,
            start=clock,
            static=static,
            jump=jump if self.n_control else None,
            update=self._update if observe else None,
        )
        if not judged:
            return course
        return course._replace(cost=self.past * missed(self._expected(course.at_query, static.unsqueeze(1)), rows))

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        location, _ = core.split([self.n_obs, self.n_latent - self.n_obs], dim=-1)
        return location, softplus(self.noise_scale(core) - 1.0) + SMALLEST_SCALE

    def _expected(self, core: Tensor, static: Tensor) -> Tensor:
        """Observed variables ``[..., obs]`` at the posterior's mean."""
        mean, _ = self.posterior(core, static.expand(*core.shape[:-1], -1))
        expected, _ = mean.split([self.n_obs, self.n_latent - self.n_obs], dim=-1)
        return torch.as_tensor(expected)

    def _jump(self, t: Tensor, state: Tensor, amount: Tensor, static: Tensor) -> Tensor:
        return torch.as_tensor(self.impulse(state, amount, static))

    def _encoder_jump(self, t: Tensor, state: Tensor, amount: Tensor, static: Tensor) -> Tensor:
        memory, recent = state.split([self.n_learned, self.recent.size], dim=-1)
        return torch.cat([self.encoder_impulse(memory, amount, static), self.recent.dosed(recent, amount)], dim=-1)

    def _update(self, t: Tensor, state: Tensor, row: Rows, static: Tensor) -> Tensor:
        memory, recent = state.split([self.n_learned, self.recent.size], dim=-1)
        surprise = (row.value - self._expected(state, static)) * row.mask
        told = [row.value, row.mask, surprise, *self.recent.told(recent, row)]
        told += [squashed(t / self.scaler.time), memory, static]
        learned = self.learn(self.reading(torch.cat(told, dim=-1)), memory)
        return torch.cat([learned, self.recent.renewed(recent, row)], dim=-1)
