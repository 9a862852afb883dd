"""What a model says about the future, and its likelihood."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from neurotwin.models.scaler import Scaler

LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
"""Quantile levels of every forecast."""


class Prediction(NamedTuple):
    """Joint Gaussian-mixture forecast in model units.

    Attributes:
        location: ``[batch, row, obs, draw]`` course of each joint draw, before observation noise.
        scale: ``[batch, row, obs]`` standard deviation of the noise around a draw.
        error: ``[batch, row, obs]`` estimated step error of the solve, or None.
        cost: ``[batch]`` what the model adds to its training loss for this forecast, or None.
    """

    location: Tensor
    scale: Tensor
    error: Tensor | None
    cost: Tensor | None = None

    @property
    def mean(self) -> Tensor:
        """``[batch, row, obs]``"""
        return self.location.mean(-1)

    @property
    def deviation(self) -> Tensor:
        """``[batch, row, obs]`` total standard deviation: between draws and around them."""
        return torch.sqrt(self.location.var(-1, correction=0) + self.scale**2)

    def quantiles(self, scaler: Scaler, levels: tuple[float, ...] = LEVELS) -> Tensor:
        """``[batch, row, obs, quantile]`` in the variables' units, of the Gaussian with the mixture's moments."""
        normal = torch.tensor(
            [math.sqrt(2) * _inverse_erf(2 * level - 1) for level in levels],
            dtype=self.scale.dtype,
            device=self.scale.device,
        )
        scaled = self.mean.unsqueeze(-1) + self.deviation.unsqueeze(-1) * normal
        return scaler.natural(scaled.transpose(-1, -2)).transpose(-1, -2)

    def natural_mean(self, scaler: Scaler) -> Tensor:
        """``[batch, row, obs]`` expectation in the variables' units (log-normal where the variable is a logarithm)."""
        draws = scaler.natural(self.location.transpose(-1, -2))
        lift = torch.exp(0.5 * (self.scale * scaler.deviation) ** 2).unsqueeze(-2)
        raised = torch.where(scaler.is_log > 0, (draws + scaler.offset) * lift - scaler.offset, draws)
        return raised.mean(-2)

    def draws(self, scaler: Scaler) -> Tensor:
        """``[batch, row, obs, draw]`` in the variables' units, without observation noise."""
        return scaler.natural(self.location.transpose(-1, -2)).transpose(-1, -2)


def joint_gaussian_nll(prediction: Prediction, value: Tensor, mask: Tensor, censor: Tensor) -> Tensor:
    """Negative log likelihood of each subject's whole course, ``[batch]``, in model units.

    All values of one subject are jointly Gaussian: the draws give a covariance of low rank, the noise its diagonal
    (so between-draw spread is learned as what persists along a course, and noise as what does not). A censored value
    counts as its limit, and only while the forecast lies on the wrong side of it.

    Args:
        value, mask, censor: ``[batch, row, obs]``.
    """
    flat = prediction.location.flatten(1, 2)
    mean = flat.mean(-1)
    residual = value.flatten(1) - mean
    limit = censor.flatten(1)
    residual = torch.where(
        limit < 0, residual.clamp(max=0.0), torch.where(limit > 0, residual.clamp(min=0.0), residual)
    )
    weight = mask.flatten(1) / prediction.scale.flatten(1)
    white = residual * weight
    n_draws = flat.shape[-1]
    factor = (flat - mean.unsqueeze(-1)) * weight.unsqueeze(-1) / math.sqrt(n_draws)
    # Woodbury: the inverse and determinant of I + factor factor' need only a draw-by-draw matrix.
    core = torch.eye(n_draws, dtype=flat.dtype, device=flat.device) + factor.transpose(1, 2) @ factor
    triangle, failed = torch.linalg.cholesky_ex(core)
    # One subject that blew up must not end the batch: its likelihood is not a number, and the others have theirs.
    triangle = torch.where(failed.view(-1, 1, 1) == 0, triangle, torch.nan)
    projected = torch.linalg.solve_triangular(triangle, factor.transpose(1, 2) @ white.unsqueeze(-1), upper=False)
    quadratic = white.square().sum(1) - projected.square().sum((1, 2))
    log_determinant = 2 * torch.log(torch.diagonal(triangle, dim1=1, dim2=2)).sum(1)
    noise = (mask.flatten(1) * 2 * torch.log(prediction.scale.flatten(1))).sum(1)
    constant = mask.flatten(1).sum(1) * math.log(2 * math.pi)
    return torch.as_tensor(0.5 * (quadratic + log_determinant + noise + constant))


def _inverse_erf(value: float) -> float:
    return float(torch.erfinv(torch.tensor(value, dtype=torch.float64)))
