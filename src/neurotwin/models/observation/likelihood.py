"""The likelihood of what was recorded of a subject's whole course."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from neurotwin.models.observation.interval import log_interval
from neurotwin.models.prediction import Prediction

Cells = tuple[Tensor, Tensor]
Moments = tuple[Tensor, Tensor, Tensor]


class _Factors(NamedTuple):
    """Doubt about a subject's course as independent standard normal factors, given what was seen so far.

    Attributes:
        loading: ``[batch, target, draw]`` change of each latent value per factor.
        pull: ``[batch, draw, 1]`` and
        triangle: ``[batch, draw, draw]`` Cholesky factor: of the normal equations of the factors' mean.
    """

    loading: Tensor
    pull: Tensor
    triangle: Tensor

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean ``[batch, draw]`` and covariance ``[batch, draw, draw]`` of the factors."""
        covariance = torch.cholesky_inverse(self.triangle)
        return (covariance @ self.pull).squeeze(-1), covariance


def joint_gaussian_nll(
    prediction: Prediction,
    value: Tensor,
    mask: Tensor,
    censor: Tensor,
    cells: Cells | None = None,
    degrees: Tensor | None = None,
) -> Tensor:
    """Negative log likelihood of each subject's whole course, ``[batch]``, in model units.

    All latent values of one subject are jointly Gaussian: the draws give a covariance of low rank, the noise its
    diagonal (so between-draw spread is learned as what persists along a course, and noise as what does not). Values
    that are recorded exactly come first, all at once and in closed form. What is only known to lie in an interval (a
    rounded value, a value at the end of its scale, a censored value) follows in the order of time, each by its
    probability given everything before it; then the factors are moved to the first two moments that its interval
    leaves them (assumed density filtering: Maybeck 1982, Stochastic models, estimation and control 2, chapter 12). Each
    of these terms is the logarithm of a probability that sums to 1 over what could have been recorded, so the whole is
    a proper score whatever the approximation. A Student-t value follows in the same way, as a density of the
    forecast's mean and variance, and moves the factors less the further out it lies.

    Args:
        value, mask, censor: ``[batch, row, obs]``; a censored value is a limit (-1: below it, 1: above it).
        cells: ends ``[batch, row, obs]`` of the latent values of which the values are records; None: all exact.
        degrees: ``[obs]`` degrees of freedom, infinite where not Student-t; None: nowhere. A censored Student-t value
            counts as a Gaussian one.
    """
    low, high = _limits((value, value) if cells is None else cells, censor)
    tails = torch.full_like(value[0, 0], math.inf) if degrees is None else degrees
    exact = mask * ((low == high) & torch.isinf(tails))
    loss, factors = _exact(prediction, value, exact)
    later = mask - exact
    if not (later > 0).any():
        return loss
    score = _all_at_once if prediction.location.shape[-1] == 1 else _one_by_one
    return loss + score(prediction, factors, later, (low, high), tails.expand_as(value))


def _limits(cells: Cells, censor: Tensor) -> Cells:
    """The cells of censored values: all that lies below that of the limit, or above it."""
    low, high = cells
    below = torch.where(torch.isinf(low), high, low)
    above = torch.where(torch.isinf(high), low, high)
    return (
        torch.where(censor < 0, -math.inf, torch.where(censor > 0, above, low)),
        torch.where(censor > 0, math.inf, torch.where(censor < 0, below, high)),
    )


def _exact(prediction: Prediction, value: Tensor, mask: Tensor) -> tuple[Tensor, _Factors]:
    """Of the values that are recorded exactly, ``[batch]``, and what they tell of the factors."""
    mean, loading = prediction.mean.flatten(1), prediction.apart.flatten(1, 2)
    weight = mask.flatten(1) / prediction.scale.flatten(1)
    white = (value.flatten(1) - mean) * weight
    factor = loading * weight.unsqueeze(-1)
    # Woodbury: the inverse and determinant of I + factor factor' need only a draw-by-draw matrix.
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    core = eye + factor.transpose(1, 2) @ factor
    triangle, failed = torch.linalg.cholesky_ex(core)
    # One subject that blew up must not end the batch: its likelihood is not a number, and the others have theirs.
    triangle = torch.where(failed.view(-1, 1, 1) == 0, triangle, torch.nan)
    pull = factor.transpose(1, 2) @ white.unsqueeze(-1)
    projected = torch.linalg.solve_triangular(triangle, pull, upper=False)
    quadratic = white.square().sum(1) - projected.square().sum((1, 2))
    log_determinant = 2 * torch.log(torch.diagonal(triangle, dim1=1, dim2=2)).sum(1)
    noise = (mask.flatten(1) * 2 * torch.log(prediction.scale.flatten(1))).sum(1)
    constant = mask.flatten(1).sum(1) * math.log(2 * math.pi)
    return 0.5 * (quadratic + log_determinant + noise + constant), _Factors(loading, pull, triangle)


def _all_at_once(prediction: Prediction, _: _Factors, mask: Tensor, cells: Cells, degrees: Tensor) -> Tensor:
    """The same as `_one_by_one` of a single draw: nothing persists, so values tell nothing of each other."""
    width, used, point = prediction.scale, mask > 0, cells[0] == cells[1]
    below, above = (_standardised(end, prediction.mean, width) for end in cells)
    interval, far = used & ~point, used & point
    found = _chosen(interval, log_interval(torch.where(interval, below, -1), torch.where(interval, above, 1)))[0]
    if far.any():
        found = found + _student(below, width, degrees, far)[0]
    return -found.sum((1, 2))


def _one_by_one(prediction: Prediction, factors: _Factors, mask: Tensor, cells: Cells, degrees: Tensor) -> Tensor:
    """Of the values that are not recorded exactly, ``[batch]``, in the order of time."""
    seen = mask.flatten(1) > 0
    order = torch.argsort((~seen).to(mask.dtype), dim=1, stable=True)[:, : int(seen.sum(1).max())]
    columns = [prediction.mean, prediction.scale.square(), *cells, degrees]
    mean, noise, low, high, tails = (torch.gather(column.flatten(1), 1, order) for column in columns)
    active = torch.gather(seen, 1, order)
    loading = torch.gather(factors.loading, 1, order.unsqueeze(-1).expand(-1, -1, factors.loading.shape[-1]))
    centre, covariance = factors.moments()
    is_point = low == high
    has_points = bool((is_point & active).any())
    loss = torch.zeros_like(mean[:, 0])
    for number in range(order.shape[1]):
        own, used, point = loading[:, number], active[:, number], is_point[:, number]
        reach = (covariance @ own.unsqueeze(-1)).squeeze(-1)
        variance = noise[:, number] + (own * reach).sum(-1)
        width = torch.sqrt(variance)
        place = mean[:, number] + (own * centre).sum(-1)
        below, above = (_standardised(ends[:, number], place, width) for ends in (low, high))
        interval = used & ~point
        found = _chosen(interval, log_interval(torch.where(interval, below, -1), torch.where(interval, above, 1)))
        if has_points:
            far = _student(below, width, tails[:, number], used & point)
            found = found[0] + far[0], found[1] + far[1], found[2] + far[2]
        loss = loss - found[0]
        centre = centre + reach * (found[1] / width).unsqueeze(-1)
        shrink = (found[2] / variance).view(-1, 1, 1)
        covariance = covariance - shrink * reach.unsqueeze(-1) * reach.unsqueeze(-2)
    return loss


def _standardised(end: Tensor, place: Tensor, width: Tensor) -> Tensor:
    """Distance in standard deviations; an infinite end stays, and sends no gradient of infinity times 0."""
    open_end = torch.isinf(end)
    return torch.where(open_end, end, (torch.where(open_end, 0.0, end) - place) / width)


def _student(at: Tensor, width: Tensor, degrees: Tensor, used: Tensor) -> Moments:
    """As `log_interval` for the density of a Student-t of variance ``width`` squared; the curvature is kept between
    that of no news and that of a Gaussian. 0 where not ``used``."""
    at, degrees = torch.where(used, at, 0.0), torch.where(used, degrees, 5.0)
    spread = degrees - 2 + at.square()
    shape = torch.lgamma((degrees + 1) / 2) - torch.lgamma(degrees / 2) - 0.5 * torch.log(math.pi * (degrees - 2))
    log_density = shape - torch.log(width) - (degrees + 1) / 2 * torch.log1p(at.square() / (degrees - 2))
    curvature = (degrees + 1) * (degrees - 2 - at.square()) / spread.square()
    return _chosen(used, (log_density, (degrees + 1) * at / spread, curvature.clamp(0.0, 1.0)))


def _chosen(used: Tensor, values: Moments) -> Moments:
    first, second, third = (torch.where(used, value, 0.0) for value in values)
    return first, second, third
