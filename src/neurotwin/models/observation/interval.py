"""The probability that a standard normal variable lies in an interval, in single precision, however far out."""

import math

import torch
from torch import Tensor

NARROW = 0.02
"""Width below which a cell is a point with a density: the next terms are of the order of the width squared."""
LARGEST = 1e4
"""Farthest end, in standard deviations, that is told from one beyond: its square is still exact enough."""


def log_interval(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logarithm of the probability of [low, high], its slope and its curvature.

    With ``place`` the centre of the normal variable (of width 1), slope is the derivative of the logarithm by it and
    curvature minus the second one, which lies between 0 (the interval told nothing) and 1 (it told all).

    Where the interval lies in the upper half, the mirror image is looked at; there, the scaled complementary error
    function keeps the ratios of tails (Cody 1969, Math Comp 23:631) that would be 0 / 0.

    Args:
        low, high: any shape, low < high; either may be infinite.
    """
    open_low, open_high = torch.isinf(low), torch.isinf(high)
    a, b = low.clamp(-LARGEST, LARGEST), high.clamp(-LARGEST, LARGEST)
    # Lower half: an open end lies where it makes the other one the upper end of the mirrored interval.
    mirrored = torch.where(open_low, False, torch.where(open_high, True, a + b > 0))
    lower, upper = torch.where(mirrored, -b, a), torch.where(mirrored, -a, b)
    one_sided = open_low | open_high
    lower = torch.where(one_sided, upper - 1.0, lower)
    wide = _wide(lower, upper, one_sided)
    # A narrow cell is a point: the general formulas would subtract nearly equal numbers.
    width = torch.where(one_sided, 1.0, upper - lower)
    narrow = width < NARROW
    point = _narrow((lower + upper) / 2, torch.where(narrow, width, NARROW).clamp(min=1e-30))
    value, slope, curvature = (torch.where(narrow, one, other) for one, other in zip(point, wide, strict=True))
    told = ~(open_low & open_high)
    slope = torch.where(mirrored, -slope, slope)
    return torch.where(told, value, 0.0), torch.where(told, slope, 0.0), torch.where(told, curvature, 0.0)


def _wide(lower: Tensor, upper: Tensor, one_sided: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of an interval whose weight lies in the lower half; with ``one_sided``, of everything below ``upper``."""
    # log of the share of [-inf, upper] that lies below lower; far out from scaled functions, elsewhere directly.
    far = upper < -1
    tail_lower, tail_upper = torch.where(far, lower, -2.0), torch.where(far, upper, -1.0)
    ratio = torch.log(_scaled_tail(tail_lower)) - torch.log(_scaled_tail(tail_upper))
    scaled = (tail_upper - tail_lower) * (tail_upper + tail_lower) / 2 + ratio
    direct = torch.special.log_ndtr(torch.where(far, -2.0, lower)) - torch.special.log_ndtr(
        torch.where(far, -1.0, upper)
    )
    share = torch.where(far, scaled, direct).clamp(max=-1e-7)
    share = torch.where(one_sided, -1.0, share)
    kept = torch.where(one_sided, 1.0, -torch.expm1(share))
    value = torch.special.log_ndtr(upper) + torch.log(kept)
    at_upper = _hazard(upper) / kept
    # The density at the lower end, from that at the upper one; where both ends are far apart, both densities are 0.
    fall = ((upper - lower) * (upper + lower) / 2).clamp(max=0.0)
    at_lower = torch.where(one_sided, 0.0, at_upper * torch.exp(fall))
    slope = at_lower - at_upper
    curvature = slope.square() + upper * at_upper - lower * at_lower
    # One-sided and far out, the curvature is 1 less the inverse square of the distance.
    flat = one_sided & (upper < -50)
    return value, slope, torch.where(flat, 1.0, curvature).clamp(0.0, 1.0)


def _narrow(centre: Tensor, width: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Density at the centre times the width, with the tilt over it: log(sinh(x) / x) at x = centre width / 2."""
    tilt = (centre * width / 2).abs()
    safe = tilt.clamp(min=0.1)
    large = safe + torch.log1p(-torch.exp(-2 * safe)) - torch.log(2 * safe)
    lift = torch.where(tilt < 0.1, tilt.square() / 6, large)
    value = -0.5 * centre.square() - 0.5 * math.log(2 * math.pi) + torch.log(width) + lift - width.square() / 24
    return value, centre, (1 - width.square() / 12).expand_as(centre)


def _scaled_tail(value: Tensor) -> Tensor:
    """Probability below ``value``, over ``exp(-value^2 / 2)``; for values below about 8."""
    return torch.as_tensor(0.5 * torch.special.erfcx((-value * math.sqrt(0.5)).clamp(min=-6.0)))


def _hazard(value: Tensor) -> Tensor:
    """Density at ``value`` over the probability below it."""
    return 1 / (math.sqrt(2 * math.pi) * _scaled_tail(value))
