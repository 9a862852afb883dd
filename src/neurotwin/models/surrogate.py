"""What every surrogate shares: the packed state of a twin, assimilation of a history, forecast of a plan.

A model answers two questions. `assimilate`: given a state (or none) and new events, what is the state? `forecast`:
given a state and a plan, what will be seen? The state is one packed vector; its slices are in `layout`.
"""

import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from neurotwin.models.activation import softplus
from neurotwin.models.observation.scaler import Scaler
from neurotwin.models.prediction import Prediction
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver, odesolve
from neurotwin.solvers.solver import Jump, Update, VectorField

if TYPE_CHECKING:  # hazards are made of the small networks, which are made of what stands here
    from neurotwin.models.hazards import HazardFactory, Hazards, Risk

SMALLEST_SCALE = 0.02
"""Least noise, in model units: a likelihood without a floor runs away on channels that repeat a value."""


class Course(NamedTuple):
    """A batch of cores acted out along rows.

    Attributes:
        at_query: ``[batch, row, core]``.
        final: ``[batch, core]`` after the last row.
        clock: ``[batch]`` after the last row.
        error: ``[batch, row, core]`` summed absolute step error, or None.
        cost: ``[batch]`` what the model adds to its own training loss for these rows, or None: how unlikely it found
            what it saw, or how much of what it did it should not have needed.
        risk: ``[batch, row, 1 + outcome]`` states of the hazards where each row's query asks, or None.
    """

    at_query: Tensor
    final: Tensor
    clock: Tensor
    error: Tensor | None
    cost: Tensor | None = None
    risk: Tensor | None = None


class Surrogate(nn.Module, ABC):
    """A learned twin of the subjects of one schema.

    The packed state holds ``core`` (the model's own), ``static`` (covariates in model units and their masks),
    ``clock``, and a summary of the past: ``last`` value per variable and whether it was ``seen``, ``visits``.

    Args:
        schema: what the channels mean; decides the sizes.
        scaling: fitted scales.
        core_size: length of the core.
        solver: its ``max_step`` is how timelines must be cut.
        draws: joint draws of a forecast; 1 for a model that gives none.

    ``n_learned`` is how many of the core's leading columns describe the patient (all of them, unless a model says
    otherwise): the support score looks at those.
    """

    recursive = True
    solves = True
    """Whether it walks the rows with its solver; False for a model with steps of its own, which tell no error."""
    learns_spread = True
    """Whether joint draws are spread by a learned width; False for a model that has a posterior to draw from."""
    noise: Tensor

    def __init__(self, schema: Schema, scaling: Scaling, *, core_size: int, solver: Solver, draws: int) -> None:
        super().__init__()
        self.schema, self.scaler, self.solver = schema, Scaler(schema, scaling), solver
        self.n_draws, self.n_learned = draws, core_size
        self.hazards: Hazards | None = None
        self.n_obs, self.n_control = len(schema.variables), len(schema.treatments)
        self.n_static = 2 * len(schema.static_columns)
        sizes = {
            "core": core_size,
            "static": self.n_static,
            "clock": 1,
            "last": self.n_obs,
            "seen": self.n_obs,
            "visits": 1,
        }
        self.layout: dict[str, tuple[int, int]] = {}
        position = 0
        for name, size in sizes.items():
            self.layout[name] = (position, position + size)
            position += size
        self.state_size = position
        self.register_buffer("noise", standard_draws(draws, core_size))
        if draws > 1 and self.learns_spread:
            last = nn.Linear(32, core_size)
            nn.init.constant_(last.bias, -2.0)
            self.spread = nn.Sequential(nn.Linear(core_size + self.n_static + 1 + self.n_obs, 32), nn.SiLU(), last)

    @property
    def has_error(self) -> bool:
        """Whether a forecast tells the step error of its solve."""
        return self.solves and self.solver.has_error

    @property
    def tells_risk(self) -> bool:
        """Whether a forecast tells the risk of the schema's outcomes."""
        return self.hazards is not None

    @abstractmethod
    def initial(self, static: Tensor) -> Tensor:
        """Core ``[batch, core]`` of a subject of whom nothing but covariates is known."""

    @abstractmethod
    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        """Act out rows (in model units); with ``observe`` the core learns from what was seen."""

    @abstractmethod
    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        """Location and noise scale ``[..., obs]`` in model units."""

    def assimilate(
        self, state: Tensor, fresh: Tensor, start: Tensor, static: Tensor, static_mask: Tensor, rows: Rows
    ) -> Tensor:
        """Packed state ``[batch, state]`` after the rows; arguments as in `follow`."""
        return self.follow(state, fresh, start, static, static_mask, rows)[0]

    def follow(
        self, state: Tensor, fresh: Tensor, start: Tensor, static: Tensor, static_mask: Tensor, rows: Rows
    ) -> tuple[Tensor, Tensor | None]:
        """Packed state ``[batch, state]`` after the rows, and what they cost in training (`Course.cost`).

        Args:
            state: ``[batch, state]`` before them; ignored where ``fresh``.
            fresh: ``[batch]`` 1 where there is no state yet.
            start: ``[batch]`` clock of a fresh state.
            static, static_mask: ``[batch, static column]`` covariates of a fresh state.
            rows: in natural units.
        """
        rows = self.scaler.rows(rows)
        blank = self.blank(start, static, static_mask)
        state = torch.where(fresh.unsqueeze(-1) > 0, blank, state)
        part = self.unpack(state)
        course = self.act(part["core"], rows, part["clock"].squeeze(-1), part["static"], observe=True)
        last, seen = _last_seen(rows.value, rows.mask)
        packed = torch.cat(
            [
                course.final,
                part["static"],
                course.clock.unsqueeze(-1),
                torch.where(seen > 0, last, part["last"]),
                torch.maximum(seen, part["seen"]),
                part["visits"] + (rows.mask > 0).any(-1).sum(1, keepdim=True).to(state.dtype),
            ],
            dim=-1,
        )
        return packed, course.cost

    def forecast(self, state: Tensor, rows: Rows) -> Prediction:
        """Forecast a plan (rows in natural units) from a packed state."""
        rows, part = self.scaler.rows(rows), self.unpack(state)
        core, clock, static = part["core"], part["clock"].squeeze(-1), part["static"]
        if self.n_draws == 1:
            course = self.act(core, rows, clock, static, observe=False)
            location, scale = self.head(course.at_query)
            risk = self._risk(course, rows, clock, static)
            error = self._step_error(course, location)
            return Prediction(location.unsqueeze(-1), scale, error, course.cost, risk)
        drawn = self.drawn(part).flatten(0, 1)
        many = Rows(*(_repeat(field, self.n_draws) for field in rows))
        course = self.act(drawn, many, _repeat(clock, self.n_draws), _repeat(static, self.n_draws), observe=False)
        location, scale = self.head(course.at_query)
        error = self._step_error(course, location)
        split = (-1, self.n_draws)
        cost = None if course.cost is None else course.cost.unflatten(0, split).mean(1)
        prior = self.divergence(part)
        return Prediction(
            location.unflatten(0, split).movedim(1, -1),
            torch.sqrt(scale.square().unflatten(0, split).mean(1)),
            None if error is None else error.unflatten(0, split).mean(1),
            cost if prior is None else prior if cost is None else cost + prior,
            self._risk(course, many, _repeat(clock, self.n_draws), _repeat(static, self.n_draws)),
        )

    def drawn(self, part: dict[str, Tensor]) -> Tensor:
        """Joint draws ``[batch, draw, core]`` of the core at the plan's start, from the slices of the packed state."""
        told = [part["core"], part["static"], torch.log1p(part["visits"]), part["seen"]]
        width = softplus(self.spread(torch.cat(told, dim=-1)))
        return part["core"].unsqueeze(1) + width.unsqueeze(1) * self.noise

    def measures(self, state: Tensor, rows: Rows) -> dict[str, Tensor]:
        """What a model tells of itself along a plan (rows in natural units), by name, as scalars: training writes it
        beside the validation loss."""
        return {}

    def divergence(self, part: dict[str, Tensor]) -> Tensor | None:
        """``[batch]`` what a model with a prior adds to its training loss for the distribution of its draws."""
        return None

    def blank(self, start: Tensor, static: Tensor, static_mask: Tensor) -> Tensor:
        """Packed state before any event."""
        scaled = self.scaler.static(static, static_mask)
        past = torch.zeros(*start.shape, 2 * self.n_obs + 1, dtype=scaled.dtype, device=scaled.device)
        return torch.cat([self.initial(scaled), scaled, start.unsqueeze(-1), past], dim=-1)

    def unpack(self, state: Tensor) -> dict[str, Tensor]:
        """Slices of the packed state by name."""
        return {name: state[..., begin:end] for name, (begin, end) in self.layout.items()}

    def condition(self, core: Tensor) -> Tensor:
        """``[..., told]`` what a hazard may depend on of a core ``[..., core]`` that follows a plan."""
        return core

    def add_hazards(self, factory: "HazardFactory | None", scaling: Scaling, inputs: int) -> None:
        """Give the model hazards that read ``inputs`` columns of `condition`; None leaves it without."""
        if factory is not None:
            self.hazards = factory(self.schema, scaling, self.solver, inputs)

    def solved(
        self,
        vector_field: VectorField,
        core: Tensor,
        rows: Rows,
        *,
        start: Tensor,
        static: Tensor,
        jump: Jump | None,
        update: Update | None,
    ) -> Course:
        """The course of a core under a vector field. Hazards are solved with it where nothing is observed: who is
        observed has survived."""
        if self.hazards is None or update is not None:
            done = odesolve(
                vector_field, core, rows, start=start, static=static, solver=self.solver, jump=jump, update=update
            )
            return Course(done.at_query, done.final, done.clock, done.error)
        return self.hazards.solved(
            vector_field, self.condition, core, rows, start=start, static=static, solver=self.solver, jump=jump
        )

    def _risk(self, course: Course, rows: Rows, clock: Tensor, static: Tensor) -> "Risk | None":
        if self.hazards is None or course.risk is None:
            return None
        told = self.condition(course.at_query)
        return self.hazards.risk(course.risk, told, rows, clock, static, self.n_draws)

    def _step_error(self, course: Course, location: Tensor) -> Tensor | None:
        """Step error of the core, mapped through the head."""
        return None if course.error is None else (self.head(course.at_query + course.error)[0] - location).abs()


def missed(location: Tensor, rows: Rows) -> Tensor:
    """``[batch]`` summed absolute error of what was foretold ``[batch, row, obs]`` at the rows' ends; censored values
    do not count."""
    return ((location - rows.value).abs() * rows.mask * (rows.censor == 0)).sum((1, 2))


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that may have nothing to read or to say: a schema need not have covariates or treatments."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        return nn.Linear(inputs, outputs)


def standard_draws(draws: int, size: int) -> Tensor:
    """``[draw, size]`` standard normal numbers, the same for every patient and plan: in pairs of opposite sign, so
    that their mean is exactly 0, and with variance 1 in each column."""
    if draws == 1:
        return torch.zeros(1, size)
    if draws % 2:
        raise ValueError(f"draws must be 1 or even, got {draws}")
    half = torch.randn(draws // 2, size, generator=torch.Generator().manual_seed(20_230_517))
    both = torch.cat([half, -half])
    return both / both.std(0, correction=0)


def uncorrelated(draws: Tensor) -> Tensor:
    """Draws ``[draw, n]`` whose columns are uncorrelated, if there are enough of them: the courses then have the
    posterior's covariance, with no error of sampling."""
    half = draws.shape[0] // 2
    if half < draws.shape[1]:
        return draws
    basis = torch.linalg.qr(draws[:half].double())[0].to(draws) * half**0.5
    return torch.cat([basis, -basis])


def _repeat(field: Tensor, times: int) -> Tensor:
    """Each subject ``times`` times in a row along the batch axis."""
    return field.unsqueeze(1).expand(-1, times, *field.shape[1:]).flatten(0, 1)


def _last_seen(value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Last observed value per variable ``[batch, obs]`` and whether there is one, without a loop."""
    number = torch.cumsum(torch.ones_like(mask), dim=1) * mask
    latest = number.amax(dim=1, keepdim=True)
    chosen = mask * (number == latest)
    return (value * chosen).sum(1), (latest.squeeze(1) > 0).to(value.dtype)
