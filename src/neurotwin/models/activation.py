"""An activation that leaves torch in double precision too."""

import torch
from torch import Tensor
from torch.nn import functional as F


def softplus(value: Tensor) -> Tensor:
    """``ln(1 + exp(value))``; in a graph of double precision spelled out, for which ONNX Runtime has no operator."""
    if torch.compiler.is_exporting() and value.dtype == torch.float64:
        return torch.relu(value) + torch.log1p(torch.exp(-value.abs()))
    return F.softplus(value)
