"""What a model says about the future."""

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from neurotwin.models.observation.scaler import Scaler

if TYPE_CHECKING:
    from neurotwin.models.hazards import Risk

LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
"""Quantile levels of every forecast."""


class Prediction(NamedTuple):
    """Joint Gaussian-mixture forecast in model units.

    Attributes:
        location: ``[batch, row, obs, draw]`` course of each joint draw, before observation noise.
        scale: ``[batch, row, obs]`` standard deviation of the noise around a draw.
        error: ``[batch, row, obs]`` estimated step error of the solve, or None.
        cost: ``[batch]`` what the model adds to its training loss for this forecast, or None.
        risk: of the schema's outcomes, where the model has hazards.
        log_weight: ``[batch, draw]`` logarithm of how much each draw counts, once the end of follow-up is known; None:
            all alike.
    """

    location: Tensor
    scale: Tensor
    error: Tensor | None
    cost: Tensor | None = None
    risk: "Risk | None" = None
    log_weight: Tensor | None = None

    @property
    def mean(self) -> Tensor:
        """``[batch, row, obs]``"""
        if self.log_weight is None:
            return self.location.squeeze(-1) if self.location.shape[-1] == 1 else self.location.mean(-1)
        return (self.location * torch.exp(self.log_weight)[:, None, None]).sum(-1)

    @property
    def apart(self) -> Tensor:
        """``[batch, row, obs, draw]`` each draw's distance from the mean, times the root of how much it counts: the
        products of two rows sum to their covariance."""
        distance = self.location - self.mean.unsqueeze(-1)
        if self.log_weight is None:
            return distance / math.sqrt(distance.shape[-1])
        return distance * torch.exp(0.5 * self.log_weight)[:, None, None]

    @property
    def deviation(self) -> Tensor:
        """``[batch, row, obs]`` total standard deviation: between draws and around them."""
        if self.location.shape[-1] == 1:
            return self.scale
        if self.log_weight is None:
            return torch.sqrt(self.location.var(-1, correction=0) + self.scale**2)
        return torch.sqrt(self.apart.square().sum(-1) + self.scale**2)

    def quantiles(self, scaler: Scaler, levels: tuple[float, ...] = LEVELS) -> Tensor:
        """``[batch, row, obs, quantile]`` of the latent values in the variables' units, of the distribution with the
        mixture's moments (a Gaussian, or the Student-t that a variable declares).

        What is recorded is a monotone function of a latent value, so the quantiles of the records are the records of
        these (`neurotwin.heads.Head.recorded`); rounding them here would leave nothing that could be calibrated.
        """
        factor = scaler.records.quantile_factors(levels, self.scale)
        scaled = self.mean.unsqueeze(-1) + self.deviation.unsqueeze(-1) * factor
        return scaler.natural(scaled.transpose(-1, -2)).transpose(-1, -2)

    def natural_mean(self, scaler: Scaler) -> Tensor:
        """``[batch, row, obs]`` expected record in the variables' units: the probability of a 1 of a bernoulli, the
        mean of a log-normal where the variable is a logarithm."""
        if self.location.shape[-1] == 1:  # its time is that of an exported graph's operators: none are for one draw
            return scaler.expected(self.location.squeeze(-1), self.scale)
        return self._expected(scaler).mean(-2)

    def draws(self, scaler: Scaler) -> Tensor:
        """``[batch, row, obs, draw]`` in the variables' units, without observation noise.

        Of what is recorded exactly, the course of the draw; else the expected record of the draw (of a bernoulli its
        probability), whose mean over draws is that of the forecast.
        """
        if self.location.shape[-1] == 1 and scaler.records.all_exact:
            return scaler.natural(self.location.squeeze(-1)).unsqueeze(-1)
        course = scaler.natural(self.location.transpose(-1, -2))
        if not scaler.records.all_exact:
            course = torch.where(scaler.records.is_exact > 0, course, self._expected(scaler))
        return course.transpose(-1, -2)

    def _expected(self, scaler: Scaler) -> Tensor:
        """``[batch, row, draw, obs]`` expected record of each draw."""
        return scaler.expected(self.location.transpose(-1, -2), self.scale.unsqueeze(-2))
