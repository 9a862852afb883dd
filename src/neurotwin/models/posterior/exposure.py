"""What a patient's treatments leave behind: linear decaying memories with learned rates."""

import math

import torch
from torch import Tensor, nn

QUICK = 5.0
"""Steps of a logarithm of a rate beside those of a weight: an effect of an hour and one of a month lie far apart."""


class Exposure(nn.Module):
    """Compartments of effect, several per treatment, whose course between events is known in closed form.

        a' = rate (u - a)        at a dose: a <- a + amount

    Under a constant rate or level ``u`` each tends to ``u``; after a dose each decays at its own rate (the effect
    compartment of Sheiner et al., Clin. Pharmacol. Ther. 25, 1979).

    Args:
        n_control: treatments.
        compartments: of each treatment.
        fastest, slowest: rates to begin with, per unit of time; those between are spaced evenly in the logarithm.
    """

    def __init__(self, n_control: int, compartments: int, fastest: float, slowest: float) -> None:
        super().__init__()
        self.size, self.compartments = n_control * compartments, compartments
        ends = torch.linspace(math.log(fastest), math.log(slowest), compartments)
        self.log_rate = nn.Parameter(ends.unsqueeze(1).expand(-1, n_control).flatten() / QUICK)

    def dosed(self, memory: Tensor, amount: Tensor) -> Tensor:
        """Memory ``[batch, size]`` after amounts ``[batch, control]``."""
        return memory + self._each(amount)

    def after(self, memory: Tensor, control: Tensor, elapsed: Tensor) -> Tensor:
        """Memory after a time ``[batch]`` under constant controls ``[batch, control]``."""
        kept = torch.exp(-elapsed.unsqueeze(-1) * torch.exp(QUICK * self.log_rate))
        level = self._each(control)
        return memory * kept + level * (1 - kept)  # exactly the memory where no time passes

    def _each(self, control: Tensor) -> Tensor:
        return torch.cat([control] * self.compartments, dim=-1)
