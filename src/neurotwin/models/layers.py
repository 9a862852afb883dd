"""Small networks that several models are made of."""

import torch
from torch import Tensor, nn

from neurotwin.models.surrogate import linear


def network(inputs: int, hidden: int, outputs: int, *, gentle: bool = False) -> nn.Sequential:
    """Two hidden layers; a gentle one begins with small outputs, so that an untrained solve stays near its start."""
    last = linear(hidden, outputs)
    if gentle:
        nn.init.zeros_(last.bias)
        last.weight.data.mul_(0.1)
    return nn.Sequential(linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), last)


def squashed(time: Tensor) -> Tensor:
    """``[batch, 1]`` of scaled times ``[batch]``: tells early from late but cannot grow without bound."""
    return (time / (2.0 + time.abs())).unsqueeze(-1)


class Impulse(nn.Module):
    """What doses at an instant do to a state: linear in the amounts, so that no dose is exactly no change."""

    def __init__(self, state: int, control: int, static: int, hidden: int) -> None:
        super().__init__()
        self.n_control = control
        self.effect = network(state + static, hidden, state * control, gentle=True)

    def forward(self, state: Tensor, amount: Tensor, static: Tensor) -> Tensor:
        """The state ``[batch, state]`` after the amounts ``[batch, control]``."""
        effect = self.effect(torch.cat([state, static], dim=-1)).unflatten(-1, (-1, self.n_control))
        return torch.as_tensor(state + (effect * amount.unsqueeze(1)).sum(-1))
