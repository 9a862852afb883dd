"""Balanced representations: a patient's state that does not tell what the physician will do next."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.errors import ConfigError
from neurotwin.models import Surrogate
from neurotwin.solvers import Rows


class Balance(nn.Module):
    """Domain-adversarial training on treatments (counterfactual recurrent network: Bica et al., ICLR 2020; gradient
    reversal: Ganin & Lempitsky, ICML 2015).

    A head tells from the state at the cut which treatments are on as the plan begins. The head learns to tell them, and
    the state, through which the gradient passes with its sign turned, not to be of use to it: patients whom the policy
    would treat differently are then alike, and what is learned from some of them holds for the others. Where the state
    must know how ill a patient is, that costs accuracy; whether it pays is an empirical question
    (`benchmarks/ablations`).

    It reads the learned columns of the core; values kept as they were seen (`neurotwin.models.recent.Recent`) are not
    changed by it.

    Args:
        model: whose state is balanced.
        weight: of the reversed gradient; the head itself learns at full weight.
        hidden: width of the head.

    Raises:
        ConfigError: the model's schema has no treatments.
    """

    def __init__(self, model: Surrogate, weight: float, hidden: int = 32) -> None:
        super().__init__()
        if not model.n_control:
            raise ConfigError(
                f"balance is {weight:g}, but {model.schema.name} has no treatments",
                where="loss.balance",
                expected="0 without treatments",
            )
        self.weight, self.n_learned = weight, model.n_learned
        self.tell = nn.Sequential(nn.Linear(model.n_learned, hidden), nn.SiLU(), nn.Linear(hidden, model.n_control))

    def forward(self, core: Tensor, plan: Rows) -> Tensor:
        """``[batch]`` summed cross-entropy of the treatments on as a plan begins, from cores ``[batch, core]``."""
        learned = _Reversed.apply(core[:, : self.n_learned], self.weight)  # type: ignore[no-untyped-call]
        told = self.tell(learned)
        return F.binary_cross_entropy_with_logits(told, first_treatments(plan), reduction="none").sum(-1)


def first_treatments(plan: Rows) -> Tensor:
    """``[batch, control]`` 1 where a treatment is given at the plan's start: at once, or along the first row that takes
    time."""
    until = torch.cumsum(plan.dt, dim=1) - plan.dt
    given = (plan.jump != 0) | ((plan.control != 0) & (plan.dt > 0).unsqueeze(-1))
    return (given & (until == 0).unsqueeze(-1)).any(1).to(plan.dt.dtype)


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient is turned round and weighed."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return -ctx.weight * gradients[0], None
