"""ADAS-cog decline against reference values, its drugs, its population, and the beta error of the score."""

import numpy as np
import pytest
from scipy import stats
from simulator_cases import golden, reference, states_at, worst

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.simulators.beta_assay import BetaAssay
from neurotwin.simulators.conrado_adas import BASELINE_VARIANCE, COVARIANCE, SLOPE_VARIANCE, ConradoAdas
from neurotwin.simulators.population import Typical

PATIENTS = golden("conrado_adas.json")["patients"]


def patient_model(patient):
    statics = {
        "age": patient["age"],
        "sex": "female" if patient["female"] else "male",
        "apoe4_alleles": patient["apoe4"],
        "alzheimer_medication": "yes" if patient["medication"] else "no",
    }
    drawn = Typical(statics).draw(ConradoAdas(), 1, np.random.default_rng())
    return ConradoAdas(**drawn.parameters)


def score(model, time, doses=None, **more):
    states, solution = states_at(model, np.asarray(time, dtype=float), doses, **more)
    assert not solution.status.any()
    return model.observe(states[0])[:, 0]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("method", ["closed_form", "rk4", "dop853", "lsoda"])
def test_scores_match_the_reference(number, method):
    """The first patient was printed to twelve digits, the others to eight."""
    patient = PATIENTS[number]
    tolerance = 1e-8 if number or method == "lsoda" else 1e-10
    assert worst(score(patient_model(patient), patient["time"], method=method), patient["adas_cog"]) < tolerance


@pytest.mark.parametrize("name", ["baseline", "slope", "shape"])
def test_the_reference_notices_a_wrong_parameter(name):
    wrong = ConradoAdas(**{name: getattr(ConradoAdas(), name) * 1.001})
    assert worst(score(wrong, PATIENTS[0]["time"]), PATIENTS[0]["adas_cog"]) > 1e-6


@pytest.mark.parametrize(("key", "value"), [("age", 76), ("female", 0), ("apoe4", 1), ("medication", 0)])
def test_the_reference_notices_a_wrong_covariate(key, value):
    patient = PATIENTS[0] | {key: value}
    assert worst(score(patient_model(patient), patient["time"]), patient["adas_cog"]) > 1e-3


def test_the_whole_course_matches_the_reference():
    path = reference("brain_alzheimer_adascog_conrado2014/f75_apoe0.72_con1.csv")
    table = np.genfromtxt(path, delimiter=",", names=True)
    for method in ("closed_form", "rk4"):
        assert worst(score(ConradoAdas(), table["t_year"], method=method), table["ADAScog_0_70"]) < 1e-8


def test_scores_stay_on_the_scale():
    """Up to the end for those who decline, down to the floor for those who improve, for a century."""
    model = ConradoAdas(slope=np.array([2.0, 0.0, -2.0]), baseline=np.array([60.0, 30.0, 69.9]))
    states, solution = states_at(model, [0.0, 1.0, 10.0, 100.0], n=3)
    assert not solution.status.any()
    assert states[0, -1, 0] == pytest.approx(1.0, rel=1e-12)
    np.testing.assert_allclose(states[1, :, 0], 30 / 70, rtol=1e-12)
    assert 0 <= states[2, -1, 0] < 1e-80


def drug(which, *periods):
    begin, end, level = (np.array(column) for column in zip(*periods, strict=True))
    return Doses.of(np.zeros(len(periods)), begin, end, np.full(len(periods), which), level)


def test_a_disease_modifying_drug_takes_its_share_of_the_slope():
    time = np.array([0.5, 2.0, 5.0])
    treated = score(ConradoAdas(), time, drug(0, (0.0, 10.0, 0.4)))
    np.testing.assert_allclose(treated, score(ConradoAdas(slope=0.6 * 0.153), time), rtol=1e-12)
    stopped = score(ConradoAdas(), time, drug(0, (0.0, 10.0, 1.0)))
    np.testing.assert_allclose(stopped, 22.2, rtol=1e-12)
    overlapping = score(ConradoAdas(), time, drug(0, (0.0, 10.0, 0.1), (0.0, 10.0, 0.3)))
    np.testing.assert_allclose(overlapping, treated, rtol=1e-12)


def test_a_symptomatic_drug_lowers_the_score_and_not_the_disease():
    four_weeks = np.log(2) / 9.04
    assert four_weeks * 365.25 == pytest.approx(28, abs=0.1)
    time = np.array([four_weeks, 2.0, 4.0])
    gain = score(ConradoAdas(), time) - score(ConradoAdas(), time, drug(1, (0.0, 2.0, 2.7)))
    assert gain[0] == pytest.approx(1.35, rel=1e-9) and gain[1] == pytest.approx(2.7, rel=1e-6)
    assert 0 <= gain[2] < 1e-6
    both = score(ConradoAdas(), time, drug(1, (0.0, 2.0, 1.7), (0.0, 2.0, 1.0)))
    np.testing.assert_allclose(score(ConradoAdas(), time) - both, gain, rtol=1e-9, atol=1e-12)
    assert score(ConradoAdas(baseline=1.0), [1.0], drug(1, (0.0, 2.0, 5.0))) == 0


def test_moments_of_the_population():
    """The published effects, on those whose baseline is on the scale, of whom there are 99.8 %."""
    people = ConradoAdas().published_population(60_000, np.random.default_rng(2))
    age, female, apoe4, medicated = people.statics.T
    assert female.mean() == pytest.approx(0.62, abs=0.01) and medicated.mean() == pytest.approx(0.8, abs=0.01)
    assert apoe4.mean() == pytest.approx(0.72, abs=0.02) and set(apoe4) == {0, 1, 2}
    ages = stats.truncnorm((50 - 74) / 7.5, (90 - 74) / 7.5, 74, 7.5)
    assert stats.kstest(age, ages.cdf).pvalue > 1e-3
    factor = np.where(female == 1, 1, 0.953) * (1 + 0.0372 * (apoe4 - 0.72))
    eta = np.log(people.parameters["baseline"] / (22.2 * factor))
    per_year = (1 - 0.024 * (age - 75)) * (1 + 0.195 * (apoe4 - 0.72)) * np.where(medicated == 1, 1, 0.698)
    slope = people.parameters["slope"] / per_year - 0.153
    assert people.parameters["baseline"].max() <= 70
    limit = np.log(70 / (22.2 * factor))
    theirs = stats.norm.cdf(eta / np.sqrt(BASELINE_VARIANCE)) / stats.norm.cdf(limit / np.sqrt(BASELINE_VARIANCE))
    assert stats.kstest(theirs, "uniform").pvalue > 1e-3
    given = slope - COVARIANCE / BASELINE_VARIANCE * eta
    sd = np.sqrt(SLOPE_VARIANCE - COVARIANCE**2 / BASELINE_VARIANCE)
    assert stats.kstest(given / sd, "norm").pvalue > 1e-3
    assert np.cov(eta, slope)[0, 1] == pytest.approx(COVARIANCE, rel=0.05)
    assert slope.std() == pytest.approx(np.sqrt(SLOPE_VARIANCE), rel=0.02)


def test_the_population_multiplies_the_models_own_values():
    draw = [ConradoAdas(slope=s).published_population(9, np.random.default_rng(3)).parameters for s in (0.153, 0.253)]
    assert np.array_equal(draw[0]["baseline"], draw[1]["baseline"])
    assert (draw[1]["slope"] > draw[0]["slope"]).all()


def test_the_error_of_a_score_is_a_beta_distribution():
    rng = np.random.default_rng(4)
    assay = BetaAssay("adas_cog", precision=87.5, greatest=70.0)
    for true in (3.0, 22.2, 65.0):
        measured, censor = assay.measure(np.full(20_000, true), rng.standard_normal((20_000, 2)))
        mean = true / 70
        theirs = stats.beta(mean * 87.5, (1 - mean) * 87.5, scale=70)
        assert stats.kstest(measured, theirs.cdf).pvalue > 1e-3 and not censor.any()
        assert measured.std() == pytest.approx(70 * np.sqrt(mean * (1 - mean) / 88.5), rel=0.03)
    edges, _ = assay.measure(np.array([0.0, 70.0, np.nan]), np.zeros((3, 2)))
    assert edges[:2].tolist() == [0.0, 70.0] and np.isnan(edges[2])


def test_bad_input_is_refused():
    with pytest.raises(SimulationError, match="baseline = 71 1.*0.1 to 70"):
        ConradoAdas(baseline=71.0)
    with pytest.raises(SimulationError, match="disease_modifying_drug = 1.2 1.*0 to 1"):
        score(ConradoAdas(), [1.0], drug(0, (0.0, 2.0, 0.6), (0.0, 2.0, 0.6)))
    with pytest.raises(SimulationError, match="precision is -1"):
        BetaAssay("adas_cog", precision=-1.0)
