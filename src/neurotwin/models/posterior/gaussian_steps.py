"""Small pieces of Gaussian filtering that a graph can hold: derivatives by differences, and noise."""

import torch
from torch import Tensor, nn

from neurotwin.models.mechanism.links import bounded

STEP = 0.05
"""Of a difference, in coordinates of the order of one: large against rounding, small against curvature."""

MOST_RATIO = 2.0
"""Of a state's logarithms at both ends of a row: beyond it a state that all but vanished has no noise to tell of."""
PACE = 4.0
"""Of the logarithms of spreads, which have further to go than other weights."""


class Differences(nn.Module):
    """Derivatives of a function of ``size`` numbers by central differences, all points as lanes of one call.

    Attributes:
        steps: ``[1 + 2 size, size]`` what is added to the numbers in each lane; lane 0 is the point itself.
    """

    steps: Tensor
    weights: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        eye = torch.eye(size)
        self.register_buffer("steps", STEP * torch.cat([torch.zeros(1, size), eye, -eye]))
        self.register_buffer("weights", torch.cat([eye, -eye]) / (2 * STEP))

    def of(self, lanes: Tensor) -> tuple[Tensor, Tensor]:
        """Value ``[batch, out]`` and derivative ``[batch, out, size]`` from the function's ``[batch, lane, out]``."""
        centre, around = lanes.split([1, 2 * self.size], dim=1)
        return centre.squeeze(1), around.transpose(1, 2) @ self.weights.to(around)


class StateNoise(nn.Module):
    """What the mechanism does not determine: a random walk of the observed states, and the noise of each variable.

    The walk enters as in an Euler-Maruyama step: relative to the state at the beginning of a row, so that on the log
    scale its deviation at the end is that at the beginning times their ratio.

    Args:
        is_log: ``[state]`` which states are carried as logarithms.
        observed: ``[state]`` which states walk.
        n_obs: variables.
    """

    is_log: Tensor
    observed: Tensor

    def __init__(
        self, is_log: Tensor, observed: Tensor, n_obs: int, *, walk: float = 0.05, assay: float = 0.03
    ) -> None:
        super().__init__()
        self.register_buffer("is_log", is_log.clone())
        self.register_buffer("observed", observed.to(torch.float32))
        self.log_walk = nn.Parameter(torch.full((len(is_log),), walk).log() / PACE)
        self.log_assay = nn.Parameter(torch.full((n_obs,), assay).log() / PACE)

    def walked(self, span: Tensor, begun: Tensor, end: Tensor) -> Tensor:
        """Variance ``[batch, state]`` that a row of ``span`` ``[batch]`` units of model time adds."""
        ratio = torch.where(self.is_log, torch.exp(bounded(begun - end, -MOST_RATIO, MOST_RATIO)), 1.0)
        return self.rate * span.unsqueeze(-1) * ratio.square()

    @property
    def rate(self) -> Tensor:
        """``[state]`` variance per unit of model time."""
        return torch.exp(2 * PACE * self.log_walk) * self.observed

    @property
    def assay(self) -> Tensor:
        """``[obs]`` variance in model units; the least one keeps a noiseless channel's gain finite."""
        return torch.exp(2 * PACE * self.log_assay) + 1e-8
