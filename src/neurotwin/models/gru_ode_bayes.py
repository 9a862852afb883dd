"""A gated unit in continuous time, bounded by construction, corrected by what it did not expect."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.models.activation import softplus
from neurotwin.models.layers import network, squashed
from neurotwin.models.posterior.gaussian import divergence
from neurotwin.models.recent import Recent
from neurotwin.models.surrogate import SMALLEST_SCALE, Course, Surrogate, linear
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver, over_rows


class GruOdeBayes(Surrogate):
    """GRU-ODE-Bayes (De Brouwer, Simm, Arany, Moreau, NeurIPS 2019).

        GRU-ODE    h' = k (1 - z) (g - h) / s,  r, z = sigmoid(A [x, h]),  g = tanh(B [x, r h]),  x = [u, c, t]
        GRU-Bayes  h <- GRU(reading(o, mask, (o - m) / w, m, log w, ...), h) at a visit, m and w forecast just before it
        dose       h <- h + (g_d - h) (1 - exp(-rate |d|)), so that no dose is exactly no change

    h stays within -1 and 1: each row is an exponential midpoint step (order 2), which solves h' = k (g - h) exactly for
    gates held at the row's middle and is therefore a mean of h and g, whatever the row's length; so are a dose and a
    GRU cell, and joint draws are spread over what is left to the bound. Queries read the same closed form. The solver
    only says how rows are cut. ``k`` is a learned rate per unit; the paper has 1, with which nothing is faster than s.

    The core is ``[h | last | exposure | elapsed]`` and the location the last value seen plus what h adds. Training
    adds, for the past, ``surprise`` times the negative log likelihood of each value before it was learned from, and
    ``bayes`` times KL(product of that forecast with N(o, noise^2) | forecast after learning) (the paper's two losses;
    censored values are left out of both).

    Args:
        hidden: length of h, and width of the networks.
        draws: joint draws of a forecast.
        surprise, bayes: weights of the past's losses.
        noise: of an observation, in model units.
    """

    solves = False

    def __init__(
        self,
        schema: Schema,
        scaling: Scaling,
        solver: Solver,
        *,
        hidden: int = 48,
        draws: int = 16,
        surprise: float = 0.1,
        bayes: float = 0.01,
        noise: float = 0.05,
    ) -> None:
        recent = Recent(schema)
        super().__init__(schema, scaling, core_size=hidden + recent.size, solver=solver, draws=draws)
        known = self.n_static
        self.recent, self.n_learned = recent, hidden
        self.weights, self.measured = (surprise, bayes), noise
        told = self.n_control + known + 1
        self.start = linear(known, hidden)
        self.gates = nn.Linear(told + hidden, 2 * hidden)
        self.goal = nn.Linear(told + hidden, hidden)
        self.log_rate = nn.Parameter(torch.ones(hidden))
        self.impulse = network(hidden + self.n_control + known, hidden, 2 * hidden)
        self.reading = nn.Sequential(
            nn.Linear(6 * self.n_obs + recent.n_since + 1 + known, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
        )
        self.learn = nn.GRUCell(hidden, hidden)
        self.output = network(hidden, hidden, 2 * self.n_obs, gentle=True)
        # What is known of the past has no spread.
        self.noise[:, hidden:] = 0.0

    def initial(self, static: Tensor) -> Tensor:
        return F.pad(torch.tanh(self.start(static)), (0, self.recent.size))

    def drawn(self, part: dict[str, Tensor]) -> Tensor:
        core = part["core"].unsqueeze(1)
        return core + (1.0 - core.abs()) * torch.tanh(super().drawn(part) - core)

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        h, last, _ = core.split([self.n_learned, self.n_obs, self.recent.n_since], dim=-1)
        added, width = self.output(h).chunk(2, dim=-1)
        return last + added, softplus(width - 1.0) + SMALLEST_SCALE

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        # The losses of the past are for training: a graph does without.
        costs = observe and not torch.compiler.is_exporting()

        def body(carry: tuple[Tensor, ...], row: Rows) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            before, t, *cost = carry
            begun = self._dosed(before, row, static) if self.n_control else before
            after, asked = self._flow(t, begun, row, static)
            if observe:
                seen = (row.mask > 0).any(-1, keepdim=True)
                learned = self._learned(t + row.dt, after, row, static)
                if costs:
                    added = torch.where(seen.squeeze(-1), self._cost(after, learned, row), 0.0)
                    cost = [cost[0] + added]
                after = torch.where(seen, learned, after)
            kept = row.active & (row.peek == 0).unsqueeze(-1)
            moved = (torch.where(kept, after, before), torch.where(row.peek == 0, t + row.dt, t))
            return (*moved, *cost), (asked,)

        first = (core, clock, torch.zeros_like(clock)) if costs else (core, clock)
        (final, ended, *cost), (at_query,) = over_rows(body, first, rows)
        return Course(at_query, final, ended, None, cost[0] if cost else None)

    def _flow(self, t: Tensor, core: Tensor, row: Rows, static: Tensor) -> tuple[Tensor, Tensor]:
        """The core at the row's end and where it is asked."""
        h, recent = core.split([self.n_learned, self.recent.size], dim=-1)
        half = (0.5 * row.dt / self.scaler.time).unsqueeze(-1)
        goal, rate = self._pull(t, h, row.control, static)
        middle = h + (goal - h) * (1.0 - torch.exp(-rate * half))
        goal, rate = self._pull(t + 0.5 * row.dt, middle, row.control, static)
        passes = self.recent.slope(t, row.control)

        def after(length: Tensor) -> Tensor:
            return torch.cat([h + (goal - h) * (1.0 - torch.exp(-rate * length)), recent + passes * length], dim=-1)

        return after(2.0 * half), after(2.0 * half * row.query_at.unsqueeze(-1))

    def _pull(self, t: Tensor, h: Tensor, control: Tensor, static: Tensor) -> tuple[Tensor, Tensor]:
        """Where h is drawn to, and how fast."""
        x = torch.cat([control, static, squashed(t / self.scaler.time)], dim=-1)
        reset, update = torch.sigmoid(self.gates(torch.cat([x, h], dim=-1))).chunk(2, dim=-1)
        return torch.tanh(self.goal(torch.cat([x, reset * h], dim=-1))), torch.exp(self.log_rate) * (1.0 - update)

    def _dosed(self, core: Tensor, row: Rows, static: Tensor) -> Tensor:
        h, recent = core.split([self.n_learned, self.recent.size], dim=-1)
        goal, rate = self.impulse(torch.cat([h, row.jump, static], dim=-1)).chunk(2, dim=-1)
        share = 1.0 - torch.exp(-softplus(rate - 2.0) * row.jump.abs().sum(-1, keepdim=True))
        return torch.cat([h + (torch.tanh(goal) - h) * share, self.recent.dosed(recent, row.jump)], dim=-1)

    def _learned(self, t: Tensor, core: Tensor, row: Rows, static: Tensor) -> Tensor:
        h, recent = core.split([self.n_learned, self.recent.size], dim=-1)
        mean, width = self.head(core)
        surprise = (row.value - mean) / width * row.mask
        told = [row.value, row.mask, surprise, mean, torch.log(width), *self.recent.told(recent, row)]
        read = self.reading(torch.cat([*told, squashed(t / self.scaler.time), static], dim=-1))
        return torch.cat([self.learn(read, h), self.recent.renewed(recent, row)], dim=-1)

    def _cost(self, before: Tensor, after: Tensor, row: Rows) -> Tensor:
        """The two losses of a visit ``[batch]``."""
        (mean, width), (learned, rest) = self.head(before), self.head(after)
        # Not F.gaussian_nll_loss: it asks the device whether a variance is negative, at every row.
        likelihood = 0.5 * (((row.value - mean) / width).square() + math.log(2 * math.pi)) + torch.log(width)
        precision = width**-2 + self.measured**-2
        product = (mean * width**-2 + row.value * self.measured**-2) / precision
        kept = row.mask * (row.censor == 0)
        surprise, bayes = self.weights
        return (kept * (surprise * likelihood + bayes * divergence(product, precision**-0.5, learned, rest))).sum(-1)
