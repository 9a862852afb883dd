"""Warfarin and prothrombin activity against reference values made by another solver, its treatments and population."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from simulator_cases import golden, reference, states_at, worst

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.simulators.warfarin import BETWEEN_SUBJECTS, Warfarin

WARFARIN, INHIBITION, VITAMIN_K = 0, 1, 2


def oral(times, amount):
    return Doses.of(np.zeros(len(times)), times, np.nan, WARFARIN, amount)


def held(begin, end, treatment, level):
    return Doses.of([0], begin, end, treatment, level)


COURSES = {
    "single": oral([0.0], 100.0),
    "daily": oral(24.0 * np.arange(14), 5.0),
    "interaction": Doses.concatenate(oral(24.0 * np.arange(20), 5.0), held(240.0, 360.0, INHIBITION, 1.0)),
}
# Largest values of the columns over the whole courses, where the few rows at hand do not reach them.
SCALES = {"depot": 5.0, "gut": 2.0, "centre": 10.0}


def errors(model, name, method="closed_form", **more):
    theirs = golden("warfarin.json")[name]
    states, solution = states_at(model, np.array(theirs["time"]), COURSES[name], method=method, **more)
    assert not solution.status.any()
    columns = {item.name: states[0, :, index] for index, item in enumerate(model.states)}
    columns["concentration"] = model.observe(states[0])[:, 0]
    error = {}
    for key, values in theirs.items():
        if key != "time":
            scale = max(np.abs(values).max(), SCALES.get(key, 0.0))
            error[key] = np.abs(columns[key] - values).max() / scale
    return error


@pytest.mark.parametrize(
    ("method", "tolerance"), [("closed_form", 1e-10), ("dop853", 1e-10), ("lsoda", 1e-8), ("rk4", 1e-6)]
)
def test_a_single_dose_matches_the_reference(method, tolerance):
    assert max(errors(Warfarin(), "single", method).values()) < tolerance


@pytest.mark.parametrize("name", ["daily", "interaction"])
@pytest.mark.parametrize("method", ["closed_form", "dop853"])
def test_daily_doses_and_an_interaction_match_the_reference(name, method):
    """The reference has eight digits."""
    assert max(errors(Warfarin(), name, method).values()) < 5e-8


@pytest.mark.parametrize("parameter", list(BETWEEN_SUBJECTS))
def test_the_reference_notices_a_wrong_parameter(parameter):
    wrong = Warfarin(**{parameter: getattr(Warfarin(), parameter) * 1.0001})
    assert max(errors(wrong, "single").values()) > 1e-6


def test_the_reference_notices_a_missing_interaction(monkeypatch):
    monkeypatch.setitem(COURSES, "interaction", oral(24.0 * np.arange(20), 5.0))
    assert max(errors(Warfarin(), "interaction").values()) > 0.1


def test_the_whole_course_matches_the_reference():
    table = np.genfromtxt(reference("organ_pkpd_warfarin/single_100mg.csv"), delimiter=",", names=True)[1:]
    states, _ = states_at(Warfarin(), table["t_h"], COURSES["single"])
    for index, column in enumerate(("depot_mg", "gut_mg", "center_mg", "PCA_pct")):
        assert worst(states[0, :, index], table[column]) < 1e-10, column
    assert worst(Warfarin().observe(states[0])[:, 0], table["Cp_mg_L"]) < 1e-10
    assert table["Cp_mg_L"].argmax() == 11 and table["PCA_pct"].argmin() == 120  # 6 h and 60.5 h


def test_extremes_of_the_single_dose():
    states, _ = states_at(Warfarin(), [6.0, 60.5, 240.0], COURSES["single"])
    concentration, activity = Warfarin().observe(states[0]).T
    assert concentration[0] == pytest.approx(11.5876, abs=5e-5)
    assert activity[1:] == pytest.approx([19.3091, 73.1265], abs=5e-5)


def test_halving_the_clearance_raises_the_concentration_and_lowers_the_activity():
    states, _ = states_at(Warfarin(), [240.0, 360.0], COURSES["interaction"])
    concentration, activity = Warfarin().observe(states[0]).T
    assert concentration == pytest.approx([1.310, 2.322], abs=5e-4)
    assert activity == pytest.approx([40.66, 30.56], abs=5e-3)


def test_concentrations_are_the_sum_of_three_exponentials():
    """The textbook formula for three different rates, against the adaptive solver."""
    model, time = Warfarin(), np.linspace(0.5, 240, 60)
    rates = np.array([model.transit_rate, model.absorption_rate, model.clearance / model.volume])
    total = np.zeros_like(time)
    for index, rate in enumerate(rates):
        total += np.exp(-rate * time) / np.prod(np.delete(rates, index) - rate)
    expected = 100.0 * rates[0] * rates[1] * total / model.volume
    states, _ = states_at(model, time, COURSES["single"], method="dop853", rtol=1e-12, atol=1e-13)
    assert np.abs(model.observe(states[0])[:, 0] - expected).max() < 5e-10
    exact, _ = states_at(model, time, COURSES["single"])
    assert np.abs(model.observe(exact[0])[:, 0] - expected).max() < 1e-12


@given(
    transit=st.floats(1e-2, 200),
    absorption=st.floats(1e-2, 200),
    clearance=st.floats(0.02, 1.0),
    turnover=st.floats(0.01, 0.3),
    half_effect=st.floats(0.1, 5.0),
    split=st.floats(0, 1),
    span=st.floats(0, 300),
)
def test_two_stretches_are_one(transit, absorption, clearance, turnover, half_effect, split, span):
    model = Warfarin(transit, absorption, clearance, 8.0, 0.97, half_effect, turnover)
    state, none, t = np.array([[50.0, 20.0, 5.0, 60.0]]), np.zeros((1, 3)), np.zeros(1)
    once = model.propagate(t, np.array([span]), state, none)
    first = model.propagate(t, np.array([split * span]), state, none)
    twice = model.propagate(t, np.array([span - split * span]), first, none)
    np.testing.assert_allclose(twice, once, rtol=0, atol=1e-8)


@pytest.mark.parametrize("gap", [0.0, 1e-15, 1e-9, 1e-6, 1e-3])
def test_the_closed_form_where_rates_are_nearly_equal(gap):
    """Three rates that are (almost) one: amounts are those of a gamma distribution."""
    model = Warfarin(0.5, 0.5 * (1 + gap), 4.0, 8.0 * (1 + 2 * gap))
    state, t = np.array([[100.0, 0.0, 0.0, 90.0]]), np.array([3.0])
    end = model.propagate(np.zeros(1), t, state, np.zeros((1, 3)))[0]
    expected = 100 * np.exp(-1.5) * np.array([1.0, 1.5, 1.5**2 / 2])
    np.testing.assert_allclose(end[:3], expected, rtol=1e-10 + 3 * gap)


def test_the_closed_form_has_gradients_where_rates_are_equal():
    rate = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    model = Warfarin(transit_rate=rate, absorption_rate=rate)
    state = torch.tensor([[100.0, 5.0, 1.0, 90.0]], dtype=torch.float64, requires_grad=True)
    zero, time = torch.zeros(1, dtype=torch.float64), torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    model.propagate(zero, time, state, torch.zeros((1, 3), dtype=torch.float64)).sum().backward()
    assert all(torch.isfinite(item.grad).all() for item in (rate, state, time))


def test_inhibitors_add_up():
    """Two inhibitors with u = 0.5 are one with u = 1, and half the clearance."""
    two = Doses.concatenate(COURSES["single"], held(0.0, 100.0, INHIBITION, 0.5), held(0.0, 100.0, INHIBITION, 0.5))
    one, _ = states_at(Warfarin(), [50.0, 100.0], two)
    half, _ = states_at(Warfarin(clearance=Warfarin().clearance / 2), [50.0, 100.0], COURSES["single"])
    np.testing.assert_allclose(one, half, rtol=1e-12)


def test_vitamin_k_shifts_the_half_effect_concentration():
    doses = Doses.concatenate(COURSES["single"], held(0.0, 100.0, VITAMIN_K, 1.0), held(0.0, 100.0, VITAMIN_K, 2.0))
    shifted, _ = states_at(Warfarin(), [50.0, 100.0], doses)
    plain = Warfarin(half_effect_concentration=4 * Warfarin().half_effect_concentration)
    expected, _ = states_at(plain, [50.0, 100.0], COURSES["single"])
    np.testing.assert_allclose(shifted, expected, rtol=1e-12)
    assert (shifted[0, :, 3] > states_at(Warfarin(), [50.0, 100.0], COURSES["single"])[0][0, :, 3]).all()


def test_doses_at_one_instant_add_up_and_rest_stays_rest():
    two, _ = states_at(Warfarin(), [24.0], oral([0.0, 0.0], 2.5))
    one, _ = states_at(Warfarin(), [24.0], oral([0.0], 5.0))
    np.testing.assert_allclose(two, one, rtol=1e-13)
    rest, _ = states_at(Warfarin(), [500.0])
    np.testing.assert_allclose(rest[0, 0], [0, 0, 0, Warfarin().baseline_activity], rtol=1e-12)


def test_what_is_taken_is_there_or_eliminated():
    time = np.linspace(0, 240, 961)
    states, _ = states_at(Warfarin(), time, COURSES["single"])
    eliminated = np.trapezoid(Warfarin().observe(states[0])[:, 0], time) * Warfarin().clearance
    assert states[0, -1, :3].sum() + eliminated == pytest.approx(100.0, rel=1e-4)


def test_amounts_beyond_the_plausible_are_refused():
    with pytest.raises(SimulationError, match=r"clearance_inhibition = 25 .*0 to 20"):
        states_at(Warfarin(), [1.0], held(0.0, 5.0, INHIBITION, 25.0))
    with pytest.raises(SimulationError, match=r"clearance = 50 L/h.*0.001 to 10 L/h"):
        Warfarin(clearance=50.0)


def test_moments_of_the_population():
    people = Warfarin().published_population(40_000, np.random.default_rng(1)).parameters
    for name, sd in BETWEEN_SUBJECTS.items():
        typical = getattr(Warfarin(), name)
        if name == "maximal_effect":
            eta = np.log(people[name] / (1 - people[name])) - np.log(typical / (1 - typical))
        else:
            eta = np.log(people[name] / typical)
        assert stats.kstest(eta / sd, "norm").pvalue > 1e-3, name
    assert (
        Warfarin(maximal_effect=1.0)
        .published_population(3, np.random.default_rng(0))
        .parameters["maximal_effect"]
        .tolist()
        == [1.0] * 3
    )


def test_the_population_and_the_adaptive_truth():
    """The closed form holds for everyone, however fast the absorption."""
    n = 12
    model = replace(Warfarin(), **Warfarin().published_population(n, np.random.default_rng(4)).parameters)
    rows = [(i, t, np.nan, WARFARIN, 5.0) for i in range(n) for t in (0.0, 24.0)]
    rows += [(i, 20.0, 60.0, INHIBITION, 2.0) for i in range(n)] + [(i, 30.0, 50.0, VITAMIN_K, 3.0) for i in range(n)]
    doses = Doses.of(*map(list, zip(*rows, strict=True)))
    exact, _ = states_at(model, [1.0, 24.0, 30.0, 100.0], doses, n=n)
    truth, _ = states_at(model, [1.0, 24.0, 30.0, 100.0], doses, n=n, method="dop853", rtol=1e-12, atol=1e-13)
    assert np.abs(exact - truth).max() < 1e-8
