"""Coordinates around a state in which its growth is linear: relative change for what is modelled as a logarithm."""

import math

import torch
from torch import Tensor

LARGEST_LOSS, LARGEST_GAIN = 0.9, math.e - 1
"""Relative changes between which a chart is exponential. Beyond, it goes on as its tangent: so every value has a place
in it, and one wild value does not outweigh all others."""


class Chart:
    """Local coordinates ``w`` of a change ``u`` on the modelling scale, both ``[batch, obs]``, 0 at no change.

        w = (exp(s u) - 1) / s   where s > 0        w = u   where s = 0

    With ``s`` the standard deviation by which a logarithm was scaled, ``s w`` is the relative change of the quantity
    itself. Doses kill, and tissues grow, in proportion: what is additive on ``w`` would be bent on ``u``.

    Args:
        stretch: ``[batch, obs]`` s; 0 for what changes additively on its modelling scale. None: all of it does.
    """

    def __init__(self, stretch: Tensor | None) -> None:
        self.stretch = stretch
        if stretch is not None:
            self.bent = stretch > 0
            self.divisor = torch.where(self.bent, stretch, 1.0)

    def local(self, change: Tensor) -> tuple[Tensor, Tensor]:
        """``w`` of ``u``, and the logarithm of ``dw / du`` there."""
        if self.stretch is None:
            return change, torch.zeros_like(change)
        logarithm = change * self.stretch
        held = torch.clamp(logarithm, math.log1p(-LARGEST_LOSS), math.log1p(LARGEST_GAIN))
        relative = torch.expm1(held) + torch.exp(held) * (logarithm - held)
        return torch.where(self.bent, relative / self.divisor, change), held

    def change(self, local: Tensor) -> Tensor:
        """``u`` of ``w``."""
        if self.stretch is None:
            return local
        relative = local * self.stretch
        held = torch.clamp(relative, -LARGEST_LOSS, LARGEST_GAIN)
        logarithm = torch.log1p(held) + (relative - held) / (1 + held)
        return torch.where(self.bent, logarithm / self.divisor, local)

    def growth(self, local: Tensor) -> Tensor:
        """``dw / du`` at ``w``: 1 plus the relative change."""
        if self.stretch is None:
            return torch.ones_like(local)
        return 1.0 + torch.clamp(local * self.stretch, -LARGEST_LOSS, LARGEST_GAIN)

    def curvature(self, local: Tensor) -> Tensor:
        """Derivative of `growth` by ``w``."""
        if self.stretch is None:
            return torch.zeros_like(local)
        relative = local * self.stretch
        return torch.where((relative > -LARGEST_LOSS) & (relative < LARGEST_GAIN), self.stretch, 0.0)
