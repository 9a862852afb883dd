"""A mechanism with parameters of its own for each patient, on scales without limits, and a learned residual."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from neurotwin.errors import ConfigError
from neurotwin.models.mechanism.channels import Channels
from neurotwin.models.mechanism.grey_box import GreyBox
from neurotwin.models.mechanism.links import Coordinates, Links, bounded
from neurotwin.models.mechanism.structure import structure_of, typical_sizes
from neurotwin.models.observation.scaler import Scaler
from neurotwin.models.surrogate import linear
from neurotwin.schema import Schema
from neurotwin.solvers import Rows, Solver

LEAST_SEEN = 1e-16
"""Of what is observed as a logarithm, offset included."""
LEAST_SHARE = 1e-4
"""Of the range of what is bounded."""


class Moved(NamedTuple):
    """After a row: coordinates ``[batch, lane, state]`` right after its jump, at its ``end``, and where it is
    ``asked``; the residual's ``share`` over the row; step ``error`` where it is asked, or None."""

    begun: Tensor
    end: Tensor
    asked: Tensor
    share: Tensor
    error: Tensor | None


class PersonalMechanism(nn.Module):
    """A mechanism's own state and equations in the coordinates of `Links` and `Coordinates`.

        x' = f(t, x, u; theta) + s r(x, theta, u, static) / time

    s is x itself for a state on the log scale and its typical size otherwise, so that the residual r, bounded by 1, is
    a share of the state per unit of model time. It acts on observed states alone and is held over a row, as doses are.
    A state that begins above 0 and is bounded by 0 is carried, and stepped, as its logarithm: no step leads it to 0 or
    below.

    Args:
        mechanism: a simulator; its other parameters are the same for everyone.
        scaler: of the model; rows come in model units.
        free: parameters that differ between patients and act along their course.
        start: parameters that differ between patients and only set the state before the first event.
        links: scale of a parameter by its name, see `Links`; ``log`` unless said.
        residual: width of the residual's network; 0 for none.

    Raises:
        ConfigError: as `Channels`, `Links` and `GreyBox`; a parameter named twice, or no free one.
    """

    origin: Tensor
    push: Tensor

    def __init__(
        self,
        mechanism: Any,
        schema: Schema,
        scaler: Scaler,
        solver: Solver,
        *,
        free: Sequence[str],
        start: Sequence[str] = (),
        links: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        treatments: Mapping[str, str] | None = None,
        residual: int = 0,
        horizon: float = 1.0,
    ) -> None:
        super().__init__()
        names = [*free, *start]
        if not free or len(set(names)) != len(names):
            raise ConfigError(f"free is {[*free]}, start is {[*start]}", where="model.free", expected="different names")
        if strange := sorted(set(links or {}) - set(mechanism.parameters)):
            known = " | ".join(mechanism.parameters)
            raise ConfigError(f"a link for {strange[0]!r}", where="model.links", expected=known)
        self.scaler, self.solver, self.channels = scaler, solver, Channels(mechanism, schema, variables, treatments)
        self.free, self.start = tuple(free), tuple(start)
        self.whole, self.moving = GreyBox(mechanism, free=names), GreyBox(mechanism, free=free)
        kinds = [(links or {}).get(name, "log") for name in names]
        default = self.whole.default.tolist()
        self.links = Links(names, default, kinds)
        self.moving_links = Links(free, default[: len(free)], kinds[: len(free)])
        first = torch.as_tensor(mechanism.initial_state(1), dtype=torch.float32)[0]
        self.state_names = tuple(item.name for item in mechanism.states)
        is_log = [bool(x > 0) and item.bounds[0] >= 0 for x, item in zip(first, mechanism.states, strict=True)]
        doses = (scaler.treatment @ self.channels.given).float()
        sizes = typical_sizes(mechanism, doses, min(solver.max_step, mechanism.max_step), max(horizon, solver.max_step))
        self.coordinates = Coordinates(is_log, sizes)
        self.register_buffer("origin", self.coordinates.of(first))
        self.n_state, self.n_free = len(sizes), len(free)
        # Where no parameter of a patient sets the state, the equations' own array is no tensor.
        self.starts_alike = not isinstance(
            self.whole.of_patients(self.links.default.unsqueeze(0)).initial_state(1), Tensor
        )
        self.structure = structure_of(self._probe, self._probe_observe, self.origin, torch.zeros(self.n_free))
        observed = self.structure.observed.nonzero().flatten().tolist()
        self.residual = _residual(self.n_state + self.n_free, scaler, residual, len(observed)) if residual else None
        self.register_buffer("push", torch.eye(self.n_state)[observed])

    def begin(self, phi: Tensor) -> Tensor:
        """Coordinates ``[batch, state]`` before the first event, from all parameters ``[batch, free + start]``."""
        if self.starts_alike:
            return self.origin.expand(phi.shape[0], -1)
        return self.coordinates.of(self.whole.of_patients(self.links.natural(phi)).initial_state(phi.shape[0]))

    def move(self, t: Tensor, xi: Tensor, phi: Tensor, row: Rows, static: Tensor) -> Moved:
        """Jump and flow of one row, of several lanes per patient.

        Args:
            t: ``[batch]`` clock.
            xi, phi: ``[batch, lane, state]``, ``[batch, lane, free]``.
            row: in model units.
            static: ``[batch, static]``.
        """
        lanes = xi.shape[1]
        control, amount = (self._natural(item.to(xi)) for item in (row.control, row.jump))
        many = [_over_lanes(item.to(xi), lanes) for item in (t, row.dt, control, amount, static, row.query_at)]
        at, dt, control, amount, known, asked_at = many
        flat = phi.flatten(0, 1)
        box = self.moving.of_patients(self.moving_links.natural(flat))
        before = self.coordinates.natural(xi.flatten(0, 1))
        begun = torch.where((amount != 0).any(-1, keepdim=True), box.jump(before, amount), before)
        first = self.coordinates.of(begun)
        share = self.share(first, flat, control, known) / self.scaler.time

        def field(time: Tensor, coordinate: Tensor) -> Tensor:
            slope = torch.as_tensor(box.vector_field(time, self.coordinates.natural(coordinate), control))
            return self.coordinates.slope(slope, coordinate) + share

        done = self.solver.advance(field, at, dt, first, asked_at)
        found = (first, done.end, done.at_query, share * self.scaler.time)
        begun, end, asked, strayed = (item.unflatten(0, (-1, lanes)) for item in found)
        error = None if done.error is None else done.error.abs().unflatten(0, (-1, lanes))
        return Moved(begun, end, asked, strayed, error)

    def observe(self, xi: Tensor, phi: Tensor) -> Tensor:
        """What is seen ``[batch, lane, obs]``, in model units."""
        lanes, scaler = xi.shape[1], self.scaler
        box = self.moving.of_patients(self.moving_links.natural(phi.flatten(0, 1)))
        seen = torch.as_tensor(box.observe(self.coordinates.natural(xi.flatten(0, 1))))
        seen = seen @ self.channels.seen.to(xi)
        seen = torch.where(scaler.is_log > 0, torch.maximum(seen, LEAST_SEEN - scaler.offset), seen)
        if scaler.has_logit:
            inside = torch.minimum(seen, scaler.low + (1 - LEAST_SHARE) * scaler.width)
            seen = torch.where(
                scaler.is_logit > 0, torch.maximum(inside, scaler.low + LEAST_SHARE * scaler.width), seen
            )
        return torch.as_tensor(scaler.value(seen, torch.ones_like(seen)).unflatten(0, (-1, lanes)))

    def share(self, xi: Tensor, phi: Tensor, control: Tensor, static: Tensor) -> Tensor:
        """The residual ``[..., state]``, as a share of the state per unit of model time; 0 without one."""
        if self.residual is None:
            return torch.zeros_like(xi)
        told = torch.cat([bounded(xi - self.origin, -20.0, 20.0), phi.tanh(), control.to(xi), static.to(xi)], dim=-1)
        for layer in self.residual:
            # In the precision of the state, whose differences are taken.
            told = (
                nn.functional.linear(told, layer.weight.to(xi), layer.bias.to(xi))
                if isinstance(layer, nn.Linear)
                else layer(told)
            )
        return torch.tanh(told) @ self.push.to(xi)

    def slope(self, t: Tensor, xi: Tensor, phi: Tensor, row: Rows) -> Tensor:
        """The mechanism's own slope ``[batch, state]`` of single lanes ``[batch, ...]``, in the units of `share`."""
        state = self.coordinates.natural(xi)
        control = self._natural(row.control)
        slope = torch.as_tensor(self.moving.of_patients(self.moving_links.natural(phi)).vector_field(t, state, control))
        return self.coordinates.slope(slope, xi) * self.scaler.time

    def parameters_of(self, phi: Tensor) -> Tensor:
        """Free parameters ``[..., free]`` in the mechanism's units."""
        return self.moving_links.natural(phi)

    def _natural(self, amounts: Tensor) -> Tensor:
        """Rates or amounts ``[batch, control]`` of the cohort as the mechanism's, in its units."""
        return (amounts * self.scaler.treatment) @ self.channels.given.to(amounts)

    def _probe(self, xi: Tensor, phi: Tensor) -> Tensor:
        """Slope and change by a jump, of one patient."""
        box = self.moving.of_patients(self.moving_links.natural(phi.unsqueeze(0)))
        state = self.coordinates.natural(xi.unsqueeze(0))
        ones = torch.ones(1, self.channels.given.shape[1])
        slope = torch.as_tensor(box.vector_field(torch.zeros(1), state, 0.3 * ones))
        # Less what a jump leaves as it is: each state hangs on itself only if something happens to it.
        return torch.cat([slope[0], torch.as_tensor(box.jump(state, ones))[0] - state[0]])

    def _probe_observe(self, xi: Tensor, phi: Tensor) -> Tensor:
        return self.observe(xi.view(1, 1, -1), phi.view(1, 1, -1))[0, 0]


def _residual(known: int, scaler: Scaler, hidden: int, outputs: int) -> nn.Sequential:
    """Begins at exactly 0: an untrained hybrid is its mechanism."""
    last = nn.Linear(hidden, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    inputs = known + len(scaler.treatment) + 2 * len(scaler.static_mean)
    return nn.Sequential(linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), last)


def _over_lanes(item: Tensor, lanes: int) -> Tensor:
    """``[batch, ...]`` repeated for each lane: ``[batch * lane, ...]``."""
    return item.unsqueeze(1).expand(-1, lanes, *item.shape[1:]).flatten(0, 1)
