"""Training many surrogates of one configuration at once: same model, loss, batches and schedule as `neurotwin train`.

A small recurrent model on a CPU spends its time on calling operations, not on arithmetic. Stacked along a new axis
(torch.func), twenty models cost little more than three. They share nothing: each has its own weights, scaling, batches,
random numbers and clipped gradient, and AdamW works element by element.
"""

from collections.abc import Callable, Iterator, Sequence
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from neurotwin.data import Batch
from neurotwin.models import Prediction, Surrogate
from neurotwin.solvers import Rows
from neurotwin.training import warmup_cosine

LONGEST_GRADIENT = 1.0
"""Norm to which each model's gradient is clipped, as in conf/trainer/default.yaml."""


class Asked(nn.Module):
    """A surrogate as one call: a batch in, the forecast of its plan out."""

    def __init__(self, model: Surrogate) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Assimilate the past, forecast the plan: `Prediction.location` and `Prediction.scale`."""
        fresh = torch.ones_like(batch.start)
        blank = batch.start.new_zeros(len(batch.start), self.model.state_size)
        state = self.model.assimilate(blank, fresh, batch.start, batch.static, batch.static_mask, batch.history)
        prediction = self.model.forecast(state, batch.plan)
        return prediction.location, prediction.scale


def train_together(
    models: Sequence[Surrogate],
    loss: nn.Module,
    streams: Sequence[Iterator[Batch]],
    *,
    steps: int,
    optimizer: Callable[..., torch.optim.Optimizer],
    seed: int,
    told: Callable[[int, float], Any] = lambda step, loss: None,
) -> None:
    """Train the models in place for a fixed number of steps.

    Args:
        models: alike but for weights and scaling; they must share the time unit and the solver's longest step.
        loss: of a prediction.
        streams: batches of each model.
        steps: of the optimizer.
        optimizer: takes parameters.
        seed: of the dropout.
        told: is called with each step's number and mean loss.
    """
    asked = [Asked(model.train()) for model in models]
    for cell in [item for item in asked[0].modules() if isinstance(item, nn.GRUCell)]:
        cell.forward = MethodType(_gru_cell, cell)
    weights, buffers = stack_module_state(asked)

    def one(weight: dict[str, Tensor], buffer: dict[str, Tensor], fields: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
        return functional_call(asked[0], (weight, buffer), (Batch(*fields),))

    every = vmap(one, randomness="different")
    search = optimizer(list(weights.values()))
    schedule = warmup_cosine(search, steps)
    torch.manual_seed(seed)
    for step in range(steps):
        batches = stacked([next(stream) for stream in streams])
        # Ends of follow-up are not asked for, and None is no tensor.
        location, scale = every(weights, buffers, tuple(field for field in batches if field is not None))
        losses = [
            _loss(loss, Prediction(location[number], scale[number], None), number, batches, model)
            for number, model in enumerate(models)
        ]
        total = torch.stack(losses)
        search.zero_grad(set_to_none=True)
        total.sum().backward()
        _clip([weight.grad for weight in weights.values() if weight.grad is not None])
        search.step()
        schedule.step()
        told(step, float(total.detach().mean()))
    for number, item in enumerate(asked):
        item.load_state_dict({name: weight[number].detach() for name, weight in weights.items()}, strict=False)
        item.eval()


def _loss(loss: nn.Module, prediction: Prediction, number: int, batches: Batch, model: Surrogate) -> Tensor:
    """Mean loss of the targets of one model's batch; each model has its own scales."""
    value, mask, censor = (field[number] for field in (batches.value, batches.mask, batches.censor))
    per_subject = loss(prediction, value, mask, censor, model.scaler)
    return per_subject.sum() / mask.sum().clamp(min=1.0)


def stacked(batches: Sequence[Batch]) -> Batch:
    """One batch with a leading axis of models, padded with rows and subjects that do nothing."""
    size = max(len(batch.start) for batch in batches)
    columns = []
    for parts in zip(*batches, strict=True):
        if parts[0] is None:
            columns.append(None)
        elif isinstance(parts[0], Rows):
            fields = zip(*parts, strict=True)
            columns.append(Rows(*(_padded(field, size) for field in fields)))
        else:
            columns.append(_padded(parts, size))
    return Batch(*columns)


def _padded(parts: Sequence[Tensor], size: int) -> Tensor:
    rows = max(part.shape[1] for part in parts) if parts[0].ndim > 1 else 0
    shape = (len(parts), size, *((rows,) if rows else ()), *parts[0].shape[2:])
    if parts[0].ndim > 1 and rows == 0:
        shape = (len(parts), size, 0)
    whole = parts[0].new_zeros(shape)
    for number, part in enumerate(parts):
        whole[(number, *(slice(0, length) for length in part.shape))] = part
    return whole


def _clip(gradients: Sequence[Tensor]) -> None:
    """Each model's gradient to a norm of at most `LONGEST_GRADIENT`; a gradient that is not finite becomes 0."""
    norm = torch.sqrt(sum(gradient.flatten(1).square().sum(1) for gradient in gradients))
    factor = torch.where(torch.isfinite(norm), LONGEST_GRADIENT / norm.clamp(min=LONGEST_GRADIENT), 0.0)
    for gradient in gradients:
        gradient.nan_to_num_(0.0, 0.0, 0.0).mul_(factor.view(-1, *[1] * (gradient.ndim - 1)))


def _gru_cell(cell: nn.GRUCell, told: Tensor, memory: Tensor) -> Tensor:
    """What torch's fused cell computes, in operations that can be stacked over models."""
    reset, update, new = F.linear(told, cell.weight_ih, cell.bias_ih).chunk(3, -1)
    reset_kept, update_kept, new_kept = F.linear(memory, cell.weight_hh, cell.bias_hh).chunk(3, -1)
    candidate = torch.tanh(new + torch.sigmoid(reset + reset_kept) * new_kept)
    share = torch.sigmoid(update + update_kept)
    return candidate + share * (memory - candidate)
