"""Known functions of time and treatment, at all rows at once: what a loop over rows would have carried."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from neurotwin.solvers import Rows

QUICK = 5.0
"""Steps of a logarithm of a rate beside those of a weight: an effect of an hour and one of a month lie far apart."""
FASTEST, SLOWEST = 10.0, 0.05
"""Rates to begin with, per unit of the model's own time; those between are spaced evenly in the logarithm."""
USUAL = 6.0
"""Doses that are remembered at once, roughly: divides the memories."""


class Response(NamedTuple):
    """Of rows.

    Attributes:
        basis: ``[batch, row, size]`` the functions where each row asks.
        memory: ``[batch, rate, row, control]`` memories of treatment there.
        clock: ``[batch, row]`` time there.
        ended: ``[batch]`` clock after the last row.
    """

    basis: Tensor
    memory: Tensor
    clock: Tensor
    ended: Tensor


class LinearResponse(nn.Module):
    """Responses of linear compartments with several rates, from the index event and from each treatment:

        1,    t,    exp(-r t),        a_r' = u - r a_r  with doses as jumps,  r = 0 among them

    Any linear system that responds to its inputs, with time constants within their range, is nearly a combination of
    these. All rows are worked out at once, from the distances between them, so a graph needs no loop.

    Args:
        n_control: treatments.
        rates: rates above 0, learned.
        time: one unit of the model's own time.
    """

    def __init__(self, n_control: int, rates: int, time: float) -> None:
        super().__init__()
        self.n_control, self.rates, self.time = n_control, rates, time
        self.n_memory = (rates + 1) * n_control
        self.size = 2 + rates + self.n_memory
        self.log_rate = nn.Parameter(torch.linspace(math.log(FASTEST), math.log(SLOWEST), rates) / QUICK)

    def forward(self, memory: Tensor, rows: Rows, clock: Tensor, *, at_end: bool) -> Response:
        """Of rows after a ``memory`` ``[batch, n_memory]`` at ``clock`` ``[batch]``; asked at the rows' ends, or where
        their queries are."""
        rate = torch.exp(QUICK * self.log_rate) / self.time
        kept = rows.dt * (1 - rows.peek)
        end = torch.cumsum(kept, dim=1)
        begin = end - kept
        asked = rows.dt if at_end else rows.dt * rows.query_at
        now = self._walked(memory, rows, begin, end, rate)
        told = self._moved(now, rows.jump, rows.control, asked, rate)
        time = clock.unsqueeze(1) + begin + asked
        since = (time / self.time).unsqueeze(-1)
        fading = torch.exp(-torch.relu(time).unsqueeze(-1) * rate)
        given = told.movedim(1, 2).flatten(2) / USUAL
        basis = torch.cat([torch.ones_like(since), 0.5 * since, fading, given], dim=-1)
        return Response(basis, told, time, clock + kept.sum(1))

    def _walked(self, memory: Tensor, rows: Rows, begin: Tensor, end: Tensor, rate: Tensor) -> Tensor:
        """Memories ``[batch, rate, row, control]`` at each row's begin, before its doses."""
        number = torch.cumsum(torch.ones_like(begin), dim=1)
        earlier = (number.unsqueeze(2) > number.unsqueeze(1)) & (rows.peek.unsqueeze(1) == 0)
        apart = torch.relu(begin.unsqueeze(2) - end.unsqueeze(1))
        left = torch.where(earlier.unsqueeze(1), self._faded(apart.unsqueeze(1), rate), 0.0)
        nothing = torch.zeros_like(rows.jump).unsqueeze(1)
        own = left @ self._moved(nothing, rows.jump, rows.control, rows.dt, rate)
        before = memory.unflatten(-1, (self.rates + 1, self.n_control)).unsqueeze(2)
        return torch.as_tensor(own + before * self._faded(begin.unsqueeze(1), rate).unsqueeze(-1))

    def _moved(self, memory: Tensor, jump: Tensor, control: Tensor, span: Tensor, rate: Tensor) -> Tensor:
        """Memories after doses and a time ``[batch, row]`` under constant controls."""
        left = self._faded(span.unsqueeze(1), rate)
        fading, _ = left.split([self.rates, 1], dim=1)
        gained = torch.cat([(1 - fading) / (rate * self.time).unsqueeze(-1), span.unsqueeze(1) / self.time], dim=1)
        return (memory + jump.unsqueeze(1)) * left.unsqueeze(-1) + control.unsqueeze(1) * gained.unsqueeze(-1)

    def _faded(self, span: Tensor, rate: Tensor) -> Tensor:
        """What is left after times ``[batch, 1, ...]``, at each rate along axis 1; all of it at rate 0."""
        every = torch.cat([rate, torch.zeros_like(rate.narrow(0, 0, 1))])
        return torch.exp(-span * every.view(-1, *(1 for _ in span.shape[2:])))
