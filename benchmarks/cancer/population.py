"""What is known of a patient before any measurement: the truncated Gaussian that the parameters are drawn from."""

from dataclasses import dataclass

import numpy as np
from benchmarks.cancer.simulator import ALPHA, ALPHA_SHIFT, BETA_C, BETA_C_SHIFT, CORRELATION, RHO, Array
from scipy.special import log_ndtr, ndtri


@dataclass(frozen=True)
class Prior:
    """Gaussian of (alpha, rho, beta_c) before truncation, and the bounds of the truncation.

    Attributes:
        mean: ``[patient, 3]``, shifted by patient type.
        covariance: ``[3, 3]``.
        low: ``[patient, 3]``, shifted by patient type.
    """

    mean: Array
    covariance: Array
    low: Array

    @classmethod
    def of(cls, kind: np.ndarray) -> "Prior":
        """Of patients of these types ``[patient]``."""
        shift = np.stack(
            [np.where(kind == 1, ALPHA_SHIFT, 0.0), np.zeros(len(kind)), np.where(kind == 3, BETA_C_SHIFT, 0.0)], axis=1
        )
        covariance = np.diag(np.square([ALPHA[1], RHO[1], BETA_C[1]]))
        covariance[0, 1] = covariance[1, 0] = CORRELATION * ALPHA[1] * RHO[1]
        return cls(shift + [ALPHA[0], RHO[0], BETA_C[0]], covariance, shift)


@dataclass(frozen=True)
class Quadrature:
    """Nodes ``[patient, node, 3]`` and weights ``[patient, node]`` (sum 1) of truncated Gaussians."""

    node: Array
    weight: Array

    @property
    def mean(self) -> Array:
        """``[patient, 3]``"""
        return np.einsum("pn,pnk->pk", self.weight, self.node)


def truncated_quadrature(mean: Array, covariance: Array, low: Array, order: int = 16) -> Quadrature:
    """Quadrature of Gaussians in (alpha, rho, beta_c) of which alpha and rho lie above ``low``.

    Gauss-Legendre in rho, in alpha given rho, both over all but 1e-8 of the mass at either end; two nodes of
    Gauss-Hermite in beta_c given both, whose own bound is 40 standard deviations away.

    Args:
        mean, low: ``[patient, 3]``.
        covariance: ``[patient, 3, 3]``.
        order: nodes in alpha and in rho.
    """
    deviation = np.sqrt(covariance[:, 1, 1])
    rho, rho_weight = _interval_nodes(mean[:, 1], deviation, low[:, 1], order)
    slope = covariance[:, 0, 1] / covariance[:, 1, 1]
    middle = mean[:, :1] + slope[:, None] * (rho - mean[:, 1:2])
    left = np.sqrt(np.maximum(covariance[:, 0, 0] - slope * covariance[:, 0, 1], 1e-300))[:, None]
    # The mass of alpha above its bound belongs to the marginal of rho.
    mass = log_ndtr((middle - low[:, :1]) / left)
    rho_weight = rho_weight * np.exp(mass - mass.max(1, keepdims=True))
    alpha, alpha_weight = _interval_nodes(middle, np.broadcast_to(left, middle.shape), low[:, :1], order)
    weight = rho_weight[..., None] * alpha_weight / alpha_weight.sum(-1, keepdims=True)
    two = covariance[:, :2, :2]
    regression = np.linalg.solve(two, covariance[:, :2, 2:])[..., 0]
    spread = np.sqrt(np.maximum(covariance[:, 2, 2] - (regression * covariance[:, :2, 2]).sum(1), 0.0))
    wide = np.broadcast_to(rho[..., None], alpha.shape)
    centre = mean[:, 2, None, None] + regression[:, 0, None, None] * (alpha - mean[:, 0, None, None])
    centre = centre + regression[:, 1, None, None] * (wide - mean[:, 1, None, None])
    sides = [centre + sign * spread[:, None, None] for sign in (-1.0, 1.0)]
    node = np.stack([np.stack([alpha, wide, side], axis=-1) for side in sides], axis=-2)
    weight = np.repeat(weight[..., None], 2, axis=-1).reshape(len(mean), -1)
    return Quadrature(node.reshape(len(mean), -1, 3), weight / weight.sum(1, keepdims=True))


def _interval_nodes(mean: Array, deviation: Array, low: Array, order: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights ``[..., order]`` of Gaussians above a bound, up to a factor."""
    point, weight = np.polynomial.legendre.leggauss(order)
    bound = (low - mean) / deviation
    first = np.maximum(bound, -5.6)
    # Upper end: all but 1e-8 of what lies above the bound; far out, the tail is an exponential.
    near = -ndtri(np.exp(log_ndtr(-np.minimum(first, 6.0))) * 1e-8)
    last = np.where(first > 6.0, first + 18.5 / np.maximum(first, 6.0), near)
    half = (last - first)[..., None] / 2
    at = first[..., None] + half * (1 + point)
    # Relative to the density at the lower end, which may be far out in the tail.
    density = np.exp(-0.5 * (at**2 - first[..., None] ** 2))
    return mean[..., None] + deviation[..., None] * at, half * weight * density
