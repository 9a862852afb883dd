"""Records on the scale of their forecast: 0 at the median, 1 at the quantile of one standard deviation of a normal.

The quantiles of a forecast, calibrated, are points of its distribution function on the variable's modelling scale; it
is linear in the normal score between them, and goes on beyond the last as a normal does.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from neurotwin.heads import Head

Array = NDArray[np.float64]
NORMAL = NormalDist()
SAME = 1e-9
"""Relative difference up to which a value is at a limit."""
_erf = np.vectorize(math.erf, otypes=[np.float64])


class Marginals:
    """Distributions of one channel's records, one for each.

    Args:
        head: modelling scale of the channel.
        levels: ``[quantile]`` rising, 0.5 among them.
        latent: ``[record, quantile]`` calibrated quantiles on the modelling scale.
    """

    def __init__(self, head: Head, levels: Array, latent: Array) -> None:
        self.head, self.latent = head, latent
        self.normal = np.array([NORMAL.inv_cdf(level) for level in levels.tolist()])
        self.middle = int(np.argmin(np.abs(levels - 0.5)))

    def take(self, rows: NDArray[np.int64]) -> Marginals:
        """Some of them, in the order given; rows may repeat."""
        part = object.__new__(Marginals)
        part.head, part.latent, part.normal, part.middle = self.head, self.latent[rows], self.normal, self.middle
        return part

    def scores(self, value: Array) -> Array:
        """``[record]`` normal scores of records, infinite where the forecast leaves them no chance.

        Of a record that is rounded or cut off: the middle of the probabilities below it and up to it (the mid-p of
        Lancaster 1961, J Am Stat Assoc 56:223).
        """
        if self.head.is_exact:
            return self._normal(self._modelled(value))
        low, high = (self._chance(end) for end in self.head.cell(value))
        share = np.clip((low + high) / 2, 1e-300, 1 - 1e-16)
        return np.array([one if math.isnan(one) else NORMAL.inv_cdf(one) for one in share.tolist()])

    def chance_within(self, value: Array, half: Array, ends: tuple[float, float] | None = None) -> Array:
        """``[record]`` probability of a record no further than ``half`` from ``value``.

        ``ends``: limits of detection. What lies beyond one of them may have been recorded as the limit itself.
        """
        if self.head.is_exact:
            low, high = self._modelled(value - half), self._modelled(value + half)
        else:
            low, high = self.head.cell(value - half)[0], self.head.cell(value + half)[1]
        if ends is not None:
            low = np.where(value - half <= ends[0] + SAME * abs(ends[0]), -np.inf, low)
            high = np.where(value + half >= ends[1] - SAME * abs(ends[1]), np.inf, high)
        return np.maximum(self._chance(high) - self._chance(low), 0.0)

    def interval(self, level: float) -> tuple[Array, Array]:
        """``[record]`` ends of the central interval of what is recorded, in the channel's unit."""
        ends = (self._latent_at(NORMAL.inv_cdf((1 + sign * level) / 2)) for sign in (-1, 1))
        low, high = (self.head.recorded(self.head.inverse(end)) for end in ends)
        return low, high

    @property
    def median(self) -> Array:
        """``[record]`` in the channel's unit."""
        return self.head.recorded(self.head.inverse(self.latent[:, self.middle]))

    def _modelled(self, value: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.asarray(self.head.forward(value), dtype=np.float64)
        below = -np.inf if math.isinf(self.head.high) else np.where(value >= self.head.high, np.inf, -np.inf)
        return np.where(np.isnan(found), below, found)

    def _chance(self, latent: Array) -> Array:
        return np.asarray(0.5 * (1 + _erf(self._normal(latent) / math.sqrt(2))))

    def _normal(self, latent: Array) -> Array:
        """Normal scores of latent values, on the modelling scale."""
        knots, normal, middle = self.latent, self.normal, self.latent[:, self.middle]
        right = np.clip((knots < latent[:, None]).sum(axis=1), 1, knots.shape[1] - 1)
        rows = np.arange(len(knots))
        low, high = knots[rows, right - 1], knots[rows, right]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(high > low, (latent - low) / (high - low), 0.0)
            inside = normal[right - 1] + share * (normal[right] - normal[right - 1])
            above = normal[-1] * (latent - middle) / (knots[:, -1] - middle)
            below = normal[0] * (latent - middle) / (knots[:, 0] - middle)
        found = np.where(latent > knots[:, -1], above, np.where(latent < knots[:, 0], below, inside))
        return np.where(latent == middle, 0.0, found)

    def _latent_at(self, score: float) -> Array:
        """``[record]`` latent values of one normal score."""
        normal, knots = self.normal, self.latent
        middle = knots[:, self.middle]
        if score > normal[-1] or score < normal[0]:
            end = -1 if score > 0 else 0
            return np.asarray(middle + (knots[:, end] - middle) * score / normal[end])
        right = int(np.clip(np.searchsorted(normal, score), 1, len(normal) - 1))
        share = (score - normal[right - 1]) / (normal[right] - normal[right - 1])
        return np.asarray((1 - share) * knots[:, right - 1] + share * knots[:, right])


def stretched(head: Head, levels: Array, quantiles: Array, factor: Array) -> Array:
    """``[record, quantile]`` on the modelling scale of latent quantiles, stretched about their median by ``factor``
    ``[record]``, as `neurotwin.calibration.Calibration.apply` does; those of a bernoulli are left."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.asarray(head.forward(quantiles), dtype=np.float64)
    if head.kind == "bernoulli":
        return scaled
    middle = int(np.argmin(np.abs(levels - 0.5)))
    centre = scaled[:, middle : middle + 1]
    return np.asarray(centre + factor[:, None] * (scaled - centre))
