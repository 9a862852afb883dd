"""A mixed-effects model with a learned design: history and plan are each read in one pass, without a loop."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.errors import ConfigError
from neurotwin.models.activation import softplus
from neurotwin.models.layers import network, squashed
from neurotwin.models.posterior.precision import from_information
from neurotwin.models.posterior.response import USUAL, LinearResponse, Response
from neurotwin.models.prediction import Prediction
from neurotwin.models.surrogate import Course, Surrogate, standard_draws, uncorrelated
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver

QUICK = 3.0
"""Steps of a logarithm of noise beside those of a weight."""
FARTHEST, WIDEST = 8.0, 2.5
"""Model units beyond which no course and no noise is told: a design that is linear in time and in doses would overflow
on plans far from any in training."""
AT_END = 1e-3
"""Model units within which a value counts as the end of the range."""


class NeuralMixed(Surrogate):
    """A patient's course is linear in random effects, whose posterior given all visits is in closed form.

        y(t) = basis(t) (m(s) + B(s) z) + noise,        z ~ N(0, I)

    ``basis`` are responses of linear compartments to time and treatment (`posterior.response.LinearResponse`) and
    learned functions of them; networks make their coefficients ``m`` and the design ``B`` from ``s``, a patient's
    covariates and first visit. It is the linear mixed-effects model (Laird, Ware, Biometrics 38, 1982) with a learned
    design, as in Bayesian regression on learned features (Harrison, Sharma, Pavone, WAFR 2018). The visits' evidence
    about ``z`` is a sum, so their order does not matter and a new visit adds to the state. A second network reads the
    posterior and revises mean and noise, for what is not linear or not normal; the evidence of a visit counts less,
    by a learned share, where its value says so: at either end of what training saw, where values below a limit of
    detection stand.

    Nothing is solved: rows are read all at once, and neither graph holds a loop; their number of operators does not
    grow with the record. Time is cut at events alone, and answers do not depend on ``max_step``.

    The core is ``[z | root of its covariance | information about z | first visit | values at either end of the range |
    memories | the design at the state's clock]``.

    Args:
        effects: length of ``z``.
        hidden: width of the networks.
        rates: decaying memories of each treatment, beside its sum.
        features: learned functions of the responses beside them; 0 for none: the course is then linear in treatment.
        draws: joint draws of a forecast.
        least_noise: smallest standard deviation of the noise, in model units.

    Raises:
        ConfigError: a number out of its range.
    """

    learns_spread = False
    solves = False
    ends: Tensor

    def __init__(
        self,
        schema: Schema,
        scaling: Scaling,
        solver: Solver,
        *,
        effects: int = 6,
        hidden: int = 48,
        rates: int = 4,
        features: int = 16,
        draws: int = 16,
        least_noise: float = 5e-3,
    ) -> None:
        _check({"effects": effects, "hidden": hidden, "rates": rates}, features, least_noise)
        n_obs, n_control = len(schema.variables), len(schema.treatments)
        response = LinearResponse(n_control, rates, scaling.time)
        posterior = [effects, effects**2, effects**2 + effects]
        blocks = [*posterior, 2 * n_obs, 2 * n_obs, response.n_memory, (effects + 2) * n_obs]
        super().__init__(schema, scaling, core_size=sum(blocks), solver=solver, draws=draws)
        self.blocks, self.response, self.n_effects, self.n_learned = blocks, response, effects, effects
        self.n_features, self.least_noise = features, least_noise
        known = self.n_static + 2 * n_obs
        size = response.size + features
        if features:
            self.features = nn.Sequential(
                nn.Linear(response.size + known + 1, hidden), nn.Tanh(), nn.Linear(hidden, features), nn.Tanh()
            )
        # One column for each of mean, effects and noise.
        self.design = network(known, hidden, size * n_obs * (effects + 2))
        self.revision = network(known + 2 * n_obs + 2 * effects, hidden, size * n_obs * 2, gentle=True)
        self.doubt = network(4 * n_obs + 1 + n_control, 16, n_obs)
        self.noise_level = nn.Parameter(torch.full((n_obs,), math.log(0.1) / QUICK))
        torch.as_tensor(self.design[-1].weight).data.mul_(0.3)
        ends = torch.tensor([scaling.observed_low, scaling.observed_high], dtype=torch.float32)
        self.register_buffer("ends", self.scaler.value(ends, torch.ones_like(ends)))
        self.noise = F.pad(uncorrelated(standard_draws(draws, effects)), (0, sum(blocks) - effects))

    def initial(self, static: Tensor) -> Tensor:
        empty = static.new_zeros(static.shape[0], sum(self.blocks))
        z, root, information, *rest = empty.split(self.blocks, dim=-1)
        eye = torch.eye(self.n_effects).flatten().to(static).expand_as(root)
        return torch.cat([z, eye, F.pad(eye, (0, information.shape[1] - eye.shape[1])), *rest], dim=-1)

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        z, root, information, first, limits, memory, _ = core.split(self.blocks, dim=-1)
        if observe:
            first = _first_visit(first, rows)
        known = torch.cat([static, first], dim=-1)
        told = self.response(memory, rows, clock, at_end=observe)
        basis = self._basis(told, known)
        design = self._designed(basis, self.design(known), self.n_effects + 2)
        if not observe:
            kept = torch.cat([z, root, information, first, limits], dim=-1)
            now = self._now(design, basis, known, limits, z, root).flatten(2)
            kept = kept.unsqueeze(1).expand(-1, now.shape[1], -1)
            at_query = torch.cat([kept, told.memory.movedim(1, 2).flatten(2), now], dim=-1)
            return Course(at_query, core, told.ended, None)
        at_end = self._at_end(rows)
        limits = limits + at_end.sum(1)
        z, root, information = self._informed(information, design, told, rows, at_end)
        now = self._now(design, basis, known, limits, z, root).select(1, -1).flatten(1)
        final = torch.cat([z, root, information, first, limits, told.memory.select(2, -1).flatten(1), now], dim=-1)
        return Course(core.unsqueeze(1), final, told.ended, None)

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        z, *_, now = core.split(self.blocks, dim=-1)
        mean, scale, loading = self._parts(now.unflatten(-1, (self.n_obs, -1)))
        return _held(mean + (loading * z.unsqueeze(-2)).sum(-1)), scale

    def drawn(self, part: dict[str, Tensor]) -> Tensor:
        _, root, *_ = part["core"].split(self.blocks, dim=-1)
        noise, _ = self.noise.split([self.n_effects, self.noise.shape[1] - self.n_effects], dim=-1)
        spread = noise @ root.unflatten(-1, (self.n_effects, -1))
        return part["core"].unsqueeze(1) + F.pad(spread, (0, sum(self.blocks[1:])))

    def forecast(self, state: Tensor, rows: Rows) -> Prediction:
        """See `Surrogate.forecast`. The course is linear in the effects: a draw takes no pass of its own."""
        rows, part = self.scaler.rows(rows), self.unpack(state)
        z, root, _, first, limits, memory, _ = part["core"].split(self.blocks, dim=-1)
        known = torch.cat([part["static"], first], dim=-1)
        told = self.response(memory, rows, part["clock"].squeeze(-1), at_end=False)
        basis = self._basis(told, known)
        design = self._designed(basis, self.design(known), self.n_effects + 2)
        mean, scale, loading = self._parts(self._now(design, basis, known, limits, z, root))
        noise, _ = self.noise.split([self.n_effects, self.noise.shape[1] - self.n_effects], dim=-1)
        drawn = z.unsqueeze(1) + noise @ root.unflatten(-1, (self.n_effects, -1))
        return Prediction(_held(mean.unsqueeze(-1) + loading @ drawn.transpose(1, 2).unsqueeze(1)), scale, None)

    def _basis(self, told: Response, known: Tensor) -> Tensor:
        """``[batch, row, function]``"""
        if not self.n_features:
            return told.basis
        rows = known.unsqueeze(1).expand(-1, told.basis.shape[1], -1)
        learned = self.features(torch.cat([told.basis, rows, self._clock(told)], dim=-1))
        return torch.cat([told.basis, learned], dim=-1)

    def _designed(self, basis: Tensor, coefficients: Tensor, columns: int) -> Tensor:
        """``[batch, row, obs, column]`` of coefficients ``[batch, function * obs * column]``."""
        made = basis @ coefficients.unflatten(-1, (basis.shape[-1], -1))
        return torch.as_tensor(made.unflatten(-1, (self.n_obs, columns)))

    def _at_end(self, rows: Rows) -> Tensor:
        """``[batch, row, 2 obs]`` whether a value is the least, or the largest, that training saw."""
        low, high = self.ends.unbind(0)
        at_end = torch.cat([rows.value <= low + AT_END, rows.value >= high - AT_END], dim=-1)
        return at_end * torch.cat([rows.mask, rows.mask], dim=-1)

    def _now(self, design: Tensor, basis: Tensor, known: Tensor, limits: Tensor, z: Tensor, root: Tensor) -> Tensor:
        """The design, its mean and noise revised by the posterior ``[batch, row, obs, 2 + effect]``."""
        variance = root.unflatten(-1, (self.n_effects, -1)).square().sum(1)
        told = torch.cat([known, limits / (1.0 + limits), z, variance], dim=-1)
        return design + F.pad(self._designed(basis, self.revision(told), 2), (0, self.n_effects))

    def _parts(self, design: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and noise ``[..., obs]``, and loadings ``[..., obs, effect]``."""
        mean, width, loading = design.split([1, 1, self.n_effects], dim=-1)
        scale = torch.sqrt(self._noise().square() + softplus(width.squeeze(-1) - 3.0).square())
        return mean.squeeze(-1), torch.clamp(scale, max=WIDEST), loading

    def _informed(
        self, information: Tensor, design: Tensor, told: Response, rows: Rows, at_end: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Effects, the root of their covariance and the information about them after visits, all flat."""
        mean, _, loading = design.split([1, 1, self.n_effects], dim=-1)
        given, _ = told.memory.movedim(1, 2).split([self.response.rates, 1], dim=2)
        seen = torch.cat([rows.value, rows.mask, at_end, self._clock(told), given.sum(2) / USUAL], dim=-1)
        weight = rows.mask * torch.sigmoid(3.0 - self.doubt(seen)) / self._noise().square()
        column, residual = (item.flatten(1, 2).double() for item in (loading, rows.value.unsqueeze(-1) - mean))
        weighted = (column * weight.flatten(1, 2).unsqueeze(-1).double()).transpose(1, 2)
        n = self.n_effects
        precision, pull = information.double().split([n**2, n], dim=-1)
        precision = precision + (weighted @ column).flatten(1)
        pull = pull + (weighted @ residual).squeeze(-1)
        z, root = from_information(precision.unflatten(-1, (n, n)), pull)
        return z.to(mean), root.flatten(1).to(mean), torch.cat([precision, pull], dim=-1).to(mean)

    def _noise(self) -> Tensor:
        return torch.exp(QUICK * self.noise_level) + self.least_noise

    def _clock(self, told: Response) -> Tensor:
        return squashed(told.clock / self.scaler.time)


def _held(location: Tensor) -> Tensor:
    return torch.clamp(location, -FARTHEST, FARTHEST)


def _first_visit(first: Tensor, rows: Rows) -> Tensor:
    """Values and masks ``[batch, 2 obs]`` of the first visit, which later ones do not change."""
    visit = (rows.mask > 0).any(-1).to(first)
    chosen = (visit * (torch.cumsum(visit, dim=1) == 1)).unsqueeze(-1)
    here = (torch.cat([rows.value * rows.mask, rows.mask], dim=-1) * chosen).sum(1)
    _, before = first.chunk(2, dim=-1)
    return torch.where((before > 0).any(-1, keepdim=True), first, here)


def _check(sizes: dict[str, int], features: int, least_noise: float) -> None:
    for name, value in sizes.items():
        least = 2 if name == "effects" else 1
        if type(value) is not int or value < least:
            raise ConfigError(
                f"{name} is {value!r}", where=f"model.{name}", expected=f"a whole number of at least {least}"
            )
    if type(features) is not int or features < 0:
        raise ConfigError(f"features is {features!r}", where="model.features", expected="a whole number of at least 0")
    if not least_noise > 0:
        raise ConfigError(f"least_noise is {least_noise!r}", where="model.least_noise", expected="a positive number")
