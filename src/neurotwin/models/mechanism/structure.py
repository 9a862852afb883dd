"""What a mechanism's equations say before any patient: sizes of its states, and what hangs on what."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

PROBES = 8
STEPS = 200

Field = Callable[[Tensor, Tensor], Tensor]


class Structure(NamedTuple):
    """Boolean ``[state]``: ``observed`` states are those that a variable shows, ``uncertain`` ones those and all that
    hang on them or on a patient's parameters. The others follow the doses exactly."""

    observed: Tensor
    uncertain: Tensor


def typical_sizes(mechanism: Any, doses: Tensor, step: float, horizon: float) -> list[float]:
    """Largest magnitude of each state in a course of the default patient; 1 for a state that stays 0.

    Args:
        doses: ``[mechanism treatment]`` typical amounts: boluses come at the start and once a quarter of the course,
            rates and levels are held throughout.
        step: of an explicit midpoint rule.
        horizon: length of the course, if that takes no more than `STEPS` steps.
    """
    bolus = torch.tensor([item.kind == "bolus" for item in mechanism.treatments], dtype=torch.bool)
    amount = torch.where(bolus, doses, 0.0).double().unsqueeze(0)
    control = torch.where(bolus, 0.0, doses).double().unsqueeze(0)
    state = torch.as_tensor(mechanism.initial_state(1)).double()
    largest, n = state.abs(), max(4, min(STEPS, int(horizon / step)))
    t, dt = torch.zeros(1, dtype=torch.float64), min(step, horizon / n)
    for number in range(n):
        if number % (n // 4) == 0:
            state = mechanism.jump(state, amount)
        middle = state + 0.5 * dt * mechanism.vector_field(t, state, control)
        state = state + dt * mechanism.vector_field(t + 0.5 * dt, middle, control)
        t = t + dt
        largest = torch.maximum(largest, torch.where(torch.isfinite(state), state.abs(), largest))
    return [float(size) if size > 0 else 1.0 for size in largest[0]]


def structure_of(move: Field, observe: Field, state: Tensor, free: Tensor) -> Structure:
    """What hangs on what, from derivatives at random points about ``state`` ``[state]``, ``free`` ``[parameter]``.

    Args:
        move: ``(state, free) -> [2 * state]``: slope and jump, of one patient.
        observe: ``(state, free) -> [obs]``, of one patient.
    """
    n, stream = len(state), torch.Generator().manual_seed(0)
    on_state, on_free, shown = torch.zeros(n, n), torch.zeros(n, len(free)), torch.zeros(n)
    for _ in range(PROBES):
        here = (
            state + 0.3 * torch.randn(n, generator=stream).abs(),
            free + 0.1 * torch.randn(len(free), generator=stream),
        )
        by_state, by_free = torch.autograd.functional.jacobian(move, here)
        on_state += by_state.abs().unflatten(0, (2, n)).sum(0)
        on_free += by_free.abs().unflatten(0, (2, n)).sum(0)
        shown += torch.autograd.functional.jacobian(observe, here)[0].abs().sum(0)
    observed = shown > 0
    uncertain = observed | (on_free > 0).any(1)
    for _ in range(n):
        uncertain = uncertain | ((on_state > 0) & uncertain).any(1)
    return Structure(observed, uncertain)
