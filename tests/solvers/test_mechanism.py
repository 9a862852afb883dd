"""TorchEngine: what the numpy engine says of every simulator, at its precision, whatever way it computes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from simulator_cases import SIMULATORS, configured, doses_for, population_of, states_at, timeline_of, worst

from neurotwin.errors import SimulationError, SolverError
from neurotwin.simulators.engine import solve
from neurotwin.simulators.geng_nsclc import GengNsclc
from neurotwin.simulators.vancomycin import Vancomycin
from neurotwin.solution import NON_FINITE, OK, OUT_OF_BOUNDS
from neurotwin.solvers import TorchEngine
from neurotwin.solvers.columns import Columns, columnwise
from neurotwin.solvers.kernels import works_on_columns
from neurotwin.solvers.mechanism import _values

N = 5
PACKED = {"tau_network"}
"""Models that multiply the whole state by a matrix."""


def course(name, engine, *, method="rk4", cut=False, seed=0):
    """A short course of some patients: doses, questions anywhere (in one row if not ``cut``)."""
    simulator = configured("simulator", name)
    simulator = replace(simulator, **population_of(simulator, N, seed).parameters)
    step = simulator.max_step
    times = np.sort(np.random.default_rng(seed).uniform(0, 20 * step, 8))
    doses = doses_for(simulator, N, unit=4 * step)
    return states_at(simulator, times, doses, n=N, method=method, max_step=30 * step, cut=cut, engine=engine)


def scaled(states):
    """Largest value of each state."""
    largest = np.nanmax(np.abs(states), axis=(0, 1))
    return np.where(largest > 0, largest, 1.0)


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("name", SIMULATORS)
def test_every_simulator_does_what_it_does_in_numpy(name, cut):
    expected, reference = course(name, None, cut=cut)
    for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-4)):
        states, solution = course(name, TorchEngine(dtype), cut=cut)
        assert np.array_equal(solution.status, reference.status), dtype
        assert np.array_equal(solution.clock, reference.clock)
        well = solution.status == OK
        assert (np.abs(states - expected) / scaled(expected))[well].max(initial=0) < tolerance, dtype
        assert np.isnan(solution.final[~well]).all()
        final = np.abs(solution.final - reference.final) / scaled(expected)
        assert final[well].max(initial=0) < tolerance, dtype
        assert states.dtype == np.float64


@pytest.mark.parametrize("name", SIMULATORS)
def test_closed_forms_are_those_of_numpy(name):
    if not configured("simulator", name).has_closed_form:
        return
    expected, _ = course(name, None, method="auto")
    states, _ = course(name, TorchEngine(), method="auto")
    assert (np.abs(states - expected) / scaled(expected)).max() < 1e-12


@pytest.mark.parametrize("name", SIMULATORS)
def test_equations_run_on_columns(name):
    simulator = configured("simulator", name)
    simulator = replace(simulator, **population_of(simulator, N).parameters)
    state = torch.as_tensor(np.ascontiguousarray(np.asarray(simulator.initial_state(N)).T))
    control = torch.zeros(len(simulator.treatments), N, dtype=torch.float64)
    found = works_on_columns(simulator, *_values(simulator, TorchEngine()), state, control)
    assert found == (name not in PACKED)


@pytest.mark.full
def test_compiled_it_says_the_same_for_any_number_of_patients():
    engine = TorchEngine(compiled=True)
    for n in (3, 40):
        simulator = replace(GengNsclc(), **population_of(GengNsclc(), n).parameters)
        doses, times = doses_for(simulator, n), [0.3, 1.0, 2.5, 7.0]
        how = {"n": n, "method": "rk4", "max_step": 8.0, "cut": n == 3}
        expected, _ = states_at(simulator, times, doses, **how)
        states, _ = states_at(simulator, times, doses, engine=engine, **how)
        assert worst(states, expected) < 1e-12


@pytest.mark.parametrize("engine", [TorchEngine(), TorchEngine("float32")], ids=["float64", "float32"])
def test_faults_are_marked_and_stay_with_their_patient(engine):
    class Faulty(GengNsclc):
        """Not a number where growth_rate > 0.5, falls below 0 where chemo_half_life > 50."""

        def vector_field(self, t, state, control):
            xp = array_namespace(state)
            volume, concentration = xp.unstack(state, axis=-1)
            grows = xp.where(self.growth_rate > 0.5, xp.log(-volume), 0 * volume)
            return xp.stack([grows, xp.where(self.chemo_half_life > 50, -1 + 0 * volume, 0 * volume)], axis=-1)

    model = Faulty(growth_rate=np.array([0.1, 0.9, 0.1]), chemo_half_life=np.array([1.0, 1.0, 60.0]))
    expected, reference = states_at(model, [0.01, 3.0, 5.0], n=3, method="rk4", max_step=8.0)
    states, solution = states_at(model, [0.01, 3.0, 5.0], n=3, method="rk4", max_step=8.0, engine=engine)
    assert reference.status.tolist() == [OK, NON_FINITE, OUT_OF_BOUNDS]
    assert solution.status.tolist() == reference.status.tolist()
    assert np.isnan(states[1:, 1:]).all() and np.isnan(solution.final[1:]).all()
    np.testing.assert_allclose(states[0], expected[0], rtol=1e-6)


def test_one_more_query_changes_no_other_answer():
    rng, model = np.random.default_rng(3), Vancomycin(initial_central=500.0)
    times, doses = np.sort(rng.uniform(0, 10, 7)), doses_for(Vancomycin(), 2)
    how = {"n": 2, "method": "rk4", "max_step": 12.0, "cut": False, "engine": TorchEngine()}
    few, _ = states_at(model, times[::3], doses, **how)
    more, _ = states_at(model, times, doses, **how)
    assert np.array_equal(few, more[:, ::3])


def test_what_the_engine_cannot_do_is_refused():
    timeline = timeline_of(GengNsclc(), [1.0])
    with pytest.raises(SimulationError, match="lsoda.*TorchEngine.*auto | closed_form | rk4"):
        solve(GengNsclc(), timeline, method="lsoda", engine=TorchEngine())
    with pytest.raises(SolverError, match="dtype 'float16'.*float64 | float32"):
        TorchEngine("float16")
    with pytest.raises(SolverError, match="device 'tpu9'"):
        TorchEngine(device="tpu9")


def test_columns_are_an_array_to_the_equations():
    packed = torch.rand(4, 3, dtype=torch.float64) + 0.5
    columns, row = Columns(packed.unbind(-1)), torch.rand(4, dtype=torch.float64)
    xp = array_namespace(columns)

    def packed_of(item):
        return torch.stack(item.columns, dim=-1)

    weight = torch.rand(4, 1, dtype=torch.float64)
    pairs = [
        (2 - columns / 3 + 1, 2 - packed / 3 + 1),
        (-((weight * columns) ** 2), -((weight * packed) ** 2)),
        (1 / columns - packed, 1 / packed - packed),
        (columns[..., 1:], packed[..., 1:]),
        (xp.where(weight > 0.5, columns, 0.0), torch.where(weight > 0.5, packed, 0.0)),
        (xp.exp(columns), packed.exp()),
        (xp.stack([row, columns[..., 2]], axis=-1), torch.stack([row, packed[..., 2]], dim=-1)),
    ]
    for mine, theirs in pairs:
        assert torch.equal(packed_of(mine), theirs)
    assert columns.shape == (4, 3) and columns.dtype == torch.float64 and columns.device == packed.device
    assert torch.equal(columns[:, 0], packed[:, 0]) and torch.equal(xp.log(row), row.log())
    assert torch.equal(xp.unstack(packed, axis=-1)[1], packed[:, 1]) and math.isclose(
        float(xp.abs(row[0])), float(row[0])
    )
    for wrong in (lambda: columns[0], lambda: columns[..., None], lambda: list(columns), lambda: columns + row):
        with pytest.raises(TypeError, match="columns"):
            wrong()
    assert isinstance(columnwise(torch.add, columns, columns), Columns)
