"""The work of one training step, the same for every route: forecast, mean square error, gradients."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from neurotwin.solvers import MlpField, Rk4, Rows, odesolve

SPAN = 0.25
"""Length of an interval between two visits; a step of the solver is one."""


class Size(NamedTuple):
    """How large a step is: subjects, visits, states, units of a layer."""

    batch: int
    times: int
    state: int
    hidden: int


SIZES = {
    "S": Size(256, 50, 4, 64),
    "M": Size(1024, 64, 8, 64),
    "L": Size(4096, 100, 16, 128),
    "tiny": Size(16, 6, 4, 16),
}
CONTROLS, STATICS = 2, 4


class Problem:
    """A network of three layers with SiLU, two controls that are constant between visits, four covariates.

    Attributes:
        field: ours; ``network``: the same weights, for others: ``[state | controls | covariates] -> slope``.
        first: ``[batch, state]`` at the first visit; ``target``: ``[batch, time - 1, state]`` at the later ones.
        told: ``[time - 1, batch, controls + covariates]`` of each interval.
    """

    def __init__(self, size: Size, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.size, intervals = size, size.times - 1
        self.field = MlpField(size.state, CONTROLS, STATICS, size.hidden, use_clock=False, gentle=False)
        self.network = _without_clock(self.field)
        self.first = torch.randn(size.batch, size.state)
        self.control = torch.randn(size.batch, intervals, CONTROLS)
        self.static = torch.randn(size.batch, STATICS)
        self.target = torch.randn(size.batch, intervals, size.state)
        static = self.static.expand(intervals, -1, -1)
        self.told = torch.cat([self.control.transpose(0, 1), static], dim=-1).contiguous()
        self.times = torch.arange(size.times) * SPAN

    def rows(self) -> Rows:
        """The intervals as rows, each asked for its end."""
        dt = torch.full(self.control.shape[:2], SPAN)
        nothing = torch.zeros(*dt.shape, 1)
        none = torch.zeros(*dt.shape, CONTROLS)
        return Rows(dt, self.control, none, nothing, nothing, nothing, torch.ones_like(dt), torch.zeros_like(dt))

    def loss(self, course: Tensor) -> Tensor:
        """Of a forecast ``[batch, time - 1, state]``."""
        return (course - self.target).square().mean()

    def truth(self, parts: int = 8) -> Tensor:
        """The course in steps of an interval's ``parts``."""
        rows = self.rows()
        fine = Rows(*(field.repeat_interleave(parts, dim=1) for field in rows))._replace(
            dt=rows.dt.repeat_interleave(parts, dim=1) / parts
        )
        start = torch.zeros(self.size.batch)
        with torch.no_grad():
            done = odesolve(self.field, self.first, fine, start=start, static=self.static, solver=Rk4(SPAN))
        return done.at_query[:, parts - 1 :: parts]

    def gradients(self, module: nn.Module) -> list[Tensor]:
        """Those of a module's weights, the first layer's without a clock."""
        inputs = self.size.state + CONTROLS + STATICS
        found = [one.grad.clone() for one in module.parameters() if one.grad is not None]
        found[0] = found[0][:, :inputs]
        return found


def _without_clock(field: MlpField) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number, layer in enumerate(field.linears):
        weight = layer.weight[:, :-1] if number == 0 else layer.weight
        made = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            made.weight.copy_(weight)
            made.bias.copy_(layer.bias)
        layers += [made, nn.SiLU()]
    return nn.Sequential(*layers[:-1])
