"""Acute inflammation against reference values made by another solver: courses, fates, treatments, population."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from simulator_cases import golden, reference, states_at, worst

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.simulators.reynolds_sepsis import FATES, ReynoldsSepsis, fate

ANTIBIOTIC, ANTI_INFLAMMATORY = 0, 1
CASES = {
    "healthy": ReynoldsSepsis(),
    "aseptic": ReynoldsSepsis(initial_pathogen=1.5),
    "septic": ReynoldsSepsis(pathogen_growth=0.6),
}
FILES = {"healthy": "healthy_kpg0.3.csv", "aseptic": "aseptic_kpg0.3_P0_1.5.csv"}


def held(begin, end, treatment, level):
    return Doses.of([0], begin, end, treatment, level)


def error(model, name, method="dop853", rows=slice(None)):
    theirs = {key: np.array(value)[rows] for key, value in golden("reynolds_sepsis.json")[name].items()}
    states, solution = states_at(model, theirs["time"], method=method)
    assert not solution.status.any()
    return max(worst(states[0, :, i], theirs[item.name]) for i, item in enumerate(model.states))


@pytest.mark.parametrize(("method", "tolerance"), [("dop853", 1e-9), ("lsoda", 1e-7), ("rk4", 1e-5)])
@pytest.mark.parametrize("name", ["healthy", "aseptic"])
def test_courses_match_the_reference(name, method, tolerance):
    assert error(CASES[name], name, method) < tolerance


@pytest.mark.parametrize(("method", "tolerance"), [("dop853", 1e-7), ("rk4", 1e-6)])
def test_the_septic_course_matches_the_reference(method, tolerance):
    assert error(CASES["septic"], "septic", "dop853", slice(1)) < 1e-6  # six digits
    assert error(CASES["septic"], "septic", method, slice(1, None)) < tolerance


@pytest.mark.parametrize("name", list(FILES))
def test_whole_courses_match_the_reference(name):
    table = np.genfromtxt(reference(f"organ_sepsis_reynolds2006/{FILES[name]}"), delimiter=",", names=True)
    states, _ = states_at(CASES[name], table["time_h"], method="dop853")
    for index, column in enumerate(("P", "N", "D", "CA")):
        assert worst(states[0, :, index], table[column]) < 1e-6, column


@pytest.mark.parametrize("parameter", list(ReynoldsSepsis.parameters))
def test_the_reference_notices_a_wrong_parameter(parameter):
    wrong = replace(CASES["aseptic"], **{parameter: getattr(CASES["aseptic"], parameter) * 1.001})
    assert error(wrong, "aseptic") > 1e-6


def test_the_three_fates():
    model = ReynoldsSepsis(pathogen_growth=np.array([0.3, 0.3, 0.6]), initial_pathogen=np.array([1.0, 1.5, 1.0]))
    states, _ = states_at(model, [400.0], n=3)
    assert [FATES[index] for index in fate(states[:, 0])] == ["healthy", "aseptic_death", "septic_death"]
    assert fate(torch.from_numpy(states[:, 0])).tolist() == [0, 1, 2]
    np.testing.assert_allclose(states[:, 0, 2], [0.0055, 17.387, 17.486], atol=1e-3)
    assert states[2, 0, 0] == pytest.approx(4.937, abs=1e-3) and states[1, 0, 0] < 1e-60


def test_cleared_pathogen_grows_again_only_beyond_the_threshold():
    """P = 0 is stable below kpg = kpm sm / mu_m = 1.5: a remnant of 1e-30 matters only above it."""
    rates = np.array([0.3, 0.7, 1.49, 1.51])
    model = ReynoldsSepsis(pathogen_growth=rates, initial_pathogen=np.full(4, 1e-30))
    states, _ = states_at(model, [50.0, 100.0], n=4)
    grown = np.log(states[:, 1, 0] / states[:, 0, 0]) / 50
    np.testing.assert_allclose(grown, rates - 1.5, atol=1e-5)


def test_a_body_without_infection_rests():
    states, _ = states_at(ReynoldsSepsis(initial_pathogen=0.0), [100.0])
    np.testing.assert_allclose(states[0, 0], [0.0, 0.0, 0.0, 0.125], atol=1e-14)


def test_an_antibiotic_in_time_saves():
    """Ten hours of it: begun at 2 h health, at 4 h the damage goes on without the pathogen."""
    none, state = np.zeros((1, 2)), np.array([[2.0, 0.3, 1.0, 0.2]])
    model, zero = CASES["septic"], np.zeros(1)
    slope = model.vector_field(zero, state, np.array([[0.25, 0.0]])) - model.vector_field(zero, state, none)
    np.testing.assert_allclose(slope, [[-0.5, 0, 0, 0]], atol=1e-15)
    begin = np.array([2.0, 4.0])
    doses = Doses.of([0, 1], begin, begin + 10.0, ANTIBIOTIC, 1.0)
    states, _ = states_at(model, [400.0], doses, n=3)  # the third has none
    assert [FATES[index] for index in fate(states[:, 0])] == ["healthy", "aseptic_death", "septic_death"]


def test_rates_add_up():
    two = Doses.of([0, 0, 0, 0], 5.0, 30.0, [0, 0, 1, 1], [0.1, 0.2, 0.02, 0.03])
    one = Doses.of([0, 0], 5.0, 30.0, [0, 1], [0.3, 0.05])
    (a, _), (b, _) = (states_at(CASES["septic"], [10.0, 60.0], doses) for doses in (two, one))
    np.testing.assert_allclose(a, b, rtol=1e-12)


def test_the_infusion_raises_the_mediator():
    resting = ReynoldsSepsis(initial_pathogen=0.0)
    states, _ = states_at(resting, [300.0], held(0.0, 300.0, ANTI_INFLAMMATORY, 0.05))
    assert states[0, 0, 3] == pytest.approx((0.0125 + 0.05) / 0.1, rel=1e-9)


def test_what_is_not_plausible_is_refused():
    with pytest.raises(SimulationError, match=r"anti_inflammatory = 0.5 /h.*0 to 0.2 /h"):
        states_at(ReynoldsSepsis(), [1.0], held(0.0, 1.0, ANTI_INFLAMMATORY, 0.5))
    with pytest.raises(SimulationError, match=r"pathogen_growth = 3 /h.*0 to 2 /h"):
        ReynoldsSepsis(pathogen_growth=3.0)


def test_gradients_at_the_start_are_finite():
    """Without phagocytes the sixth power has slope 0."""
    state = torch.tensor([[1.0, 0.0, 0.0, 0.125], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros((2, 2), dtype=torch.float64)
    ReynoldsSepsis().vector_field(zero[:, 0], state, zero).sum().backward()
    assert torch.isfinite(state.grad).all()


def test_fixed_steps_have_order_four():
    """Measured early, while damage sets in with the sixth power of activation."""
    model, time = CASES["septic"], np.array([4.0, 12.0, 24.0])
    doses = Doses.of([0, 0], [2.0, 8.0], [5.0, 11.0], [0, 1], [0.3, 0.05])
    truth, _ = states_at(model, time, doses, method="dop853", rtol=1e-12, atol=1e-14)
    values = [states_at(model, time, doses, method="rk4", max_step=step)[0] for step in (0.05, 0.025)]
    errors = [(np.abs(value - truth) / truth.max(axis=1)).max() for value in values]
    assert errors[0] < 1e-6 and np.log2(errors[0] / errors[1]) > 3.7


def test_the_proposed_population():
    drawn = ReynoldsSepsis().proposed_population(20_000, np.random.default_rng(1)).parameters
    assert stats.kstest(drawn["pathogen_growth"], stats.uniform(0.2, 0.5).cdf).pvalue > 1e-3
    log_inoculum = np.log(drawn["initial_pathogen"] / 0.1) / np.log(50)
    assert stats.kstest(log_inoculum, "uniform").pvalue > 1e-3
    for name, typical in (("mediator_production", 0.04), ("mediator_decay", 0.1)):
        eta = np.log(drawn[name] / typical) / np.sqrt(np.log(1.04))
        assert stats.kstest(eta, "norm").pvalue > 1e-3, name
    np.testing.assert_allclose(drawn["initial_mediator"] * drawn["mediator_decay"], 0.0125)
    with pytest.raises(SimulationError, match="initial_pathogen is set to 2.0, but the population draws it"):
        ReynoldsSepsis(initial_pathogen=2.0).proposed_population(1, np.random.default_rng(1))


def test_all_fates_occur_and_steps_do_not_change_them():
    n = 60
    model = replace(ReynoldsSepsis(), **ReynoldsSepsis().proposed_population(n, np.random.default_rng(2)).parameters)
    states, _ = states_at(model, [400.0], n=n)
    truth, _ = states_at(model.take(slice(12)), [400.0], n=12, method="lsoda")
    assert np.bincount(fate(states[:, 0]), minlength=3).min() > 5
    assert np.array_equal(fate(states[:12, 0]), fate(truth[:, 0]))
