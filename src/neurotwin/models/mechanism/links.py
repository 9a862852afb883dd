"""Scales without limits for what has limits: parameters of patients, and states of a mechanism."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from neurotwin.errors import ConfigError

Link = Literal["log", "softplus", "identity"]
REACH = {"log": 5.0, "softplus": 20.0, "identity": 50.0}
"""How far a link follows its argument before it bends: no history, however odd, gives an infinite parameter."""
LARGEST_LOGARITHM = 40.0
"""Of a state: e^40 is still a number in single precision when it is squared."""


def bounded(value: Tensor, low: float, high: float = math.inf) -> Tensor:
    """As clamp, which the exporter of torch 2.13 cannot write for double precision inside a loop."""
    above = torch.where(value < low, low, value)
    return above if high == math.inf else torch.where(above > high, high, above)


class Links(nn.Module):
    """Parameters theta of patients as numbers phi without limits; phi = 0 is the mechanism's own value theta0.

        log: theta0 e^phi        softplus: theta0 ln(1 + e^phi) / ln 2        identity: theta0 (1 + phi)

    Beyond its reach a link bends: phi stands for r tanh(phi / r).

    Args:
        default: theta0 of each parameter.
        kinds: link of each parameter.

    Raises:
        ConfigError: an unknown link, or a default of 0, which no factor changes.
    """

    default: Tensor
    reach: Tensor
    is_log: Tensor
    is_softplus: Tensor

    def __init__(self, names: Sequence[str], default: Sequence[float], kinds: Sequence[str]) -> None:
        super().__init__()
        for name, value, kind in zip(names, default, kinds, strict=True):
            if kind not in REACH:
                raise ConfigError(f"link {kind!r} of {name}", where="model.links", expected=" | ".join(REACH))
            if value == 0:
                raise ConfigError(
                    f"{name} is 0 in the mechanism, which no factor changes",
                    where="model.free",
                    remedy=f"give the mechanism a typical {name}",
                )
        self.kinds = set(kinds)
        self.register_buffer("default", torch.tensor([*default], dtype=torch.float32))
        self.register_buffer("reach", torch.tensor([REACH[kind] for kind in kinds]))
        self.register_buffer("is_log", torch.tensor([kind == "log" for kind in kinds]))
        self.register_buffer("is_softplus", torch.tensor([kind == "softplus" for kind in kinds]))

    def natural(self, phi: Tensor) -> Tensor:
        """Parameters ``[..., parameter]`` in the mechanism's units."""
        bent = self.reach * torch.tanh(phi / self.reach)
        factor = 1.0 + bent
        if self.kinds & {"log"}:
            # Each branch sees only what it can take: the logarithm's reach is the smallest.
            factor = torch.where(self.is_log, torch.exp(torch.where(self.is_log, bent, 0.0)), factor)
        if self.kinds & {"softplus"}:
            factor = torch.where(self.is_softplus, nn.functional.softplus(bent) / math.log(2.0), factor)
        return self.default * factor

    def of(self, theta: Tensor) -> Tensor:
        """phi of parameters ``[..., parameter]``; infinite for one that its link does not reach."""
        factor = theta / self.default
        soft = torch.log(torch.expm1(factor * math.log(2.0)))
        bent = torch.where(self.is_log, torch.log(factor), torch.where(self.is_softplus, soft, factor - 1.0))
        return self.reach * torch.atanh(bent / self.reach)


class Coordinates(nn.Module):
    """States x of a mechanism as coordinates: ``ln x`` of those that stay above 0, ``x / size`` of the others.

    Args:
        is_log: whether a state is carried as its logarithm.
        size: typical size of each state.
    """

    is_log: Tensor
    log: Tensor
    size: Tensor
    per_size: Tensor

    def __init__(self, is_log: Sequence[bool], size: Sequence[float]) -> None:
        super().__init__()
        which, sizes = torch.tensor([*is_log]), torch.tensor([*size], dtype=torch.float32)
        self.register_buffer("is_log", which)
        self.register_buffer("log", which.to(torch.float32))
        self.register_buffer("size", sizes)
        self.register_buffer("per_size", torch.where(which, 0.0, 1 / sizes))

    def natural(self, coordinate: Tensor) -> Tensor:
        """States ``[..., state]`` in the mechanism's units."""
        logarithm = bounded(coordinate, -LARGEST_LOGARITHM, LARGEST_LOGARITHM) * self.log
        return torch.where(self.is_log, torch.exp(logarithm), coordinate * self.size)

    def of(self, state: Tensor) -> Tensor:
        """Coordinates of states."""
        above = bounded(state, math.exp(-LARGEST_LOGARITHM))
        return torch.log(torch.where(self.is_log, above, 1.0)) + state * self.per_size

    def slope(self, slope: Tensor, coordinate: Tensor) -> Tensor:
        """Slope of the coordinates, from that of the states in the mechanism's units."""
        state = bounded(coordinate, -LARGEST_LOGARITHM, LARGEST_LOGARITHM) * self.log
        return slope * torch.where(self.is_log, torch.exp(-state), self.per_size)
