"""A mechanism inside a neural model is the mechanism: each simulator against the numpy engine."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from simulator_cases import SIMULATORS, configured, doses_for, population_of, timeline_of

from neurotwin.errors import ConfigError
from neurotwin.models.mechanism.grey_box import GreyBox
from neurotwin.simulators.engine import solve
from neurotwin.simulators.geng_nsclc import GengNsclc
from neurotwin.simulators.vancomycin import Vancomycin
from neurotwin.solvers import Rk4, Rows, odesolve

N = 3


def patients(name):
    """A model with the drawn parameters of some patients, and the names of those that are numbers."""
    simulator = configured("simulator", name)
    drawn = population_of(simulator, N).parameters
    scalars = [key for key in drawn if not simulator.parameters[key].shape]
    return replace(simulator, **drawn), scalars


def course(simulator, steps=12):
    """A short course with doses, cut to the model's step."""
    times = np.array([3.0, 7.5, steps]) * simulator.max_step
    doses = doses_for(simulator, N, unit=2 * simulator.max_step)
    return timeline_of(simulator, times, doses, N, max_step=simulator.max_step)


def solved(box, parameters, timeline, dtype, max_step):
    parameters = parameters.to(dtype)
    rows = Rows.of(timeline, dtype=dtype)
    start = torch.zeros(N, dtype=dtype)
    return odesolve(
        box.vector_field,
        box.initial(parameters),
        rows,
        start=start,
        static=start[:, None],
        solver=Rk4(max_step),
        jump=box.jump,
    )


@pytest.mark.parametrize("name", SIMULATORS)
def test_without_a_residual_it_is_the_mechanism(name):
    simulator, free = patients(name)
    timeline, width = course(simulator), len(simulator.states)
    truth = solve(simulator, timeline, method="rk4").final
    scale = np.maximum(np.abs(truth).max(axis=0), 1e-6)
    parameters = torch.from_numpy(np.stack([getattr(simulator, key) for key in free], axis=1))
    # What is drawn but no number (a state, a matrix) is the same for all patients of a grey box.
    others = {
        key: getattr(simulator, key)[0]
        for key, item in simulator.parameters.items()
        if key not in free and np.ndim(getattr(simulator, key)) > len(item.shape)
    }
    base = replace(configured("simulator", name), **others)
    if others:
        truth = solve(replace(simulator, **others), timeline, method="rk4").final
    box = GreyBox(base, free=free)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 2e-3)):
        found = solved(box, parameters, timeline, dtype, simulator.max_step).final[:, :width].numpy()
        assert (np.abs(found - truth) / scale).max() < tolerance, dtype


@pytest.mark.parametrize("name", SIMULATORS)
def test_gradients_reach_every_parameter_of_a_patient(name):
    simulator, free = patients(name)
    parameters = torch.from_numpy(np.stack([getattr(simulator, key) for key in free], axis=1)).requires_grad_()
    box = GreyBox(configured("simulator", name), free=free)
    final = solved(box, parameters, course(simulator, 8), torch.float64, simulator.max_step).final[:, : box.n_state]
    (gradient,) = torch.autograd.grad(final.sum(), parameters)
    assert torch.isfinite(gradient).all() and (gradient != 0).any()


def test_a_residual_adds_to_the_slope_in_the_units_of_the_state():
    class Push(torch.nn.Module):
        def forward(self, told):
            assert told.shape == (N, 2 + 1 + 2)
            return torch.ones(len(told), 2, dtype=told.dtype)

    plain = GreyBox(GengNsclc(), free=["growth_rate"])
    pushed = GreyBox(GengNsclc(), free=["growth_rate"], scale=[10.0, 0.5], residual=Push())
    state = plain.initial(torch.full((N, 1), 0.01))
    t, control = torch.zeros(N), torch.zeros(N, 2)
    difference = pushed.vector_field(t, state, control, t) - plain.vector_field(t, state, control, t)
    torch.testing.assert_close(difference, torch.tensor([[10.0, 0.5, 0.0]]).expand(N, -1))


def test_what_a_mechanism_does_not_have_is_refused():
    with pytest.raises(ConfigError, match="no parameter 'speed' in Vancomycin.*clearance"):
        GreyBox(Vancomycin(), free=["speed"])
    for scale in (None, [1.0]):
        with pytest.raises(ConfigError, match="a residual needs a scale"):
            GreyBox(Vancomycin(), scale=scale, residual=torch.nn.Identity())
