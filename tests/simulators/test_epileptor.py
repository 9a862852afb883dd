"""The Epileptor against the reference software, its seizures, and what stops and starts them."""

from dataclasses import replace

import numpy as np
import pytest
from simulator_cases import golden, reference, states_at, worst

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.simulators.epileptor import WINDOW, Epileptor, lfp, resting_fast, seizures

CHANGE, STIMULATION = 0, 1
EPISODES = [[14, 861], [1844, 2794], [3778, 4000]]


def column_error(states, theirs):
    """Largest error of any column in units of that column's largest value."""
    return max(worst(mine, other) for mine, other in zip(states.T, np.asarray(theirs).T, strict=True))


def error(model, n, method="dop853", **more):
    theirs = golden("epileptor.json")
    states, solution = states_at(model, np.asarray(theirs["time"][:n]), method=method, **more)
    assert not solution.status.any()
    return column_error(states[0], theirs["states"][:n])


@pytest.mark.parametrize(("method", "tolerance"), [("dop853", 1e-6), ("lsoda", 1e-6), ("rk4", 1e-3)])
def test_states_match_the_reference(method, tolerance):
    assert error(Epileptor(), 14, method) < tolerance


@pytest.mark.parametrize("name", [key for key in Epileptor.parameters if not key.startswith("initial")])
def test_the_reference_notices_a_wrong_parameter(name):
    late = name == "ictal_slope"  # first felt when x1 rises above 0
    wrong = getattr(Epileptor(), name) * 1.001 + 1e-3 * late
    assert error(Epileptor(**{name: wrong}), 9 if late else 5) > 3e-7


def slope_by_hand(model, state):
    """The equations once more, in plain Python."""
    x1, y1, z, x2, y2, g = state
    f1 = x1**3 - 3 * x1**2 if x1 < 0 else (x2 - 0.6 * (z - 4) ** 2 - model.ictal_slope) * x1
    f2 = 0 if x2 < -0.25 else 6 * (x2 + 0.25)
    seventh = 0.1 * z**7 if z < 0 else 0
    return [
        y1 - f1 - z + 3.1,
        1 - 5 * x1**2 - y1,
        0.00035 * (4 * (x1 + 1.6) - z - seventh),
        -y2 + x2 - x2**3 + 0.45 + 2 * g - 0.3 * (z - 3.5),
        (-y2 + f2) / 10,
        -0.01 * (g - 0.1 * x1),
    ]


def test_each_branch_of_the_slope():
    """The seventh power acts below z = 0, wherever x1 is: the reference software's help text says otherwise."""
    model, rng = Epileptor(ictal_slope=0.7), np.random.default_rng(0)
    for signs in np.ndindex(2, 2, 2):
        state = rng.uniform(0.3, 1.5, 6)
        state[[0, 2, 3]] *= 1 - 2 * np.array(signs)
        mine = model.vector_field(np.zeros(1), state[None], np.zeros((1, 2)))[0]
        np.testing.assert_allclose(mine, slope_by_hand(model, state), rtol=1e-13)


def test_a_long_stretch_matches_the_reference():
    table = np.genfromtxt(
        reference("brain_epileptor_jirsa2014_tvb/seizure_x0-1.6.csv"), delimiter=",", names=True, max_rows=100
    )
    states, _ = states_at(Epileptor(), table["t"], method="lsoda")
    assert column_error(states[0], np.stack([table[name] for name in table.dtype.names[1:7]], axis=1)) < 1e-6
    assert worst(lfp(states[0]), table["lfp_x2_minus_x1"]) < 1e-6


@pytest.mark.full
@pytest.mark.parametrize(
    # The calmer one has its only seizure in the first quarter. Its reference was sampled every other unit.
    ("excitability", "until", "expected", "every"),
    [("-1.6", 4000, EPISODES, 1), ("-2.2", 1000, [[14, 528]], 2)],
)
def test_a_whole_course_matches_the_reference(excitability, until, expected, every):
    model, times = Epileptor(excitability=float(excitability)), np.arange(until + 1.0)
    states, _ = states_at(model, times, method="dop853")
    printed = list(golden("epileptor.json")["end"][excitability].values())[: until // 1000]
    assert column_error(states[0, 1000::1000], printed) < 1e-6
    assert seizures(times[::every], states[0, ::every, 0], level=0.0).tolist() == expected
    coarse, _ = states_at(model, times, method="rk4")
    assert np.abs(seizures(times, coarse[0, :, 0], level=0.0) - expected).max() <= 1
    if excitability == "-1.6":
        whole = reference("brain_epileptor_jirsa2014_tvb/seizure_x0-1.6.csv")
        table = np.genfromtxt(whole, delimiter=",", names=True)
        theirs = np.stack([table[name] for name in table.dtype.names[1:7]], axis=1)
        assert column_error(states[0], theirs) < 1e-6
        assert worst(coarse[0, :, 2], theirs[:, 2]) < 1e-4


def test_seizures_of_the_reference_run():
    table = np.genfromtxt(
        reference("brain_epileptor_jirsa2014_tvb/seizure_x0-1.6.csv"), delimiter=",", names=True, usecols=(0, 1)
    )
    assert seizures(table["t"], table["x1"], level=0.0).tolist() == EPISODES
    begin, end = seizures(table["t"], table["x1"]).T  # at the level between rest and seizure: earlier, and later
    assert (begin <= [14, 1844, 3778]).all() and (end >= [861, 2794, 4000]).all()


def test_seizures_of_a_made_up_course():
    time = np.arange(0.0, 300.0)
    fast = np.where((time >= 20) & (time <= 60) & (time != 40), 0.5, -1.7)
    fast[200:250:10] = 0.1
    assert seizures(time, fast).tolist() == [[20, 60], [200, 240]]
    assert seizures(time, fast, shortest_pause=5.0).shape == (6, 2)
    assert seizures(time, fast, level=0.3).tolist() == [[20, 60]]
    assert seizures(time, -2 + 0 * fast).shape == (0, 2)


def test_the_variables_of_a_window():
    states = np.zeros((1, WINDOW.samples, 6))
    phase = np.arange(WINDOW.samples)
    states[0, :, 0] = np.where(phase < 40, -0.5, -1.5)
    states[0, :, 3] = states[0, :, 0] + phase % 2
    states[0, -1, 2] = 3.3
    amplitude, line_length, share, permittivity = Epileptor().observe(states)[0]
    assert (amplitude, line_length, permittivity) == pytest.approx((1.0, 1.0, 3.3))
    assert share == pytest.approx(40 / 101)


def test_treatments_are_shifts_that_add_up():
    times, model = np.array([3.0, 8.0]), Epileptor()
    always = ([0.0, 0.0], [8.0, 8.0])
    for treatment, amounts, same in (
        (CHANGE, [-0.25, -0.35], Epileptor(excitability=-2.2)),
        (STIMULATION, [0.7, -0.2], Epileptor(fast_current=3.6)),
    ):
        doses = Doses.of([0, 0], *always, [treatment, treatment], amounts)
        one = Doses.of([0], [0.0], [8.0], [treatment], [sum(amounts)])
        expected, _ = states_at(same, times)
        np.testing.assert_allclose(states_at(model, times, doses)[0], expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(states_at(model, times, one)[0], expected, rtol=1e-9, atol=1e-12)
        assert column_error(states_at(model, times)[0][0], expected[0]) > 1e-3


def at_rest(n, above_fold, **more):
    permittivity = 3.1 + 1 - 32 / 27 + above_fold
    fast = resting_fast(permittivity, 3.1)
    start = {"initial_fast": fast, "initial_recovery": 1 - 5 * fast**2, "initial_permittivity": permittivity}
    more |= {"initial_spike_wave": -1.0, "initial_filtered": 0.1 * fast}
    return Epileptor(**start, **{key: np.broadcast_to(value, (n,)).astype(float) for key, value in more.items()})


def test_what_starts_and_what_prevents_a_seizure():
    """Four brains with a slow variable ten times faster: epileptic; below the threshold; epileptic with a drug that
    takes it below; below, with one pulse of stimulation."""
    model = at_rest(4, 0.15, excitability=[-1.6, -2.15, -1.6, -2.15], permittivity_rate=0.0035)
    doses = Doses.of([2, 3], [0.0, 40.0], [150.0, 60.0], [CHANGE, STIMULATION], [-0.55, 1.0])
    times = np.arange(0.0, 151.0, 1.0)
    states, solution = states_at(model, times, doses, n=4)
    assert not solution.status.any()
    first = [seizures(times, states[subject, :, 0])[:1, 0].tolist() for subject in range(4)]
    assert first[1] == first[2] == [] and first[0][0] < 100 and 40 <= first[3][0] <= 60, first


def test_the_resting_branch():
    current = np.array([2.9, 3.1, 3.3])
    end = 1 + current - 32 / 27
    for above in (0.02, 0.1, 1.0, 1.2):
        x = resting_fast(end + above, current)
        assert (x < -4 / 3).all()
        np.testing.assert_allclose(x**3 + 2 * x**2, 1 + current - (end + above), atol=1e-9)


def test_the_population_starts_at_rest():
    model = Epileptor()
    people = model.proposed_population(2000, np.random.default_rng(2))
    ranges = {"excitability": (-2.2, -1.6), "permittivity_rate": (2e-4, 6e-4), "fast_current": (2.9, 3.3)}
    for name, (low, high) in ranges.items():
        values = people.parameters[name]
        assert low <= values.min() < low + 0.02 * (high - low) and high - 0.02 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, rel=0.02)
    drawn = replace(model, **people.parameters)
    slope = drawn.vector_field(np.zeros(2000), drawn.initial_state(2000), np.zeros((2000, 2)))
    assert np.abs(slope[:, [0, 1, 5]]).max() < 1e-6 and (drawn.initial_fast < -4 / 3).all()
    shifted = Epileptor(excitability=-2.0).proposed_population(100, np.random.default_rng(2))
    assert shifted.parameters["excitability"].max() <= -2.0
    with pytest.raises(SimulationError, match="initial_permittivity is set to 3.5"):
        Epileptor(initial_permittivity=3.5).proposed_population(1, np.random.default_rng(0))


def test_bad_input_is_refused():
    with pytest.raises(SimulationError, match=r"excitability = 2 1.*\n?.*-5 to 1"):
        Epileptor(excitability=2.0)
    doses = Doses.of([0, 0], [0.0, 0.0], [9.0, 9.0], [STIMULATION, STIMULATION], [2.0, 2.0])
    with pytest.raises(SimulationError, match="stimulation = 4 1.*-3 to 3"):
        states_at(Epileptor(), [5.0], doses)
