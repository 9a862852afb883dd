"""A neural controlled differential equation, driven by the path that the events draw."""

import torch
from torch import Tensor
from torch.nn import functional as F

from neurotwin.models.activation import softplus
from neurotwin.models.layers import network
from neurotwin.models.surrogate import SMALLEST_SCALE, Course, Surrogate
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver, odesolve

STEEPEST = 3.0
"""Most that one column of z learns to move per unit of one channel of the path, in model units."""


class NeuralCde(Surrogate):
    """Neural CDE (Kidger, Morrill, Foster, Lyons, NeurIPS 2020) on a rectilinear path, which is causal and online
    (Morrill et al., Neural controlled differential equations for online prediction tasks, TMLR 2022).

        dz = G(z, X, c) dX        X = [time | values held | whether seen | log(1 + visits) | what was given]

    Between events X moves along time and what is given only. At a visit the values seen (and, with ``intensity``, the
    count of visits to each variable, the paper's observational intensity, as a logarithm) move at once, in a straight
    line from what they were, and a dose moves what was given: each such move is one step of the solver along the line.
    A future has no visits, so X is known there: time and the plan. X depends on what was seen so far, never on what
    comes, and the core holds where it stands, so that streaming is exact.

    Without ``intensity`` only the path counts: a value measured again, unchanged, moves nothing.

    The core is ``[z | values held | log(1 + visits)]``; the location is the first columns of z. With
    G = E + b tanh(network / b), E lets the location follow the values seen one to one, and the tanh (as in the paper,
    with b = 3 for its 1) keeps z from growing faster than the path is long, however many visits there are.

    Args:
        memory: columns of z beyond the observed variables.
        hidden: width of G.
        draws: joint draws of a forecast.
        intensity: whether X counts visits; without, the core holds whether there was one.
    """

    unit: Tensor

    def __init__(
        self,
        schema: Schema,
        scaling: Scaling,
        solver: Solver,
        *,
        memory: int = 12,
        hidden: int = 48,
        draws: int = 16,
        intensity: bool = True,
    ) -> None:
        n_obs, n_control = len(schema.variables), len(schema.treatments)
        n_state = n_obs + memory
        super().__init__(schema, scaling, core_size=n_state + 2 * n_obs, solver=solver, draws=draws)
        known = self.n_static
        self.n_learned, self.blocks, self.intensity = n_state, (n_state, n_obs, n_obs), intensity
        self.n_path = 1 + (3 if intensity else 2) * n_obs + n_control
        self.start = network(known, hidden, n_state)
        self.matrix = network(n_state + 2 * n_obs + known, hidden, n_state * self.n_path, gentle=True)
        self.noise_scale = network(n_state, hidden // 2, n_obs)
        unit = torch.zeros(n_state, self.n_path)
        unit[torch.arange(n_obs), 1 + torch.arange(n_obs)] = 1.0
        self.register_buffer("unit", unit)
        # Where the path stands has no spread.
        self.noise[:, n_state:] = 0.0

    def initial(self, static: Tensor) -> Tensor:
        return F.pad(self.start(static), (0, 2 * self.n_obs))

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        solution = odesolve(
            self._slope,
            core,
            rows,
            start=clock,
            static=static,
            solver=self.solver,
            jump=self._jump if self.n_control else None,
            update=self._update if observe else None,
        )
        return Course(solution.at_query, solution.final, solution.clock, solution.error)

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        state, _ = core.split([self.n_learned, 2 * self.n_obs], dim=-1)
        location, _ = state.split([self.n_obs, self.n_learned - self.n_obs], dim=-1)
        return location, softplus(self.noise_scale(state) - 1.0) + SMALLEST_SCALE

    def _slope(self, t: Tensor, state: Tensor, control: Tensor, static: Tensor) -> Tensor:
        passes = torch.ones_like(t).unsqueeze(-1)
        still = torch.zeros_like(passes).expand(-1, self.n_path - 1 - self.n_control)
        moves = torch.cat([passes, still, control], dim=-1) / self.scaler.time
        return self._along(state, moves, static)

    def _jump(self, t: Tensor, state: Tensor, amount: Tensor, static: Tensor) -> Tensor:
        still = torch.zeros_like(t).unsqueeze(-1).expand(-1, self.n_path - self.n_control)
        return self._moved(t, state, torch.cat([still, amount], dim=-1), static)

    def _update(self, t: Tensor, state: Tensor, row: Rows, static: Tensor) -> Tensor:
        _, held, visits = state.split(list(self.blocks), dim=-1)
        value = torch.where(row.mask > 0, row.value, held)
        first = torch.where(visits > 0, 0.0, row.mask)
        # A path that counted each visit alike would be ever longer, and z ever further, with hundreds of visits.
        counted = torch.log(torch.exp(visits) + 1.0) if self.intensity else torch.ones_like(visits)
        more = torch.where(row.mask > 0, counted, visits)
        still = torch.zeros_like(t).unsqueeze(-1)
        moves = [still, value - held, *([first] if self.intensity else []), more - visits]
        moves.append(still.expand(-1, self.n_control))
        inner, *_ = self._moved(t, state, torch.cat(moves, dim=-1), static).split(list(self.blocks), dim=-1)
        # The path ends where it was led, without the rounding of a step.
        return torch.cat([inner, value, more], dim=-1)

    def _moved(self, t: Tensor, state: Tensor, moves: Tensor, static: Tensor) -> Tensor:
        """The core after X has moved at once by ``moves`` ``[batch, path]``, in one step of the solver."""
        whole = torch.ones_like(t)
        return self.solver.advance(
            lambda _, inner: self._along(inner, moves, static), torch.zeros_like(t), whole, state, whole
        ).end

    def _along(self, state: Tensor, moves: Tensor, static: Tensor) -> Tensor:
        """Slope of the core while X moves by ``moves`` per unit: G dX, and the path's own position."""
        learned = self.matrix(torch.cat([state, static], dim=-1)).unflatten(-1, (-1, self.n_path))
        matrix = self.unit + STEEPEST * torch.tanh(learned / STEEPEST)
        slope = (matrix * moves.unsqueeze(1)).sum(-1)
        between = [self.n_obs] if self.intensity else []
        _, held, *_, visits, _ = moves.split([1, self.n_obs, *between, self.n_obs, self.n_control], dim=-1)
        return torch.cat([slope, held, visits], dim=-1)
