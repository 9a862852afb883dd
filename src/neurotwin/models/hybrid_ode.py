"""A published mechanism with personal parameters, inferred from the history, and a learned residual."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from neurotwin.errors import ConfigError
from neurotwin.models.mechanism.personal import PersonalMechanism
from neurotwin.models.observation.scaler import Scaler
from neurotwin.models.posterior.encoded import EncodedPosterior
from neurotwin.models.posterior.gaussian_steps import Differences, StateNoise
from neurotwin.models.posterior.recursive import RecursivePosterior
from neurotwin.models.prediction import Prediction
from neurotwin.models.surrogate import Course, Surrogate, standard_draws
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver, over_rows

SMALLEST_NOISE = 1e-3
"""Least noise of a forecast, in model units: what is deterministic given its draws still has a likelihood."""


class Belief(NamedTuple):
    """What a state says of the free parameters, in the mechanism's units, each ``[batch, free]``: ``median``, and the
    standard deviation ``sd`` of ``phi``, the parameter on its link's scale; the same of the ``prior``."""

    median: Tensor
    phi: Tensor
    sd: Tensor
    prior_phi: Tensor
    prior_sd: Tensor


class HybridOde(Surrogate):
    """A mechanism's own state and equations, with personal parameters theta and a learned residual r.

        x' = f(t, x, u; theta) + s r(x, theta, u, static)        theta ~ p(theta | history), constant in time

    Universal differential equation (Rackauckas et al., arXiv 2001.04385, 2020) with random effects. Two ways to infer
    theta: ``recursive`` is an extended Kalman filter of state and parameters with a learned prior (Jazwinski 1970; as a
    mixed-effects filter: Overgaard et al., J. Pharmacokinet. Pharmacodyn. 2005), which makes state updates exact and
    needs few patients; ``encoder`` is a recurrent network at visits, which need not believe the mechanism's noise.
    Either way the observed states go on from what a visit showed, and what only doses drive follows the doses.

    Args:
        mechanism: a simulator whose variables and treatments the cohort has.
        free: its parameters that differ between patients.
        start: its parameters that differ between patients and only set the state before the first event.
        links: scale on which a parameter is inferred: ``log`` (default), ``softplus`` or ``identity``.
        variables, treatments: name in the cohort -> name in the mechanism, where they differ.
        posterior: ``recursive`` or ``encoder``.
        residual: width of the residual's network; 0 for the mechanism alone.
        penalty: weight of the residual's squared share, per unit of model time, in the training loss.
        evidence: weight of the past's minus log evidence in the training loss.
        prior_sd: of each parameter at first, on its link's scale (recursive).
        robust: standard deviations beyond which a visit is no evidence on parameters; 0 for none (recursive).
        relative: whether surprises on the log scale count as relative differences, see `RecursivePosterior`.
        memory, hidden: of the encoder.
        draws: joint draws of a forecast: of state and parameters.

    Raises:
        ConfigError: as `PersonalMechanism`; a number out of its range.
    """

    learns_spread = False
    diagonal: Tensor

    def __init__(
        self,
        schema: Schema,
        scaling: Scaling,
        solver: Solver,
        *,
        mechanism: Any,
        free: Sequence[str],
        start: Sequence[str] = (),
        links: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        treatments: Mapping[str, str] | None = None,
        posterior: Literal["recursive", "encoder"] = "recursive",
        residual: int = 16,
        penalty: float = 1.0,
        evidence: float = 1.0,
        prior_sd: float = 0.5,
        robust: float = 5.0,
        relative: bool = False,
        memory: int = 12,
        hidden: int = 32,
        draws: int = 16,
    ) -> None:
        _check(posterior, penalty=penalty, evidence=evidence, robust=robust, residual=residual)
        personal = PersonalMechanism(
            mechanism,
            schema,
            Scaler(schema, scaling),
            solver,
            free=free,
            start=start,
            links=links,
            variables=variables,
            treatments=treatments,
            residual=residual,
            horizon=scaling.longest,
        )
        observed, n_static = personal.structure.observed, 2 * len(schema.static_columns)
        noise = StateNoise(personal.coordinates.is_log, observed, len(schema.variables))
        way: RecursivePosterior | EncodedPosterior
        if posterior == "recursive":
            way = RecursivePosterior(personal, noise, n_static, prior_sd=prior_sd, robust=robust, relative=relative)
        else:
            way = EncodedPosterior(personal, noise, n_static, memory=memory, hidden=hidden)
        super().__init__(schema, scaling, core_size=way.core_size, solver=solver, draws=draws)
        self.mechanism, self.state_noise, self.posterior = personal, noise, way
        self.penalty, self.evidence = penalty, evidence
        self.n_learned = way.n_learned
        self.noise = standard_draws(draws, way.size)
        self.around = Differences(way.n_uncertain)
        self.register_buffer("diagonal", torch.eye(personal.n_state))

    def initial(self, static: Tensor) -> Tensor:
        return self.posterior.initial(static)

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        def body(carry: tuple[Tensor, ...], row: Rows) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            before, t = carry
            after, asked, evidence, share = self.posterior.step(before, t, row, static, observe=observe)
            strayed = self._strayed(share, row)
            kept = row.active & (row.peek == 0).unsqueeze(-1)
            cost = torch.where(kept.squeeze(-1), self.evidence * evidence + self.penalty * strayed, 0.0)
            ended = torch.where(row.peek == 0, t + row.dt, t)
            return (torch.where(kept, after, before), ended), (asked, cost)

        (final, ended), (at_query, cost) = over_rows(
            body, (core.to(self.posterior.precision or core.dtype), clock), rows
        )
        return Course(at_query.to(core), final.to(core), ended, None, cost.sum(1).to(core))

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        xi, phi = self._mean(core.flatten(0, -2).unsqueeze(1))
        location = self.mechanism.observe(xi, phi).view(*core.shape[:-1], self.n_obs)
        return location, torch.sqrt(self.state_noise.assay + SMALLEST_NOISE**2).expand_as(location)

    def forecast(self, state: Tensor, rows: Rows) -> Prediction:
        """Each joint draw of state and parameters goes its way through the mechanism; around a draw lie the noise of a
        measurement and the walk of the states since the plan began, carried along the mean course."""
        rows, part = self.scaler.rows(rows), self.unpack(state)
        core, clock, static = part["core"], part["clock"].squeeze(-1), part["static"]
        factor = self.posterior.factor(core, torch.cat([torch.log1p(part["visits"]), part["seen"]], dim=-1))
        sizes = [self.posterior.n_uncertain, self.mechanism.n_free]
        state_off, free_off = (self.noise @ factor.transpose(1, 2)).split(sizes, dim=-1)
        xi, phi = self._mean(core.unsqueeze(1))
        drawn = torch.cat([xi + state_off @ self.posterior.pick, xi], dim=1)
        lanes = torch.cat([phi + free_off, phi.expand(-1, len(self.around.steps), -1)], dim=1)
        spread = torch.zeros_like(xi.transpose(1, 2) @ xi)
        carry = (drawn, spread, torch.zeros_like(xi), clock)
        _, (location, variance, error, strayed) = over_rows(self._plan_row(lanes, static), carry, rows)
        noise = torch.sqrt(variance + self.state_noise.assay + SMALLEST_NOISE**2)
        told = error if self.solver.has_error else None
        return Prediction(location.transpose(-1, -2), noise, told, self.penalty * strayed.sum(1))

    def parameters_of(self, state: Tensor) -> Belief:
        """What packed states ``[batch, state]`` say of the free parameters."""
        part = self.unpack(state)
        factor = self.posterior.factor(part["core"], torch.cat([torch.log1p(part["visits"]), part["seen"]], dim=-1))
        sd = torch.sqrt(factor.square().sum(-1))[:, self.posterior.n_uncertain :]
        _, phi = self._mean(part["core"])
        prior, prior_sd = self.posterior.prior(part["static"])
        return Belief(self.mechanism.parameters_of(phi), phi, sd, prior, prior_sd)

    def measures(self, state: Tensor, rows: Rows) -> dict[str, Tensor]:
        """The residual's share of the slope, of each state that it acts on."""
        if self.mechanism.residual is None:
            return {}
        share = self.residual_share(state, rows)
        acted_on = self.mechanism.push.sum(0) > 0
        named = enumerate(self.mechanism.state_names)
        return {f"residual_share_{name}": share[number] for number, name in named if acted_on[number]}

    def residual_share(self, state: Tensor, rows: Rows) -> Tensor:
        """``[state]`` how much of the slope is the residual's along a plan: the mean of its magnitude over the sum of
        both means, of each of the mechanism's states; rows in natural units."""
        rows, part = self.scaler.rows(rows), self.unpack(state)
        static, t, core = part["static"], part["clock"].squeeze(-1), part["core"]
        course = self.act(core, rows, t, static, observe=False)
        learned, own = torch.zeros(self.mechanism.n_state), torch.zeros(self.mechanism.n_state)
        for number in range(rows.dt.shape[1]):
            row = Rows(*(field[:, number] for field in rows))
            xi, phi = self._mean(course.at_query[:, number])
            weight = (row.dt * (row.peek == 0)).unsqueeze(-1)
            control = (row.control * self.scaler.treatment) @ self.mechanism.channels.given
            learned = learned + (weight * self.mechanism.share(xi, phi, control, static).abs()).sum(0)
            own = own + (weight * self.mechanism.slope(t, xi, phi, row).abs()).sum(0)
        return learned / (learned + own).clamp(min=1e-12)

    def _plan_row(self, phi: Tensor, static: Tensor) -> Any:
        """Body of the loop over a plan: ``n_draws`` draws and the mean course with its differences, side by side."""
        n_draws, pick = self.n_draws, self.posterior.pick
        steps, split = self.around.steps @ pick, [self.n_draws, len(self.around.steps)]

        def body(carry: tuple[Tensor, ...], row: Rows) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            before, spread, total, t = carry
            drawn, mean = before.split([n_draws, 1], dim=1)
            moved = self.mechanism.move(t, torch.cat([drawn, mean + steps], dim=1), phi, row, static)
            begun = self._centre(moved.begun, split)
            ends = []
            for lanes, span in ((moved.end, row.dt), (moved.asked, row.dt * row.query_at)):
                # Only the uncertain states differ between lanes, so no other column of the derivative is needed.
                end, derivative = self.around.of(lanes.split(split, dim=1)[1])
                walked = self.state_noise.walked(span / self.scaler.time, begun, end)
                flow = derivative @ pick
                ends.append((end, flow @ spread @ flow.transpose(1, 2) + walked.unsqueeze(-1) * self.diagonal))
            (end, spread_after), (asked, spread_asked) = ends
            location, slope = self._seen(moved.asked.split(split, dim=1)[0], asked, phi, split)
            variance = ((slope @ pick @ spread_asked) * (slope @ pick)).sum(-1)
            error = total.squeeze(1) if moved.error is None else total.squeeze(1) + self._centre(moved.error, split)
            off = (slope @ pick).abs() @ error.unsqueeze(-1)
            kept = row.active & (row.peek == 0).unsqueeze(-1)
            after = torch.cat([moved.end.split(split, dim=1)[0], end.unsqueeze(1)], dim=1)
            ended = torch.where(row.peek == 0, t + row.dt, t)
            strayed = torch.where(kept.squeeze(-1), self._strayed(self._centre(moved.share, split), row), 0.0)
            many = kept.unsqueeze(-1)
            carried = (torch.where(many, after, before), torch.where(many, spread_after, spread))
            return (*carried, torch.where(many, error.unsqueeze(1), total), ended), (
                location,
                variance,
                off.squeeze(-1),
                strayed,
            )

        return body

    def _seen(self, drawn: Tensor, asked: Tensor, phi: Tensor, split: list[int]) -> tuple[Tensor, Tensor]:
        """What the draws show ``[batch, draw, obs]``, and its derivative by the uncertain states on the mean course."""
        lanes = torch.cat([drawn, asked.unsqueeze(1) + self.around.steps @ self.posterior.pick], dim=1)
        location, around = self.mechanism.observe(lanes, phi).split(split, dim=1)
        return location, self.around.of(around)[1]

    def _centre(self, lanes: Tensor, split: list[int]) -> Tensor:
        """The mean course among all lanes."""
        return torch.as_tensor(lanes.split([split[0], 1, split[1] - 1], dim=1)[1].squeeze(1))

    def _mean(self, core: Tensor) -> tuple[Tensor, Tensor]:
        """State and parameters ``[..., state]``, ``[..., free]`` of a core."""
        n, k = self.mechanism.n_state, self.mechanism.n_free
        xi, phi, _ = core.split([n, k, core.shape[-1] - n - k], dim=-1)
        return xi, phi

    def _strayed(self, share: Tensor, row: Rows) -> Tensor:
        """The residual's squared share over a row ``[batch]``."""
        return torch.as_tensor(share.square().sum(-1) * row.dt / self.scaler.time)


def _check(posterior: str, **numbers: float) -> None:
    if posterior not in ("recursive", "encoder"):
        raise ConfigError(f"posterior is {posterior!r}", where="model.posterior", expected="recursive | encoder")
    for name, value in numbers.items():
        if not value >= 0:
            raise ConfigError(f"{name} is {value!r}", where=f"model.{name}", expected="a number of at least 0")
