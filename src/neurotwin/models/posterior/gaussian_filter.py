"""Exact Gaussian updates of a belief, in operations that an exported graph has: no factorisation, no solve.

Kalman, J. Basic Eng. 82 (1960); the continuous-discrete form: Jazwinski, Stochastic Processes and Filtering Theory
(1970), chapter 7.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

_LOG_2_PI = math.log(2 * math.pi)


class Conditioned(NamedTuple):
    """A belief after an observation.

    Attributes:
        shift: ``[batch, n]`` of the mean.
        covariance: ``[batch, n, n]``.
        surprise: ``[batch]`` minus the log density of what was seen.
    """

    shift: Tensor
    covariance: Tensor
    surprise: Tensor


def transported(covariance: Tensor, flow: Tensor, noise: Tensor) -> Tensor:
    """Covariance ``[batch, n, n]`` after the first ``obs`` of n numbers moved and the others stayed.

    Args:
        flow: ``[batch, obs, n]`` derivative of those numbers' new values by all old ones.
        noise: ``[batch, obs, obs]`` covariance that those numbers gained meanwhile.
    """
    n_obs, n = flow.shape[1], flow.shape[2]
    moved = flow @ covariance
    cross = moved.narrow(2, n_obs, n - n_obs)
    among = moved @ flow.transpose(1, 2) + noise
    rest = covariance.narrow(1, n_obs, n - n_obs).narrow(2, n_obs, n - n_obs)
    return torch.cat([torch.cat([among, cross], dim=2), torch.cat([cross.transpose(1, 2), rest], dim=2)], dim=1)


def conditioned(
    covariance: Tensor, innovation: Tensor, mask: Tensor, noise: Tensor, censor: Tensor, robust: float = 0.0
) -> Conditioned:
    """Condition n Gaussian numbers on noisy values of the first ``obs`` of them, one value after the other.

    The rows of an observed number shrink by a factor instead of a difference of two near numbers, which in single
    precision keeps a nearly exact observation from leaving a variance below 0.

    Args:
        covariance: ``[batch, n, n]``.
        innovation: ``[batch, obs]`` value minus mean.
        mask: ``[batch, obs]`` 1 where there is a value.
        noise: ``[obs]`` variance of a value around its number.
        censor: ``[batch, obs]`` -1 or 1 where the value is a limit: it surprises only from the wrong side.
        robust: standard deviations beyond which a surprise grows as a logarithm, not as a square; 0: it never does.
    """
    n_obs, n = innovation.shape[1], covariance.shape[1]
    shift = torch.zeros_like(covariance.select(2, 0))
    surprise = torch.zeros_like(shift.select(1, 0))
    axis = torch.arange(n, device=covariance.device)
    for index in range(n_obs):
        row, seen, variance = covariance.select(1, index), mask.select(1, index), noise.select(0, index)
        total = row.select(1, index) + variance
        residual = (innovation.select(1, index) - shift.select(1, index)) * seen
        share = seen / total
        shift = shift + row * (share * residual).unsqueeze(-1)
        kept = row * (1 - seen + share * variance).unsqueeze(-1)
        # The product of the row with itself first: so what is symmetric stays so, to the last bit.
        rest = covariance - row.unsqueeze(2) * row.unsqueeze(1) * share.view(-1, 1, 1)
        here = axis == index
        rest = torch.where(here.unsqueeze(1), kept.unsqueeze(1), rest)
        covariance = torch.where(here.unsqueeze(0), kept.unsqueeze(2), rest)
        limit = censor.select(1, index)
        wrong = torch.where(
            limit < 0, residual.clamp(max=0.0), torch.where(limit > 0, residual.clamp(min=0.0), residual)
        )
        if robust:
            # The least variance that puts the value at so many standard deviations.
            total = torch.maximum(total, wrong.square() / robust**2)
        surprise = surprise + 0.5 * seen * (wrong.square() / total + torch.log(total) + _LOG_2_PI)
    return Conditioned(shift, covariance, surprise)


def lower_factor(covariance: Tensor) -> Tensor:
    """Cholesky factor ``[batch, n, n]``, column by column; a number that is certain to rounding has a column of 0."""
    n = covariance.shape[1]
    axis = torch.arange(n, device=covariance.device)
    rounding, whole = 16 * torch.finfo(covariance.dtype).eps, covariance
    columns = []
    for index in range(n):
        column = covariance.select(2, index)
        pivot = column.select(1, index)
        sound = pivot > rounding * whole.select(1, index).select(1, index)
        scale = torch.where(sound, 1 / torch.sqrt(torch.where(sound, pivot, 1.0)), 0.0)
        column = torch.where(axis >= index, column, 0.0) * scale.unsqueeze(-1)
        covariance = covariance - column.unsqueeze(2) * column.unsqueeze(1)
        columns.append(column)
    return torch.stack(columns, dim=2)
