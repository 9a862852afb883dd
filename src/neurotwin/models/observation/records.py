"""What is recorded of latent values (`neurotwin.heads`), for tensors: means of records, and cells of latent values."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurotwin.heads import Head, standard_quantile

FAR = 1e6
"""Stands for an edge that is not there: nothing lies above it."""


class Records(nn.Module):
    """The heads of all variables side by side. Arguments are ``[..., obs]`` on the modelling scale (before scaling by
    mean and deviation), if not said otherwise."""

    is_exact: Tensor
    is_bounded: Tensor
    is_count: Tensor
    is_bernoulli: Tensor
    is_log: Tensor
    offset: Tensor
    low: Tensor
    has_low: Tensor
    high: Tensor
    has_high: Tensor
    step: Tensor
    edges: Tensor
    degrees: Tensor

    def __init__(self, heads: Sequence[Head]) -> None:
        super().__init__()
        self.all_exact = all(head.is_exact for head in heads)
        self.has_steps, self.has_counts = any(head.step for head in heads), any(head.kind == "count" for head in heads)
        self.has_bounds = any(head.kind == "bounded" for head in heads)
        self.degrees_of_freedom = tuple(head.degrees_of_freedom for head in heads)
        most = max([1, *(len(head.edges) for head in heads)])
        numbers = {
            "is_exact": [float(head.is_exact) for head in heads],
            "is_bounded": [float(head.kind == "bounded") for head in heads],
            "is_count": [float(head.kind == "count") for head in heads],
            "is_bernoulli": [float(head.kind == "bernoulli") for head in heads],
            "is_log": [float(head.transform == "log") for head in heads],
            "offset": [head.offset for head in heads],
            "low": [head.low if math.isfinite(head.low) else 0.0 for head in heads],
            "has_low": [float(math.isfinite(head.low) and not head.is_exact) for head in heads],
            "high": [head.high if math.isfinite(head.high) else 0.0 for head in heads],
            "has_high": [float(math.isfinite(head.high) and not head.is_exact) for head in heads],
            "step": [head.step for head in heads],
            "edges": [[*head.edges.tolist(), *[FAR] * (most - len(head.edges))] for head in heads],
            "degrees": self.degrees_of_freedom,
        }
        for name, values in numbers.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def quantile_factors(self, levels: Sequence[float], like: Tensor) -> Tensor:
        """``[obs, quantile]`` distance of each quantile from the centre, in standard deviations."""
        rows = [[standard_quantile(level, degrees) for level in levels] for degrees in self.degrees_of_freedom]
        return torch.tensor(rows, dtype=like.dtype, device=like.device)

    def expected(self, latent: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
        """Mean of the records of a normal latent value, in the variables' units.

        Steps: the low end plus a step for each edge, times the probability to lie above it, an exact sum (of a count
        the first 16 edges, and the rest as an integral). Bounds: a censored normal or log-normal.

        Args:
            latent: mean of the latent value, in the variables' units, which stands where it is recorded itself.
            mean, spread: of the normal distribution.
        """
        found = latent
        if self.has_steps:
            above = _normal((mean.unsqueeze(-1) - self.edges) / spread.unsqueeze(-1)).sum(-1)
            if self.has_counts:
                above = above + self.is_count * self._excess(mean, spread, torch.full_like(self.low, 16.0))
            found = torch.where(self.step > 0, self.low + self.step * above, found)
        if self.has_bounds:
            over, beyond = (self._excess(mean, spread, end) for end in (self.low, self.high))
            # E[min(max(x, low), high)], or with one end open E[max(x, low)] or E[min(x, high)].
            floored = torch.where(self.has_low > 0, self.low + over, latent)
            cut = floored - torch.where(self.has_high > 0, beyond, 0.0)
            found = torch.where(self.is_bounded > 0, cut, found)
        return found

    def cells(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Ends of the latent values of which ``value`` (in the variables' units) is recorded; infinite in the tails."""
        unit = torch.where(self.step > 0, self.step, 1.0)
        record = torch.where(self.step > 0, self.low + unit * torch.floor((value - self.low) / unit + 0.5), value)
        low, high = (self._forward(record + sign * 0.5 * self.step) for sign in (-1, 1))
        at_low, at_high = (self.has_low > 0) & (record <= self.low), (self.has_high > 0) & (record >= self.high)
        return torch.where(at_low, -math.inf, low), torch.where(at_high, math.inf, high)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Ends ``[obs]`` of the support on the modelling scale, infinite where there is none."""
        low, high = self._forward(self.low), self._forward(self.high)
        return torch.where(self.has_low > 0, low, -math.inf), torch.where(self.has_high > 0, high, math.inf)

    def _forward(self, value: Tensor) -> Tensor:
        """To the modelling scale; what has no logarithm becomes 0, for the tail puts another end in its place."""
        shifted = value + self.offset
        return torch.where(
            self.is_log > 0, torch.log(torch.where((self.is_log > 0) & (shifted > 0), shifted, 1)), value
        )

    def _excess(self, mean: Tensor, spread: Tensor, end: Tensor) -> Tensor:
        """Mean of what the latent value has above ``end``, in the variables' units: E[max(x - end, 0)]."""
        is_log = self.is_log > 0
        strike = torch.where(is_log & (end + self.offset > 0), end + self.offset, 1.0)
        distance = (mean - torch.where(is_log, torch.log(strike), end)) / spread
        plain = spread * (distance * _normal(distance) + _density(distance))
        lifted = torch.exp(torch.where(is_log, mean + 0.5 * spread**2, 0.0))
        return torch.where(is_log, lifted * _normal(distance + spread) - strike * _normal(distance), plain)


def _normal(value: Tensor) -> Tensor:
    """Standard normal distribution function."""
    return 0.5 * (1 + torch.erf(value * math.sqrt(0.5)))


def _density(value: Tensor) -> Tensor:
    return torch.exp(-0.5 * value**2) / math.sqrt(2 * math.pi)
