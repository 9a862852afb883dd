"""A neural ODE whose forecasts are read off a flow map that was taught by it: no loop over the rows of a plan."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurotwin.errors import ConfigError
from neurotwin.models.neural_ode import NeuralOde
from neurotwin.models.prediction import Prediction
from neurotwin.models.surrogate import Course, Surrogate
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows

FASTEST = 80.0
"""The fastest memory's time is the longest horizon over this: its exponentials then stay in the range of single
precision up to 1.6 horizons."""
SLOWEST = 2.0
"""The slowest memory's time, in horizons: nearly a sum of all that was given."""


class Given(nn.Module):
    """What is remembered of amounts or rates: ``W [v | silu(A v + b) - silu(b)]``, which is nothing for nothing.

    Args:
        treatments: number of them.
        width: of the hidden layer.
        size: numbers remembered.
    """

    def __init__(self, treatments: int, width: int, size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(treatments, width)
        self.told = nn.Linear(treatments + width, size, bias=False)

    def forward(self, given: Tensor) -> Tensor:
        """``[..., size]`` of what is given, ``[..., treatment]``."""
        bent = functional.silu(self.hidden(given)) - functional.silu(self.hidden.bias)
        return torch.as_tensor(self.told(torch.cat([given, bent], dim=-1)))


class PlanMemory(nn.Module):
    """What a plan has given by each query, remembered at several rates, for all queries in one pass.

        m(s) = sum over boluses a at r <= s of exp(-(s - r) / tau) e(a)
        m(s) = integral over r <= s of exp(-(s - r) / tau) / tau e(u(r)) dr  of what is held

    with learned `Given` e, nothing for nothing, and fixed, log-spaced tau; the time s since the plan's start is told as
    ``1 - exp(-s / tau)``. A nonlinear function of such memories can stand for any system whose memory fades (Boyd,
    Chua, IEEE Trans. Circuits Syst. 32:1150, 1985). All is nothing at s = 0 without a bolus, and how rows are cut makes
    no difference, for sums and integrals over the parts of a row add up.

    Args:
        kinds: of the treatments.
        horizon: longest time that is forecast, in scaled time.
        rates: number of tau.
        extra: memories of a tau beside one for each treatment.
    """

    scale: Tensor
    per_time: Tensor

    def __init__(self, kinds: Sequence[str], horizon: float, rates: int, extra: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.boluses = [index for index, kind in enumerate(kinds) if kind == "bolus"]
        self.held = [index for index, kind in enumerate(kinds) if kind != "bolus"]
        slowest_first = torch.linspace(math.log(horizon * SLOWEST), math.log(horizon / FASTEST), rates)
        self.register_buffer("per_time", torch.exp(-slowest_first))
        widths = [len(part) + extra for part in (self.boluses, self.held) if part]
        self.of_bolus = Given(len(self.boluses), 4 * extra, rates * widths[0]) if self.boluses else None
        self.of_held = Given(len(self.held), 4 * extra, rates * widths[-1]) if self.held else None
        self.n_rates, self.size = rates, rates * (1 + sum(widths))
        self.register_buffer("scale", torch.ones(self.size))

    def forward(self, rows: Rows, time: float) -> Tensor:
        """``[batch, row, size]`` at the query of each row; ``time`` is one unit of scaled time."""
        dt, at, peek = rows.dt.unsqueeze(-1), rows.query_at.unsqueeze(-1), rows.peek.unsqueeze(-1)
        kept = 1 - peek
        passed = kept * dt
        begins = passed.cumsum(1) - passed
        asked = begins + dt * at
        rates = [self._rate(part) / time for part in (self.of_bolus, self.of_held) if part is not None]
        # Exponentials count from the middle of the horizon, so that neither the first nor the last ones leave the
        # range of numbers.
        middle = 0.5 * self.horizon * time
        columns = torch.cat([self.per_time / time, *rates])
        offset = torch.cat([torch.zeros_like(self.per_time), *(middle * rate for rate in rates)])
        since, *fades = torch.exp(offset - asked * columns).split([self.n_rates, *map(len, rates)], dim=-1)
        parts, begins = [1 - since], begins - middle
        if self.of_bolus is not None:
            rate, fall = rates[0], fades[0]
            given = torch.exp(begins * rate) * self.of_bolus(_columns(rows.jump, self.boluses))
            parts.append(fall * ((kept * given).cumsum(1) + peek * given))
        if self.of_held is not None:
            rate, fall = rates[-1], fades[-1]
            rise = torch.exp(begins * rate)
            held = self.of_held(_columns(rows.control, self.held))
            # The last row may reach far beyond what is asked.
            until = torch.exp(((begins + dt) * rate).clamp(max=1.05 * FASTEST))
            whole = kept * (until - rise) * held
            parts.append(fall * (whole.cumsum(1) - whole) + (1 - rise * fall) * held)
        return torch.cat(parts, dim=-1)

    def _rate(self, given: Given) -> Tensor:
        """``1 / tau`` of each memory of a kind."""
        return self.per_time.repeat_interleave(given.told.out_features // self.n_rates)


class FlowMap(nn.Module):
    """The course of a state under a whole plan, at every query at once.

        x(s) = x0 + d [ A m(s) + N(x0, c, t0, m(s)) - N(x0, c, t0, 0) ]

    with the plan's memories m (`PlanMemory`), covariates c and clock t0 at the start; exactly x0 at s = 0 before any
    bolus. d is the size of the changes.

    Args:
        state, static: lengths of what moves and of the covariates.
        memory: of the plan.
        hidden: width of N, which has two hidden layers.
    """

    change: Tensor

    def __init__(self, state: int, static: int, memory: PlanMemory, hidden: int) -> None:
        super().__init__()
        self.memory = memory
        self.of_start = nn.Linear(state + static + 1, hidden)
        self.of_plan = nn.Linear(memory.size, hidden, bias=False)
        self.within = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.last = nn.Linear(hidden, state, bias=False)
        self.straight = nn.Linear(memory.size, state, bias=False)
        nn.init.zeros_(self.straight.weight)
        self.register_buffer("change", torch.ones(state))

    def forward(self, state: Tensor, known: Tensor, told: Tensor) -> Tensor:
        """States ``[..., query, state]`` at the queries.

        Args:
            state, known: ``[..., 1, state]``, and covariates with the squashed clock, at the plan's start.
            told: ``[..., query, memory]`` the plan's memories.
        """
        begun = self.of_start(torch.cat([state, known], dim=-1))
        # Scales are multiplied into weights, where an exported graph finds them done.
        scale, change = self.memory.scale, self.change.unsqueeze(-1)
        planned = functional.linear(told, self.of_plan.weight / scale)
        bent = functional.linear(self.within(begun + planned) - self.within(begun), self.last.weight * change)
        return torch.as_tensor(state + bent + functional.linear(told, self.straight.weight * change / scale))


def _columns(table: Tensor, chosen: list[int]) -> Tensor:
    """Some columns of a table, or all as they are."""
    if len(chosen) == table.shape[-1]:
        return table
    return torch.cat([table.narrow(-1, index, 1) for index in chosen], dim=-1)


class DistilledFlow(Surrogate):
    """A trained model with a solver (the teacher) whose forecasts are answered by a flow map of its courses.

    Histories are worked through by the teacher as it is: state, layout, covariates, draws and head are its own, to the
    bit. Only the course from a plan's start to its queries is replaced, by `FlowMap`, which needs one pass over all
    queries where a solver needs a pass for every step. `neurotwin distill` trains it on the teacher's own courses and
    measures how far it is off; trained otherwise it means nothing.

    There is no solver in a forecast, so no step error is told: the measured error stands in the bundle instead.

    Args:
        teacher: what makes the teacher.
        hidden: width of the flow map.
        rates: at which a plan is remembered.
        extra: nonlinear memories of what is given, beside the amounts.
    """

    solves = False
    learns_spread = False

    def __init__(
        self,
        schema: Schema,
        scaling: Scaling,
        teacher: Callable[[Schema, Scaling], Surrogate],
        *,
        hidden: int = 64,
        rates: int = 6,
        extra: int = 4,
    ) -> None:
        if hidden < 1 or rates < 2 or extra < 1:
            raise ValueError(f"hidden, rates and extra must be at least 1, 2 and 1, got {hidden}, {rates}, {extra}")
        made = teacher(schema, scaling)
        check_teacher(made)
        first, last = made.layout["core"]
        super().__init__(schema, scaling, core_size=last - first, solver=made.solver, draws=1)
        self.teacher = made.requires_grad_(False)
        self.n_draws, self.n_learned, self.recursive = made.n_draws, made.n_learned, made.recursive
        memory = PlanMemory([item.kind for item in schema.treatments], scaling.longest / scaling.time, rates, extra)
        self.flow = FlowMap(self.n_learned, self.n_static, memory, hidden)

    def train(self, mode: bool = True) -> "DistilledFlow":
        """Training concerns the flow map alone: the teacher drops nothing out."""
        super().train(mode)
        self.teacher.eval()
        return self

    def initial(self, static: Tensor) -> Tensor:
        return self.teacher.initial(static)

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        """As the teacher acts: only `forecast` takes the short way."""
        return self.teacher.act(core, rows, clock, static, observe=observe)

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        return self.teacher.head(core)

    def drawn(self, part: dict[str, Tensor]) -> Tensor:
        return self.teacher.drawn(part)

    def forecast(self, state: Tensor, rows: Rows) -> Prediction:
        rows, part = self.scaler.rows(rows), self.unpack(state)
        told = self.flow.memory(rows, self.scaler.time)
        if self.n_draws == 1:  # without an axis of draws, for which an exported graph would pay in every operator
            learned = state.narrow(-1, 0, self.n_learned).unsqueeze(1)
            known = self._known(part["static"], part["clock"]).unsqueeze(1)
            location, scale = self.head(self.flow(learned, known, told))
            return Prediction(location.unsqueeze(-1), scale, None)
        location, scale = self.head(self.course(self.drawn(part), part["static"], part["clock"], told))
        return Prediction(location.movedim(1, -1), scale.square().mean(1).sqrt(), None)

    def course(self, core: Tensor, static: Tensor, clock: Tensor, told: Tensor) -> Tensor:
        """The learned columns ``[batch, draw, query, learned]`` of cores ``[batch, draw, core]`` at a plan's start.

        Args:
            static, clock: ``[batch, static]`` in model units, and ``[batch, 1]``.
            told: ``[batch, query, memory]`` of the plan in model units.
        """
        learned = core.narrow(-1, 0, self.n_learned).unsqueeze(2)
        known = self._known(static, clock)[:, None, None].expand(-1, core.shape[1], -1, -1)
        return torch.as_tensor(self.flow(learned, known, told.unsqueeze(1)))

    def _known(self, static: Tensor, clock: Tensor) -> Tensor:
        """``[batch, static + 1]`` covariates and the clock, squashed: it tells early from late."""
        return torch.cat([static, clock / (2 * self.scaler.time + clock.abs())], dim=-1)


def check_teacher(model: Surrogate) -> None:
    """Raises ConfigError for a model that is no plain neural ODE: others draw from a posterior, some have no
    solve, and some are a mechanism."""
    name = type(model).__name__
    if type(model) is not NeuralOde:
        raise ConfigError(f"a {name} cannot be distilled", where="distill", expected="a run of model=neural_ode")
    if model.tells_risk:
        raise ConfigError(
            f"a {name} with hazards cannot be distilled",
            where="distill",
            expected="a run without outcomes",
            remedy="train with ~model.hazards",
        )
