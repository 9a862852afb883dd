"""A Gaussian vector of a patient from its information form, by steps that a graph can hold."""

import torch
from torch import Tensor


def from_information(precision: Tensor, pull: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``[batch, n]`` and root ``[batch, n, n]``, both in the type given.

    The root ``M`` is lower triangular with ``M' M`` the covariance: ``mean + M' e`` with standard normal ``e`` is a
    draw. Gauss elimination without pivots, written out for each of the few columns: neither a Cholesky factor nor a
    solve has an ONNX operator.

    Args:
        precision: ``[batch, n, n]`` positive definite.
        pull: ``[batch, n]`` precision times mean.
    """
    n = precision.shape[-1]
    eye = torch.eye(n, dtype=precision.dtype, device=precision.device)
    table = torch.cat([precision, eye.expand_as(precision)], dim=-1)
    pivots = []
    for index in range(n):
        row = table.narrow(1, index, 1)
        pivot = row.narrow(2, index, 1)
        below = precision.new_tensor([[float(other > index)] for other in range(n)])
        table = table - table.narrow(2, index, 1) * below * (row / pivot)
        pivots.append(pivot)
    root = table.narrow(2, n, n) * torch.rsqrt(torch.cat(pivots, dim=1))
    return (root.transpose(1, 2) @ (root @ pull.unsqueeze(-1))).squeeze(-1), root
