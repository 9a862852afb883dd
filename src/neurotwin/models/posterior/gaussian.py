"""Divergences between Gaussians of independent components."""

import torch
from torch import Tensor


def divergence(mean: Tensor, deviation: Tensor, other_mean: Tensor, other_deviation: Tensor) -> Tensor:
    """Kullback-Leibler divergence KL(N(mean, deviation^2) | N(other_mean, other_deviation^2)), element by element."""
    ratio = (deviation / other_deviation).square()
    distance = ((mean - other_mean) / other_deviation).square()
    return 0.5 * (ratio + distance - 1.0 - torch.log(ratio))


def divergence_from_standard(mean: Tensor, deviation: Tensor) -> Tensor:
    """``[batch]`` divergence of ``[batch, latent]`` from N(0, I)."""
    return divergence(mean, deviation, torch.zeros_like(mean), torch.ones_like(deviation)).sum(-1)
