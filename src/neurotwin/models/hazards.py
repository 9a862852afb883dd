"""Hazards of competing outcomes on a model's continuous state, solved along with it."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.errors import ConfigError
from neurotwin.models.layers import network, squashed
from neurotwin.models.surrogate import Course, linear
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver, odesolve
from neurotwin.solvers.solver import Jump, VectorField

EXPECTED_PER_STEP = 2.0
"""Most outcomes that all hazards together may expect in the solver's longest step: explicit methods of second order
and above stay stable up to here."""


class Risk(NamedTuple):
    """What a forecast says of the outcomes, draw by draw, from the plan's start on.

    Attributes:
        total: ``[batch, row, draw]`` cumulated hazard of all outcomes up to each query.
        incidence: ``[batch, row, draw, outcome]`` probability that the outcome has happened by then.
        log_rate: ``[batch, row, draw, outcome]`` logarithm of its hazard then, per time unit of the schema.
    """

    total: Tensor
    incidence: Tensor
    log_rate: Tensor

    @property
    def mean_incidence(self) -> Tensor:
        """``[batch, row, outcome]`` cumulative incidence: probabilities are averaged over draws, hazards are not, since
        the draws with a high hazard are the first to leave."""
        return self.incidence.mean(2)

    def log_likelihood(self, start: Tensor, end: Tensor, event: Tensor) -> tuple[Tensor, Tensor]:
        """Of the end of each subject's follow-up, given that it was free of all outcomes at a landmark.

            L = sum_d exp(-H_d(end)) h_d,event(end) / sum_d exp(-H_d(landmark)),      h = 1 where censored

        with H the cumulated hazard of all outcomes (Prentice et al., Biometrics 1978;34:541-554, per draw; the sums
        are those of a mixture that is left-truncated at the landmark).

        Args:
            start, end: ``[batch]`` rows of the queries at the landmark and at the end of follow-up.
            event: ``[batch]`` the outcome, negative where censored.

        Returns:
            ``[batch]`` the logarithm of L, and ``[batch, draw]`` that of each draw's share of its numerator: how much
            the draw is believed once the end of follow-up is known.
        """
        own = torch.arange(len(end), device=end.device)
        rate = self.log_rate[own, end]
        chosen = event.clamp(min=0).view(-1, 1, 1).expand(-1, rate.shape[1], 1)
        happened = torch.where(event.unsqueeze(-1) >= 0, rate.gather(-1, chosen).squeeze(-1), 0.0)
        each = happened - self.total[own, end]
        found = torch.logsumexp(each, dim=-1)
        return found - torch.logsumexp(-self.total[own, start], dim=-1), each - found.unsqueeze(-1)


def together(risks: Sequence[Risk]) -> Risk:
    """Those of several models of one plan, as one with the draws of all."""
    totals, incidences, rates = zip(*risks, strict=True)
    return Risk(torch.cat(totals, dim=-1), torch.cat(incidences, dim=2), torch.cat(rates, dim=2))


class Hazards(nn.Module):
    """Cause-specific hazards of a schema's outcomes.

        h_k = top sigmoid(g_k(state, controls, covariates, clock) - ln top)      per time unit of the schema

    which is exp(g_k), hazards proportional in the state, as long as that is far below ``top``, and never more: an
    explicit solver would be unstable there. As extra states of the solve, H' = sum_k h_k and F_k' = h_k exp(-H), so
    that cumulative incidences are dense, exact functions of the plan like everything else, and queries move nothing.

    A joint model of course and outcomes through a shared state (Rizopoulos 2012, Joint Models for Longitudinal and
    Time-to-Event Data; with neural ODEs: Moon, Groha, Gusev, SurvLatent ODE, MLHC 2022).

    Args:
        schema: with outcomes.
        scaling, solver: those of the model.
        inputs: what the model tells of its state.
        hidden: width of the network; 0 for hazards that are log-linear in what is told.

    Raises:
        ConfigError: the schema has no outcomes.
    """

    def __init__(self, schema: Schema, scaling: Scaling, solver: Solver, inputs: int, *, hidden: int = 0) -> None:
        super().__init__()
        n_outcomes = len(schema.outcomes)
        if not n_outcomes:
            raise ConfigError(
                "hazards without outcomes",
                where="model.hazards",
                expected="a cohort whose schema has outcomes",
                remedy="leave model.hazards out, or map outcomes and follow_up",
            )
        if hidden < 0:
            raise ConfigError(f"hidden is {hidden}", where="model.hazards.hidden", expected="a width, or 0")
        told = inputs + len(schema.treatments) + 2 * len(schema.static_columns) + 1
        self.sizes, self.time = [1, n_outcomes], scaling.time
        self.log_top = math.log(EXPECTED_PER_STEP / (n_outcomes * solver.max_step))
        self.predictor = network(told, hidden, n_outcomes, gentle=True) if hidden else _still(told, n_outcomes)
        # An untrained model expects one outcome in the longest time that training asks about.
        self.base = -math.log(n_outcomes * max(scaling.longest, solver.max_step))

    def log_rate(self, told: Tensor, control: Tensor, static: Tensor, clock: Tensor) -> Tensor:
        """``[..., outcome]`` logarithms of the hazards; ``clock`` ``[..., 1]`` is squashed time."""
        score = self.predictor(torch.cat([told, control, static, clock], dim=-1)) + self.base
        return self.log_top + F.logsigmoid(score - self.log_top)

    def slope(self, state: Tensor, log_rate: Tensor) -> Tensor:
        """Of the extra states ``[batch, 1 + outcome]``: cumulated hazard, then incidences."""
        total, _ = state.split(self.sizes, dim=-1)
        rate = torch.exp(log_rate)
        return torch.cat([rate.sum(-1, keepdim=True), rate * torch.exp(-total)], dim=-1)

    def solved(
        self,
        vector_field: VectorField,
        condition: Callable[[Tensor], Tensor],
        core: Tensor,
        rows: Rows,
        *,
        start: Tensor,
        static: Tensor,
        solver: Solver,
        jump: Jump | None,
    ) -> Course:
        """The course of a core under a vector field that follows a plan, with its risk; see `Surrogate.solved`."""
        sizes = [core.shape[-1], sum(self.sizes)]

        def field(t: Tensor, state: Tensor, control: Tensor, known: Tensor) -> Tensor:
            inner, risk = state.split(sizes, dim=-1)
            rate = self.log_rate(condition(inner), control, known, squashed(t / self.time))
            return torch.cat([vector_field(t, inner, control, known), self.slope(risk, rate)], dim=-1)

        def dosed(t: Tensor, state: Tensor, amount: Tensor, known: Tensor) -> Tensor:
            inner, risk = state.split(sizes, dim=-1)
            return torch.cat([inner if jump is None else jump(t, inner, amount, known), risk], dim=-1)

        first = F.pad(core, (0, sizes[1]))
        moved = None if jump is None else dosed
        done = odesolve(field, first, rows, start=start, static=static, solver=solver, jump=moved)
        (asked, risk), (final, _) = done.at_query.split(sizes, dim=-1), done.final.split(sizes, dim=-1)
        error = None if done.error is None else done.error.split(sizes, dim=-1)[0]
        return Course(asked, final, done.clock, error, risk=risk)

    def risk(self, state: Tensor, told: Tensor, rows: Rows, clock: Tensor, static: Tensor, draws: int) -> Risk:
        """From the extra states ``[batch * draw, row, 1 + outcome]`` and what is told of the core at the queries."""
        passed = torch.where(rows.peek == 0, rows.dt, 0.0)
        t = clock.unsqueeze(1) + torch.cumsum(passed, dim=1) - passed + rows.dt * rows.query_at
        known = static.unsqueeze(1).expand(-1, rows.dt.shape[1], -1)
        rate = self.log_rate(told, rows.control, known, squashed(t / self.time))
        total, incidence = state.split(self.sizes, dim=-1)
        split = (-1, draws)
        return Risk(
            total.squeeze(-1).unflatten(0, split).movedim(1, -1),
            incidence.unflatten(0, split).movedim(1, 2),
            rate.unflatten(0, split).movedim(1, 2),
        )


HazardFactory = Callable[[Schema, Scaling, Solver, int], Hazards]
"""What a configuration names: everything but what the model itself knows."""


def _still(inputs: int, outputs: int) -> nn.Linear:
    """Linear, and 0 before training."""
    layer = linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
