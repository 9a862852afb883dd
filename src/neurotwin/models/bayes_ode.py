"""A neural ODE that is linear in what is particular to a patient, which is inferred in closed form."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.errors import ConfigError
from neurotwin.models.activation import softplus
from neurotwin.models.posterior.exposure import Exposure
from neurotwin.models.posterior.gaussian_filter import lower_factor
from neurotwin.models.posterior.patient_field import PatientField
from neurotwin.models.posterior.patient_filter import Belief, Noise, PatientFilter
from neurotwin.models.prediction import Prediction
from neurotwin.models.surrogate import Course, Surrogate, linear, standard_draws, uncorrelated
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver, over_rows

QUICK = 5.0
"""Steps of a logarithm of noise beside those of a weight: it has far to go, by factors of ten."""
N_PARTS = len(Belief._fields)


class BayesOde(Surrogate):
    """A field for the population, one that is linear in a vector ``z`` of the patient, and the exact filter for both.

        dy = (f0(y, x) + G(y, x) z) dt + noise,      x = (exposure, controls, covariates, clock),      z ~ N(0, I)
        value = y + noise,                           y(0) ~ N(a(covariates) + B z, S)

    ``z`` stays; ``y`` and ``z`` are jointly Gaussian, and each row moves and each visit conditions them, as in the
    Kalman filter of continuous time and discrete visits (Jazwinski 1970, chapter 7): exact in ``z``, linearised in
    ``y`` about its mean. Where every step is observed without error it is Bayesian linear regression of the growth
    increments on ``G``. Both noises are learned, one number per variable; a step adds the process noise at its end.

    In training the past costs minus its own log evidence (as in Rangapuram et al., NeurIPS 2018). A forecast's draws
    are draws of ``(y, z)`` from the posterior; the noise around them is what the process will add and the error of
    measurement. A censored value teaches the filter as its limit; it costs only while the forecast is on the wrong
    side.

    The core is ``[y | z | covariance, lower triangle | exposure | seen before | variance added since]``.

    Args:
        patient: length of ``z``.
        hidden: width of the field's network.
        compartments: memories of each treatment.
        draws: joint draws of a forecast.
        use_clock: whether the field may depend on the time since the index event.
        relative: whether variables that are modelled as logarithms are stepped, linearised and given noise as relative
            changes of the quantity itself (`posterior.chart.Chart`): for records so dense that a step changes
            little.
        evidence: weight of minus the log evidence of the past in the training loss.
        robust: standard deviations beyond which a value counts against the evidence by its logarithm, not its square;
            0 for none. Where strong doses meet a patient who is hardly known, the linearised belief is too sure of
            itself; the noise would be learned from those few values, and the belief be too wide everywhere else.
        least_noise: smallest standard deviation of either noise, in model units (process: over the time scale).

    Raises:
        ConfigError: a number out of its range.
    """

    learns_spread = False
    lower: Tensor
    place: Tensor
    diagonal: Tensor

    def __init__(
        self,
        schema: Schema,
        scaling: Scaling,
        solver: Solver,
        *,
        patient: int = 3,
        hidden: int = 32,
        compartments: int = 2,
        draws: int = 16,
        use_clock: bool = True,
        relative: bool = False,
        evidence: float = 1.0,
        robust: float = 0.0,
        least_noise: float = 1e-3,
    ) -> None:
        _check({"patient": patient, "hidden": hidden, "compartments": compartments}, evidence, robust, least_noise)
        n_obs, n_control = len(schema.variables), len(schema.treatments)
        n, memory = n_obs + patient, compartments * n_control
        blocks = (n_obs, patient, n * (n + 1) // 2, memory, n_obs, n_obs)
        super().__init__(schema, scaling, core_size=sum(blocks), solver=solver, draws=draws)
        self.blocks, self.n, self.n_learned = blocks, n, n
        self.evidence, self.least_noise = evidence, least_noise
        stretch = self.scaler.deviation * self.scaler.is_log
        self.filter = PatientFilter(
            PatientField(n_obs, patient, memory + n_control + self.n_static + 1, hidden),
            Exposure(n_control, compartments, 1 / solver.max_step, 0.1 / solver.max_step),
            solver,
            time=scaling.time,
            stretch=stretch if relative and stretch.any() else None,
            use_clock=use_clock,
            robust=robust,
        )
        self.start = linear(self.n_static, n_obs)
        self.start_loading = nn.Parameter(0.1 * torch.randn(n_obs, patient))
        self.start_spread = nn.Parameter(torch.zeros(n_obs))
        self.process_noise = nn.Parameter(torch.full((n_obs,), math.log(0.3) / QUICK))
        self.value_noise = nn.Parameter(torch.full((n_obs,), math.log(0.1) / QUICK))
        row, column = torch.tril_indices(n, n)
        place = torch.zeros(n, n, dtype=torch.int64)
        place[row, column] = place[column, row] = torch.arange(len(row))
        self.register_buffer("lower", row * n + column, persistent=False)
        self.register_buffer("place", place.flatten(), persistent=False)
        self.register_buffer("diagonal", place.diagonal()[:n_obs].clone(), persistent=False)
        self.noise = uncorrelated(standard_draws(draws, n))

    def initial(self, static: Tensor) -> Tensor:
        y = self.start(static)
        loading = torch.cat([self.start_loading, torch.eye(self.blocks[1]).to(y)])
        own = F.pad(softplus(self.start_spread).square(), (0, self.blocks[1]))
        covariance = loading @ loading.T + own * torch.eye(self.n).to(y)
        z, *rest = (torch.zeros(1, size).to(y).expand(y.shape[0], -1) for size in self._sizes())
        return self._packed(Belief(y, z, covariance.expand(y.shape[0], -1, -1), *rest))

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        exporting = torch.compiler.is_exporting()
        # What is asked of no row need not be worked out. Padding moves nothing, bit for bit; a peek row would.
        ask = not observe or (not exporting and bool((rows.query_at > 0).any()))
        peeks = exporting or bool((rows.peek > 0).any())
        counts, noise = observe and not exporting, self.noises()

        def body(carry: tuple[Tensor, ...], row: Rows) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            held, t, surprise = Belief(*carry[:N_PARTS]), carry[N_PARTS], carry[N_PARTS + 1 :]
            chart = self.filter.chart(held.seen)
            asked, after = self.filter.moved(held, chart, row, t, static, noise, ask=ask)
            ended = t + row.dt
            if observe:
                after, found = self.filter.informed(after, chart, row, noise)
                surprise = (surprise[0] + found,) if counts else ()
            if peeks:
                kept = row.active & (row.peek == 0).unsqueeze(-1)
                pairs = zip((*after, ended.unsqueeze(-1)), (*held, t.unsqueeze(-1)), strict=True)
                *chosen, ended = (
                    torch.where(kept.unsqueeze(-1) if new.ndim == 3 else kept, new, old) for new, old in pairs
                )
                after, ended = Belief(*chosen), ended.squeeze(-1)
            return (*after, ended, *surprise), tuple(asked)

        first = (*self.unpacked(core), clock, *([torch.zeros_like(clock)] if counts else []))
        carry, asked = over_rows(body, first, rows)
        at_query = self._packed(Belief(*(item.flatten(0, 1) for item in asked))).unflatten(0, (-1, rows.dt.shape[1]))
        cost = self.evidence * carry[-1] if counts and self.evidence else None
        return Course(at_query, self._packed(Belief(*carry[:N_PARTS])), carry[N_PARTS], None, cost)

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        y, _, lower, *_ = core.split(list(self.blocks), dim=-1)
        return y, torch.sqrt(lower.index_select(-1, self.diagonal) + self.noises().value)

    def forecast(self, state: Tensor, rows: Rows) -> Prediction:
        """See `Surrogate.forecast`. Each draw of the posterior is solved; the noise around them follows the mean."""
        scaled, part = self.scaler.rows(rows), self.unpack(state)
        clock, static = part["clock"].squeeze(-1), part["static"]
        belief = self.unpacked(part["core"])
        # Without draws all doubt is noise; with them, what is known of y and z today is in the draws.
        certain = belief if self.n_draws == 1 else belief._replace(covariance=torch.zeros_like(belief.covariance))
        scale = self.head(self.act(self._packed(certain), scaled, clock, static, observe=False).at_query)[1]
        location, error = self._courses(self.drawn(part), scaled, clock, static)
        return Prediction(location, scale, error)

    def drawn(self, part: dict[str, Tensor]) -> Tensor:
        belief = self.unpacked(part["core"])
        spread = self.noise @ lower_factor(belief.covariance).transpose(1, 2)
        known = F.pad(spread, (0, sum(self.blocks[2:])))
        certain = self._packed(belief._replace(covariance=torch.zeros_like(belief.covariance)))
        return certain.unsqueeze(1) + known

    def _courses(self, drawn: Tensor, rows: Rows, clock: Tensor, static: Tensor) -> tuple[Tensor, Tensor | None]:
        """Courses ``[batch, row, obs, draw]`` of draws ``[batch, draw, core]``, and the mean of their step errors."""
        begun = self.unpacked(drawn.flatten(0, 1))
        z, many, known = begun.z, Rows(*(self._many(item) for item in rows)), self._many(static)
        chart, move = self.filter.chart(begun.seen), self.filter

        def body(carry: tuple[Tensor, ...], row: Rows) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            before, memory, t, total = carry
            dosed = move.exposure.dosed(memory, row.jump)

            def flow(time: Tensor, local: Tensor) -> Tensor:
                told = move.told(time, time - t, dosed, row.control, known)
                slope = move.field.slope(before + chart.change(local), told, z)
                return slope * chart.growth(local) / move.time

            done = self.solver.advance(flow, t, row.dt, torch.zeros_like(before), row.query_at)
            kept = row.active & (row.peek == 0).unsqueeze(-1)
            wrong = total if done.error is None else total + done.error.abs()
            carried = (
                torch.where(kept, before + chart.change(done.end), before),
                torch.where(kept, move.exposure.after(dosed, row.control, row.dt), memory),
                torch.where(row.peek == 0, t + row.dt, t),
                torch.where(kept, wrong, total),
            )
            return carried, (before + chart.change(done.at_query), wrong)

        _, (location, error) = over_rows(
            body, (begun.y, begun.memory, self._many(clock), torch.zeros_like(begun.y)), many
        )
        split = (-1, self.n_draws)
        mean_error = error.unflatten(0, split).mean(1) if self.has_error else None
        return location.unflatten(0, split).movedim(1, -1), mean_error

    def noises(self) -> Noise:
        """Variances of both noises, in model units."""
        process, value = (
            (torch.exp(QUICK * raw) + self.least_noise).square() for raw in (self.process_noise, self.value_noise)
        )
        return Noise(process, value)

    def _sizes(self) -> tuple[int, ...]:
        """Of z, and of what stands behind the covariance."""
        return self.blocks[1], *self.blocks[3:]

    def _packed(self, belief: Belief) -> Tensor:
        lower = belief.covariance.flatten(1).index_select(1, self.lower)
        return torch.cat([belief.y, belief.z, lower, *belief[3:]], dim=-1)

    def unpacked(self, core: Tensor) -> Belief:
        """The belief in a core ``[batch, core]``."""
        y, z, lower, *rest = core.split(list(self.blocks), dim=-1)
        return Belief(y, z, lower.index_select(1, self.place).unflatten(1, (self.n, self.n)), *rest)

    def _many(self, item: Tensor) -> Tensor:
        """Each subject once per draw along the batch axis."""
        return item.unsqueeze(1).expand(-1, self.n_draws, *item.shape[1:]).flatten(0, 1)


def _check(sizes: dict[str, int], evidence: float, robust: float, least_noise: float) -> None:
    for name, value in sizes.items():
        if type(value) is not int or value < 1:
            raise ConfigError(f"{name} is {value!r}", where=f"model.{name}", expected="a whole number of at least 1")
    for name, number in (("evidence", evidence), ("robust", robust)):
        if not number >= 0:
            raise ConfigError(f"{name} is {number!r}", where=f"model.{name}", expected="a number of at least 0")
    if not least_noise > 0:
        raise ConfigError(f"least_noise is {least_noise!r}", where="model.least_noise", expected="a positive number")
