"""The neural mass of Jansen and Rit against the reference software, its rhythms, and what changes them."""

from dataclasses import replace

import numpy as np
import pytest
from simulator_cases import golden, reference, states_at, worst

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.simulators.jansen_rit import WINDOW, JansenRit, eeg

DRUG, ANAESTHESIA, STIMULATION = range(3)
PAPER = JansenRit(firing_threshold=6.0)


def column_error(states, theirs):
    """Largest error of any column in units of that column's largest value."""
    return max(worst(mine, other) for mine, other in zip(states.T, np.asarray(theirs).T, strict=True))


def error(model, n, method="dop853", **more):
    theirs = golden("jansen_rit.json")
    states, solution = states_at(model, np.asarray(theirs["time"][:n]), method=method, **more)
    assert not solution.status.any()
    return column_error(states[0], theirs["states"][:n])


@pytest.mark.parametrize(("method", "tolerance"), [("dop853", 1e-8), ("rk4", 1e-6)])
def test_states_match_the_reference(method, tolerance):
    assert error(PAPER, None, method) < tolerance


@pytest.mark.parametrize("name", [key for key in JansenRit.parameters if not key.startswith("initial")])
def test_the_reference_notices_a_wrong_parameter(name):
    assert error(replace(PAPER, **{name: getattr(PAPER, name) * 1.0001}), 4) > 1e-7
    assert error(JansenRit(), 4) > 1e-2  # the threshold of the reference software, not of the paper


@pytest.mark.parametrize("name", ["alpha_mu0.22", "mu0.12", "spike_wave_A3.58_mu0.09", "v0_6_classic_mu0.22"])
def test_four_rhythms_match_the_reference(name):
    """Printed to eight digits."""
    theirs = golden("jansen_rit.json")["scenarios"][name]
    states, _ = states_at(JansenRit(**theirs["parameters"]), theirs["time"], method="lsoda")
    assert column_error(states[0], theirs["states"]) < 1e-6
    assert worst(eeg(states[0]), theirs["eeg"]) < 1e-6


@pytest.mark.full
def test_the_whole_course_matches_the_reference():
    table = np.genfromtxt(reference("brain_jansenrit_tvb/v0_6_classic_mu0.22.csv"), delimiter=",", names=True)
    theirs = np.stack([table[name] for name in table.dtype.names[1:7]], axis=1)
    for method, tolerance in (("dop853", 1e-8), ("rk4", 1e-6)):
        states, _ = states_at(PAPER, table["t_ms"], method=method)
        assert column_error(states[0], theirs) < tolerance
        assert worst(eeg(states[0]), table["eeg_y1_minus_y2_mV"]) < tolerance


def observed(model, n=1, doses=None, end=2500.0):
    """Variables at ``end``."""
    times = np.linspace(end - WINDOW.length, end, WINDOW.samples)
    states, solution = states_at(model, times, doses, n=n)
    assert not solution.status.any()
    return model.observe(states), states


def test_the_threshold_decides_the_rhythm():
    """5.52 mV, as in the reference software: 7 Hz, 9.7 mV. 6 mV, as in the paper: alpha of 11 Hz, 3.3 mV."""
    both = JansenRit(firing_threshold=np.array([5.52, 6.0]))
    variables, states = observed(both, n=2, end=2000.0)
    swing = np.ptp(eeg(states)[:, WINDOW.samples // 2 :], axis=1)  # of the last second
    assert swing == pytest.approx([9.7, 3.3], abs=0.1)
    assert variables[:, 1] == pytest.approx([7.0, 11.0], abs=0.3)


@pytest.mark.parametrize("hertz", [2.0, 2.6, 3.1, 6.8, 10.9, 17.3, 29.0])
def test_amplitude_and_frequency_of_a_sine(hertz):
    seconds = np.linspace(0, WINDOW.length / 1000, WINDOW.samples)
    phase = np.linspace(0, 2 * np.pi, 7)[:, None]
    states = np.zeros((7, WINDOW.samples, 6))
    states[..., 1] = 8 + 1.5 * np.sin(2 * np.pi * hertz * seconds + phase)
    amplitude, frequency = JansenRit().observe(states).T
    assert amplitude == pytest.approx(np.full(7, 3.0), rel=0.11)
    assert frequency == pytest.approx(np.full(7, hertz), abs=0.06)


def test_without_a_rhythm_the_frequency_is_zero():
    states = np.ones((2, WINDOW.samples, 6))
    states[1, :, 1] += 1e-5 * np.sin(np.arange(WINDOW.samples))
    assert (JansenRit().observe(states) < 1e-3).all()


def test_treatments_change_parameters_and_add_up():
    times = np.array([30.0, 80.0])
    for treatment, amounts, same in (
        (DRUG, [0.3, -0.1], JansenRit(inhibitory_gain=22 * 1.2)),
        (ANAESTHESIA, [0.2, 0.1], JansenRit(inhibitory_rate=0.05 / 1.3)),
        (STIMULATION, [0.1, -0.03], JansenRit(input_rate=0.29)),
    ):
        expected, _ = states_at(same, times)
        two = Doses.of([0, 0], [0.0, 0.0], [80.0, 80.0], [treatment] * 2, amounts)
        one = Doses.of([0], [0.0], [80.0], [treatment], [sum(amounts)])
        for doses in (one, two):
            np.testing.assert_allclose(states_at(JansenRit(), times, doses)[0], expected, rtol=1e-9, atol=1e-12)
        assert column_error(states_at(JansenRit(), times)[0][0], expected[0]) > 1e-3


def test_drugs_slow_the_rhythm_and_strong_stimulation_ends_it():
    doses = Doses.of([1, 2, 3], [0.0] * 3, [2500.0] * 3, [DRUG, ANAESTHESIA, STIMULATION], [0.3, 0.4, 0.4])
    (amplitude, frequency), _ = (item.T for item in observed(JansenRit(input_rate=np.full(4, 0.22)), 4, doses))
    assert frequency[1] < frequency[0] - 1 and frequency[2] < frequency[0] - 2
    assert amplitude[2] > 1.5 * amplitude[0]
    assert amplitude[3] < 0.2 * amplitude[0]


def test_ranges_of_the_population():
    people = JansenRit().proposed_population(4000, np.random.default_rng(1))
    replace(JansenRit(), **people.parameters)
    assert people.parameters["input_rate"].mean() == pytest.approx(0.22, abs=0.002)
    for name in ("excitatory_gain", "inhibitory_gain", "excitatory_rate", "inhibitory_rate", "connectivity"):
        share = people.parameters[name] / getattr(JansenRit(), name)
        assert 0.9 <= share.min() < 0.902 and 1.098 < share.max() <= 1.1
    with pytest.raises(SimulationError, match="input_rate is set to 0.1"):
        JansenRit(input_rate=0.1).proposed_population(1, np.random.default_rng(0))


def test_bad_input_is_refused():
    with pytest.raises(SimulationError, match=r"inhibitory_gain = 500 mV.*0.1 to 200"):
        JansenRit(inhibitory_gain=500.0)
    with pytest.raises(SimulationError, match="anaesthesia = 1.2 1.*0 to 1"):
        states_at(JansenRit(), [5.0], Doses.of([0], [0.0], [9.0], [ANAESTHESIA], [1.2]))
