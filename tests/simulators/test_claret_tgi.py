"""Tumour growth inhibition: closed form, reference values, and a drug effect that fades with time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from simulator_cases import configured, golden, reference, states_at, worst

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.simulators.claret_tgi import LARGEST_UNTREATED, VARIANCES, YEAR, ClaretTgi
from neurotwin.simulators.population import Proposed
from neurotwin.simulators.simulate import simulate

UNTIL_24 = Doses.of([0], [0.0], [24.0], [0], 3.0)


def closed(t, start=0.0, stop=24.0, exposure=3.0, growth=0.021, kill=0.025, fading=0.053, size=60.0):
    """The published closed form, for one period of exposure."""
    t = np.asarray(t, dtype=float)
    begun, ended = np.clip(t, 0, start), np.clip(t, 0, stop)
    return size * np.exp(growth * t - kill * exposure / fading * (np.exp(-fading * begun) - np.exp(-fading * ended)))


@pytest.mark.parametrize(
    ("method", "tolerance"), [("closed_form", 1e-13), ("dop853", 1e-9), ("lsoda", 1e-7), ("rk4", 1e-8)]
)
def test_the_course_is_the_published_closed_form(method, tolerance):
    times = np.arange(0.0, 52.25, 0.25)
    states, solution = states_at(ClaretTgi(), times, UNTIL_24, method=method)
    assert not solution.status.any() and worst(states[0, :, 0], closed(times)) < tolerance


@pytest.mark.parametrize("method", ["closed_form", "dop853"])
def test_printed_values(method):
    rows = np.array(golden("claret_tgi.json")["printed"]["dose24wk"])
    states, _ = states_at(ClaretTgi(), rows[:, 0], UNTIL_24, method=method)
    np.testing.assert_allclose(states[0, :, 0], rows[:, 1], rtol=2e-8)  # eight digits are printed


@pytest.mark.parametrize("name", sorted(ClaretTgi.parameters))
def test_the_reference_notices_a_wrong_parameter(name):
    rows = np.array(golden("claret_tgi.json")["printed"]["dose24wk"])
    wrong = replace(ClaretTgi(), **{name: getattr(ClaretTgi(), name) * 1.001})
    assert worst(states_at(wrong, rows[:, 0], UNTIL_24)[0][0, :, 0], rows[:, 1]) > 1e-4


def test_the_reference_notices_a_constant_in_days():
    """The public file declares days; read so, growth would be seven times as fast."""
    rows = np.array(golden("claret_tgi.json")["printed"]["dose24wk"])
    wrong = ClaretTgi(growth_rate=7 * 0.021, kill_rate=7 * 0.025, resistance_rate=7 * 0.053)
    assert worst(states_at(wrong, rows[:, 0], UNTIL_24)[0][0, :, 0], rows[:, 1]) > 1


def test_the_whole_course_matches_the_reference():
    table = np.genfromtxt(reference("tumor_tgi_claret2009/dose24wk.csv"), delimiter=",", names=True)
    assert worst(states_at(ClaretTgi(), table["t_week"], UNTIL_24)[0][0, :, 0], table["y_mm"]) < 1e-8


def test_exposure_at_any_times_and_overlapping():
    doses = Doses.of([0, 0, 0], [3.0, 9.5, 11.0], [7.0, 13.0, 20.0], [0] * 3, [2.0, 1.0, 4.0])
    times = np.array([0.0, 2.0, 5.0, 9.0, 12.0, 19.0, 40.0])
    states, _ = states_at(ClaretTgi(), times, doses)
    expected = closed(times, 3.0, 7.0, 2.0) * closed(times, 9.5, 13.0, 1.0) * closed(times, 11.0, 20.0, 4.0)
    expected /= (60 * np.exp(0.021 * times)) ** 2  # growth and size are in each factor
    np.testing.assert_allclose(states[0, :, 0], expected, rtol=1e-12)


def test_the_same_state_goes_on_differently_later():
    model, exposed = ClaretTgi(), np.array([[3.0]])
    early, late = (model.propagate(np.array([t]), np.ones(1), np.array([[50.0]]), exposed)[0, 0] for t in (0.0, 40.0))
    assert early < 50 < late
    np.testing.assert_allclose(late, 50 * closed(41.0, size=1, stop=99) / closed(40.0, size=1, stop=99), rtol=1e-12)


@given(
    growth=st.floats(0, 0.5),
    kill=st.floats(0, 1),
    fading=st.floats(0, 2),
    exposure=st.floats(0, 10),
    begin=st.floats(0, 60),
    span=st.floats(0, 60),
    split=st.floats(0, 1),
)
def test_two_stretches_are_one(growth, kill, fading, exposure, begin, span, split):
    model = ClaretTgi(growth_rate=growth, kill_rate=kill, resistance_rate=fading)
    state, control = np.array([[60.0]]), np.array([[exposure]])
    once = model.propagate(np.array([begin]), np.array([span]), state, control)
    half = model.propagate(np.array([begin]), np.array([split * span]), state, control)
    twice = model.propagate(np.array([begin + split * span]), np.array([span - split * span]), half, control)
    np.testing.assert_allclose(twice, once, rtol=1e-9, atol=1e-200)


def test_an_effect_that_does_not_fade():
    states, _ = states_at(ClaretTgi(resistance_rate=0.0), [10.0], UNTIL_24)
    assert states[0, 0, 0] == pytest.approx(60 * np.exp((0.021 - 0.075) * 10), rel=1e-13)


def test_population():
    n = 20_000
    people = ClaretTgi().proposed_population(n, np.random.default_rng(1)).parameters
    for name in ("kill_rate", "resistance_rate"):  # who is drawn again depends on growth and size only
        eta = np.log(people[name] / getattr(ClaretTgi(), name))
        assert stats.kstest(eta / np.sqrt(VARIANCES[name]), "norm").pvalue > 1e-3, name
    grown = people["initial_size"] * np.exp(people["growth_rate"] * YEAR)
    assert grown.max() <= LARGEST_UNTREATED < grown.max() * 1.1
    assert np.median(people["growth_rate"]) == pytest.approx(0.0187, abs=5e-4)
    one = ClaretTgi().proposed_population(1, np.random.default_rng(1)).parameters
    assert all(value.shape == (1,) for value in one.values())


@pytest.mark.parametrize("protocol", ["exposure_24_weeks", "exposure_by_size", "exposure_randomised"])
def test_protocols(protocol):
    cohort = simulate(ClaretTgi(), Proposed(), configured("protocol", protocol), n_subjects=50, seed=1)
    assert len(cohort) == 50 and len(cohort.doses) >= 50


def test_bad_input_is_named():
    with pytest.raises(SimulationError, match="resistance_rate = -1 /wk.*0 to 5 /wk"):
        ClaretTgi(resistance_rate=-1.0)
    with pytest.raises(SimulationError, match="exposure = 25 1.*0 to 20"):
        states_at(ClaretTgi(), [1.0], Doses.of([0], [0.0], [1.0], [0], 25.0))
