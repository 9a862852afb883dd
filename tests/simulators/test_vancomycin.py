"""Vancomycin against reference values made by another solver, and its population."""

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import expm
from simulator_cases import golden, reference, states_at, worst

from neurotwin.events import Doses
from neurotwin.simulators.population import Typical
from neurotwin.simulators.vancomycin import BETWEEN_SUBJECTS, COVARIATES, Vancomycin, creatinine_clearance

BEGIN = 12.0 * np.arange(5)
DOSES = Doses.of(np.zeros(5), BEGIN, BEGIN + 0.5, np.zeros(5), 2000.0)


def errors(model, theirs, method="auto", **more):
    states, solution = states_at(model, np.asarray(theirs["time"]), DOSES, method=method, **more)
    assert not solution.status.any()
    return max(worst(states[0, :, 0], theirs["central"]), worst(states[0, :, 1], theirs["peripheral"]))


@pytest.mark.parametrize(
    ("method", "max_step", "tolerance"),
    [("closed_form", 100, 1e-10), ("rk4", 0.125, 1e-8), ("dop853", 100, 1e-10), ("lsoda", 100, 1e-8)],
)
def test_amounts_match_the_reference(method, max_step, tolerance):
    assert errors(Vancomycin(), golden("vancomycin.json"), method, max_step=max_step) < tolerance


@pytest.mark.parametrize("name", ["clearance", "central_volume", "intercompartmental_clearance", "peripheral_volume"])
def test_the_reference_notices_a_wrong_parameter(name):
    wrong = Vancomycin(**{name: getattr(Vancomycin(), name) * 1.0001})
    assert errors(wrong, golden("vancomycin.json")) > 1e-6


def test_the_whole_course_matches_the_reference():
    table = np.genfromtxt(reference("organ_kidney_vancomycin_alqahtani2018/ref.csv"), delimiter=",", names=True)
    theirs = {"time": table["t_h"], "central": table["A1_mg"], "peripheral": table["A2_mg"]}
    assert errors(Vancomycin(), theirs) < 1e-8
    states, _ = states_at(Vancomycin(), table["t_h"], DOSES)
    assert worst(Vancomycin().observe(states[0])[:, 0], table["C_mg_L"]) < 1e-8


@pytest.mark.parametrize("name", ["renal_impaired_f75", "young_m25"])
def test_patients_with_other_kidneys_match_the_reference(name):
    """The reference trough at 47.99 h was read off a line between two samples, 47.75 and 48 h."""
    patient = golden("vancomycin.json")["patients"][name]
    covariates = {
        "age": patient["age"],
        "weight": patient["wt"],
        "serum_creatinine": patient["scr"],
        "albumin": patient["alb"],
        "sex=female": patient["female"],
    }
    crcl = creatinine_clearance(patient["age"], patient["wt"], patient["scr"], patient["female"])
    typical = Vancomycin().typical_parameters(covariates)
    assert crcl == pytest.approx(patient["CrCl"], rel=1e-12)
    assert typical["clearance"] == pytest.approx(patient["CL"], rel=1e-12)
    assert typical["central_volume"] == pytest.approx(patient["V1"], rel=1e-12)
    model = Vancomycin(**typical)
    states, _ = states_at(model, [47.75, 48.0], DOSES)
    trough = np.interp(47.99, [47.75, 48.0], model.observe(states[0])[:, 0])
    assert trough == pytest.approx(patient["trough48"], rel=1e-8)


def test_the_closed_form_is_the_matrix_exponential():
    model = Vancomycin(clearance=4.0, central_volume=30.0, intercompartmental_clearance=2.0, peripheral_volume=11.0)
    out, forth, back = 4 / 30, 2 / 30, 2 / 11
    matrix = np.array([[-out - forth, back, 1.0], [forth, -back, 0.0], [0.0, 0.0, 0.0]])
    state, rate = np.array([[100.0, 20.0]]), np.array([[700.0]])
    for span in (0.0, 1e-6, 0.3, 12.0, 1e4):
        expected = (expm(matrix * span) @ [100.0, 20.0, 700.0])[:2]
        np.testing.assert_allclose(model.propagate(np.zeros(1), np.array([span]), state, rate)[0], expected, rtol=1e-11)


def test_what_is_infused_is_there_or_eliminated():
    """Mass balance: what is left and what left through the clearance add up to the doses."""
    time = np.linspace(0, 72, 1441)
    states, _ = states_at(Vancomycin(), time, DOSES)
    eliminated = np.trapezoid(states[0, :, 0], time) * 6.13 / 40.0
    assert states[0, -1].sum() + eliminated == pytest.approx(5000.0, rel=1e-4)


def test_moments_of_the_population():
    people = Vancomycin().published_population(40_000, np.random.default_rng(1))
    age, weight, creatinine, albumin, female = people.statics.T
    crcl = creatinine_clearance(age, weight, creatinine, female)
    for name, values in (("age", age), ("weight", weight), ("creatinine_clearance", crcl), ("albumin", albumin)):
        mean, sd, low, high = COVARIATES[name]
        there = stats.truncnorm((low - mean) / sd, (high - mean) / sd, mean, sd)
        assert stats.kstest(values, there.cdf).pvalue > 1e-3, name
    assert female.mean() == pytest.approx(0.39, abs=0.01)
    typical = {
        "clearance": 6.13 * (crcl / 83.5) ** 0.514 * (albumin / 35.5) ** 0.854,
        "central_volume": 40 * (weight / 79.6) ** 0.466,
        "intercompartmental_clearance": 0.22,
        "peripheral_volume": 3.88,
    }
    for name, value in typical.items():
        eta = np.log(people.parameters[name] / value)
        sd = np.sqrt(np.log1p(BETWEEN_SUBJECTS[name] ** 2))
        assert stats.kstest(eta / sd, "norm").pvalue > 1e-3, name


def test_the_typical_patient_has_the_parameters_of_the_yaml():
    draw = Typical().draw(Vancomycin(), 2, np.random.default_rng())
    assert draw.parameters["clearance"] == pytest.approx([6.13, 6.13], rel=1e-14)
    assert draw.parameters["central_volume"].tolist() == [40.0, 40.0]
    old = Typical({"age": 75, "sex": "female"}).draw(Vancomycin(), 1, np.random.default_rng())
    assert old.parameters["clearance"][0] < 5
