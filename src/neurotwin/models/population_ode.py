"""A population of equations: one field for everybody, and random effects that make it a patient's own."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.models.activation import softplus
from neurotwin.models.hazards import HazardFactory
from neurotwin.models.layers import Impulse, network, squashed
from neurotwin.models.posterior.gaussian import divergence_from_standard
from neurotwin.models.recent import Recent
from neurotwin.models.surrogate import SMALLEST_SCALE, Course, Surrogate, missed
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver


class PopulationOde(Surrogate):
    """Nonlinear mixed effects with a learned field (the hierarchy of Lindstrom, Bates, Biometrics 1990; neural fields
    in it: Bräm et al., J. Pharmacokinet. Pharmacodyn. 2024; amortised posteriors: Kingma, Welling, ICLR 2014).

        x' = f(x, z, u, c, t) / s,   doses as jumps of x,   f shared by all,   z ~ N(0, I) constant in a patient

    A visit multiplies the posterior of z by a Gaussian factor whose precision and centre an encoder reads off it, as
    the likelihood of a visit would:

        q(z | visits) = N(0, I) prod_v N(z; b_v, 1 / w_v)   up to a constant,   w_v >= 0

    so that with no visit the posterior is the prior, each visit can only narrow it, and both are exact and recursive;
    the factors are amortised, hence the posterior approximate. At a visit a learned gain also corrects the observed
    part of x, and the rest, of which a learned share is kept, moves by a step of at most 1. In the past x follows the
    posterior's mean; a plan is solved for joint draws of z, around which x has a learned spread.

    The core is ``[x | w b | w | last | exposure | elapsed]``, w and w b summed over visits; x begins with the observed
    variables. Training adds ``kl`` times KL(q | prior), in closed form, and ``past`` times the error of past values.

    Args:
        effects: length of z.
        unseen: columns of x beyond the observed variables.
        hidden: width of the networks.
        draws: joint draws of a forecast; one is the posterior's mean.
        kl: weight of the divergence from the prior.
        past: weight of the absolute error of each past value, foretold just before it was learned from.
        use_clock: whether the field may depend on the time since the index event.
        hazards: of the schema's outcomes, which then read x and the mean of z.
    """

    def __init__(
        self,
        schema: Schema,
        scaling: Scaling,
        solver: Solver,
        *,
        effects: int = 6,
        unseen: int = 6,
        hidden: int = 48,
        draws: int = 16,
        kl: float = 0.01,
        past: float = 1.0,
        use_clock: bool = True,
        hazards: HazardFactory | None = None,
    ) -> None:
        recent, n_state = Recent(schema), len(schema.variables) + unseen
        learned = n_state + 2 * effects
        super().__init__(schema, scaling, core_size=learned + recent.size, solver=solver, draws=draws)
        known = self.n_static
        self.recent, self.n_learned, self.n_effects = recent, learned, effects
        self.kl, self.past, self.use_clock = kl, past, use_clock
        self.blocks = (n_state, effects, effects, recent.size)
        self.start = network(known, hidden, n_state)
        self.field = network(n_state + effects + self.n_control + known + 1, hidden, n_state, gentle=True)
        self.impulse = Impulse(n_state, self.n_control, effects + known, hidden)
        told = 3 * self.n_obs + recent.n_since + 1 + n_state + 2 * effects + known
        self.reading = nn.Sequential(nn.Linear(told, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.gain = nn.Linear(hidden, self.n_obs)
        self.learn = nn.Linear(hidden, unseen)
        self.keep = nn.Parameter(torch.full((unseen,), 3.0))
        self.factor = nn.Linear(hidden, 2 * effects)
        self.noise_scale = network(n_state + effects, hidden // 2, self.n_obs)
        nn.init.constant_(self.gain.bias, 1.0)
        # Draws differ in x and z; the rest of the core is known. The block of precisions has no draws of its own.
        self.noise[:, n_state + effects :] = 0.0
        self.add_hazards(hazards, scaling, n_state + effects)

    def initial(self, static: Tensor) -> Tensor:
        return F.pad(self.start(static), (0, 2 * self.n_effects + self.recent.size))

    def posterior(self, core: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``[..., effect]`` of a patient's random effects."""
        _, weighted, weight, _ = core.split(list(self.blocks), dim=-1)
        return weighted / (1.0 + weight), torch.rsqrt(1.0 + weight)

    def drawn(self, part: dict[str, Tensor]) -> Tensor:
        x, _, weight, recent = super().drawn(part).split(list(self.blocks), dim=-1)
        mean, deviation = self.posterior(part["core"])
        _, noise, _, _ = self.noise.split(list(self.blocks), dim=-1)
        z = mean.unsqueeze(1) + deviation.unsqueeze(1) * noise
        return torch.cat([x, z * (1.0 + weight), weight, recent], dim=-1)

    def divergence(self, part: dict[str, Tensor]) -> Tensor | None:
        return self.kl * divergence_from_standard(*self.posterior(part["core"])) if self.kl else None

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        # What the past would have asked just before each visit; a graph does without.
        judged = observe and self.past > 0 and not torch.compiler.is_exporting()
        if judged:
            rows = rows._replace(query_at=torch.ones_like(rows.dt))
        course = self.solved(
            self._slope,
            core,
            rows,
            start=clock,
            static=static,
            jump=self._jump if self.n_control else None,
            update=self._update if observe else None,
        )
        return course._replace(cost=self.past * missed(self.head(course.at_query)[0], rows)) if judged else course

    def condition(self, core: Tensor) -> Tensor:
        x, z, *_ = self._parts(core)
        return torch.cat([x, z], dim=-1)

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        x, z, *_ = self._parts(core)
        location, _ = x.split([self.n_obs, self.blocks[0] - self.n_obs], dim=-1)
        return location, softplus(self.noise_scale(torch.cat([x, z], dim=-1)) - 1.0) + SMALLEST_SCALE

    def _parts(self, core: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """x, the mean of z, and the blocks of the posterior and of the recent past."""
        x, weighted, weight, recent = core.split(list(self.blocks), dim=-1)
        return x, weighted / (1.0 + weight), weighted, weight, recent

    def _slope(self, t: Tensor, state: Tensor, control: Tensor, static: Tensor) -> Tensor:
        x, z, weighted, weight, _ = self._parts(state)
        slope = self.field(torch.cat([x, z, control, static, self._clock(t)], dim=-1))
        still = torch.zeros_like(torch.cat([weighted, weight], dim=-1))
        return torch.cat([slope, still, self.recent.slope(t, control)], dim=-1) / self.scaler.time

    def _jump(self, t: Tensor, state: Tensor, amount: Tensor, static: Tensor) -> Tensor:
        x, z, weighted, weight, recent = self._parts(state)
        moved = self.impulse(x, amount, torch.cat([z, static], dim=-1))
        return torch.cat([moved, weighted, weight, self.recent.dosed(recent, amount)], dim=-1)

    def _update(self, t: Tensor, state: Tensor, row: Rows, static: Tensor) -> Tensor:
        x, z, weighted, weight, recent = self._parts(state)
        estimate, rest = x.split([self.n_obs, self.blocks[0] - self.n_obs], dim=-1)
        surprise = (row.value - estimate) * row.mask
        change, since = self.recent.told(recent, row)
        told = [row.mask, surprise, change, since, self._clock(t), x, z, torch.rsqrt(1.0 + weight), static]
        read = self.reading(torch.cat(told, dim=-1))
        # A little is forgotten at each visit, so that hundreds of steps do not add up without bound.
        kept = torch.sigmoid(self.keep) * rest + torch.tanh(self.learn(read))
        moved = [estimate + torch.sigmoid(self.gain(read)) * surprise, kept]
        centre, precision = self.factor(read).chunk(2, dim=-1)
        added = softplus(precision - 1.0)
        found = [weighted + added * centre, weight + added]
        return torch.cat([*moved, *found, self.recent.renewed(recent, row)], dim=-1)

    def _clock(self, t: Tensor) -> Tensor:
        return squashed(t / self.scaler.time if self.use_clock else torch.zeros_like(t))
