"""The lung tumour model: equations, population, and the daily map of the benchmark against reference values."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from simulator_cases import golden, reference, states_at, worst

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.simulators import geng_nsclc_map as daily
from neurotwin.simulators.geng_nsclc import DEATH_VOLUME, GengNsclc
from neurotwin.simulators.policies import Confounded
from neurotwin.simulators.population import Typical
from neurotwin.simulators.spheres import sphere_diameter, sphere_volume

CHEMO, RADIO = 0, 1


def test_radiotherapy_kills_by_the_linear_quadratic_model():
    before = np.array([[10.0, 3.0]])
    after = GengNsclc(radio_alpha=0.3, radio_beta=0.03).jump(before, np.array([[0.0, 2.0]]))
    assert after.tolist() == [[10.0 * np.exp(-0.72), 3.0]]


def test_chemotherapy_adds_to_the_concentration_which_halves_daily():
    doses = Doses.of([0, 0], [1.0, 2.0], treatment=[CHEMO, CHEMO], amount=[5.0, 5.0])
    states, _ = states_at(GengNsclc(), [1.0, 1.5, 2.0, 3.0], doses)
    assert states[0, :, 1] == pytest.approx([0.0, 5 * 2**-0.5, 2.5, 3.75], rel=1e-14)


def test_untreated_growth_is_gompertz():
    model, time = GengNsclc(growth_rate=0.02), np.array([0.0, 10.0, 60.0, 1000.0])
    states, _ = states_at(model, time)
    start = np.log(model.initial_volume / model.carrying_capacity)
    assert states[0, :, 0] == pytest.approx(model.carrying_capacity * np.exp(start * np.exp(-0.02 * time)), rel=1e-13)


@given(
    rho=st.floats(0, 1),
    half_life=st.floats(0.01, 100),
    beta_c=st.floats(0, 1),
    volume=st.floats(1e-8, 1e4),
    concentration=st.floats(0, 50),
    split=st.floats(0, 1),
    span=st.floats(0, 1000),
)
def test_two_stretches_are_one(rho, half_life, beta_c, volume, concentration, split, span):
    model = GengNsclc(growth_rate=rho, chemo_half_life=half_life, chemo_sensitivity=beta_c)
    state, none, t = np.array([[volume, concentration]]), np.zeros((1, 2)), np.zeros(1)
    with np.errstate(all="ignore"):  # volumes that the drug takes out of the range of numbers are not compared
        once = model.propagate(t, np.array([span]), state, none)
        first = model.propagate(t, np.array([split * span]), state, none)
        twice = model.propagate(t, np.array([span - split * span]), first, none)
    assert np.isfinite(once).all()
    if once[0, 0] > 1e-200 and first[0, 0] > 1e-200:
        np.testing.assert_allclose(twice, once, rtol=1e-9)


def test_the_closed_form_where_growth_and_elimination_are_equally_fast():
    equal = np.log(2.0)
    models = [GengNsclc(growth_rate=rate, initial_concentration=5.0) for rate in (equal, equal * (1 + 1e-9))]
    near, same = (states_at(model, [2.0])[0][0, 0, 0] for model in models)
    assert same == pytest.approx(near, rel=1e-7)


def test_patient_types_change_the_typical_parameters():
    people = {kind: Typical({"patient_type": kind}).draw(GengNsclc(), 2, np.random.default_rng()) for kind in "123"}
    alpha = {kind: draw.parameters["radio_alpha"][0] for kind, draw in people.items()}
    beta_c = {kind: draw.parameters["chemo_sensitivity"][0] for kind, draw in people.items()}
    assert alpha["2"] == alpha["3"] == 0.17478 and alpha["1"] == pytest.approx(0.17478 + 0.00398)
    assert people["1"].parameters["radio_beta"][0] == pytest.approx(alpha["1"] / 10)
    assert beta_c["1"] == beta_c["2"] == 0.028 and beta_c["3"] == pytest.approx(0.0308)
    assert people["3"].statics.tolist() == [[2.0, 4.0]] * 2


def test_parameters_that_the_population_draws_cannot_be_set():
    with pytest.raises(SimulationError, match="growth_rate is set to 0.01, but the population draws it"):
        GengNsclc(growth_rate=0.01).published_population(3, np.random.default_rng(0))
    GengNsclc(carrying_capacity=1e4).published_population(3, np.random.default_rng(0))


# --- population -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people():
    return GengNsclc().published_population(40_000, np.random.default_rng(5))


def test_moments_of_the_population(people):
    """Means and SDs of the truncated bivariate normal by quadrature; a type's share of the means added."""
    drawn, patient_type = people.parameters, people.statics[:, 0]
    alpha = drawn["radio_alpha"] - 0.00398 * (patient_type == 0)
    beta_c = drawn["chemo_sensitivity"] - 0.0028 * (patient_type == 2)
    expected = {
        "alpha": (alpha, 0.174777, 0.108169),
        "rho": (drawn["growth_rate"], 0.00615843, 0.00437584),
        "beta_c": (beta_c, 0.028, 0.0007),
    }
    for name, (values, mean, sd) in expected.items():
        assert abs(values.mean() - mean) < 4 * sd / np.sqrt(len(values)), name
        assert values.std() == pytest.approx(sd, rel=0.02), name
    assert np.corrcoef(alpha, drawn["growth_rate"])[0, 1] == pytest.approx(0.72299, abs=0.01)
    np.testing.assert_allclose(drawn["radio_beta"], drawn["radio_alpha"] / 10)


def test_mix_of_stages_and_types(people):
    counts = np.array([1432, 128, 1306, 7248, 12840])
    n = len(people.statics)
    assert stats.chisquare(np.bincount(people.statics[:, 1].astype(int)), counts / counts.sum() * n).pvalue > 1e-3
    assert stats.chisquare(np.bincount(people.statics[:, 0].astype(int))).pvalue > 1e-3


def test_diameters_of_each_stage(people):
    diameter = sphere_diameter(people.parameters["initial_volume"])
    for stage, (mean, sd, low, high) in enumerate(
        (
            (1.72, 4.70, 0.3, 5.0),
            (1.96, 1.63, 0.3, 13.0),
            (1.91, 9.40, 0.3, 13.0),
            (2.76, 6.87, 0.3, 13.0),
            (3.86, 8.82, 0.3, 13.0),
        )
    ):
        z = (np.log(diameter[people.statics[:, 1] == stage]) - mean) / sd
        edges = (np.log([low, high]) - mean) / sd
        assert stats.kstest(z, stats.truncnorm(*edges).cdf).pvalue > 1e-3, stage


def test_population_of_the_benchmark(people):
    """The parameters that the benchmark's own code drew come from the same distribution."""
    theirs = np.load(reference("cancer_benchmark/cancer_pkpd_gamma04_seed7004.npz"))
    for name, symbol in (
        ("growth_rate", "rho"),
        ("radio_alpha", "alpha"),
        ("chemo_sensitivity", "beta_c"),
        ("initial_volume", "initial_volumes"),
    ):
        values = np.concatenate([theirs[f"{part}_{symbol}"] for part in "fosr"])
        assert stats.ks_2samp(values, people.parameters[name]).pvalue > 1e-3, name


# --- the daily map ----------------------------------------------------------------------------------------------------


def patients_of(content, **factors):
    names = {
        "growth_rate": "rho",
        "chemo_sensitivity": "beta_c",
        "radio_alpha": "alpha",
        "radio_beta": "beta",
        "initial_volume": "initial_volumes",
    }
    values = {name: np.array(content[symbol if symbol in content else name]) for name, symbol in names.items()}
    return GengNsclc(**{name: value * factors.get(name, 1) for name, value in values.items()})


def policy_errors(**factors):
    """Error of volume and concentration per policy of the small reference."""
    content = golden("geng_nsclc_map.json")
    errors = {}
    for name, policy in content["policies"].items():
        chemo, radio = (
            np.tile(np.isin(np.arange(61), policy[f"{kind}_days"]) * 1.0, (4, 1)) for kind in ("chemo", "radio")
        )
        volume, concentration = daily.roll_out(
            patients_of(content["patients"], **factors), chemo, radio, np.zeros((4, 61))
        )
        days = content["days"]
        errors[name] = worst(volume[:, days], policy["volume"])
        if chemo.any():
            assert worst(concentration[:, days], policy["concentration"]) < 1e-11
    return errors


def test_fixed_policies_match_the_reference():
    assert max(policy_errors().values()) < 1e-11


@pytest.mark.parametrize(
    ("parameter", "policies"),
    [
        ("growth_rate", {"none"}),
        ("chemo_sensitivity", {"chemo_weekly"}),
        ("radio_alpha", {"rt_30x2Gy_weekdays"}),
        ("radio_beta", {"rt_30x2Gy_weekdays"}),
        ("initial_volume", {"none", "chemo_weekly", "rt_30x2Gy_weekdays"}),
    ],
)
def test_the_reference_notices_a_wrong_parameter(parameter, policies):
    errors = policy_errors(**{parameter: 1.0001})
    assert all(errors[name] > 1e-9 for name in policies)


def test_the_reference_notices_the_continuous_model():
    """The map is not the ODE sampled daily: the untreated volume differs by more than rounding could."""
    content = golden("geng_nsclc_map.json")
    states, _ = states_at(patients_of(content["patients"]), np.array(content["days"], dtype=float), n=4)
    assert worst(states[:, :, 0], content["policies"]["none"]["volume"]) > 1e-4


@pytest.mark.parametrize("policy", ["none", "chemo_weekly", "rt_30x2Gy_weekdays"])
def test_whole_courses_match_the_reference(policy):
    folder = reference("tumor_nsclc_geng2017_causaltransformer")
    params = json.loads((folder / "params.json").read_text())
    given = np.array(params["policies_first_patient_day_by_chemo_radio"][policy])
    theirs = np.genfromtxt(folder / f"{policy}.csv", delimiter=",", names=True)
    chemo, radio = (np.tile(column, (4, 1)) for column in given.T)
    volume, concentration = daily.roll_out(patients_of(params["patients"]), chemo, radio, np.zeros((4, 61)))
    np.testing.assert_allclose(volume.ravel(), theirs["volume_cm3"], rtol=1e-9)
    np.testing.assert_allclose(concentration.ravel(), theirs["chemo_conc"], rtol=1e-9, atol=1e-10)


def flags(days, shape):
    table = np.zeros(shape)
    for row, applied in enumerate(days):
        table[row, applied] = 1
    return table


def test_factual_courses_match_the_reference():
    content = golden("geng_nsclc_factual.json")
    draws = {name: np.array(content[name]) for name in ("noise", "chemo_draw", "radio_draw")}
    course = daily.follow(
        patients_of(content["patients"]), content["strength"], recovery_draw=np.full((3, 60), 0.5), **draws
    )
    np.testing.assert_allclose(course.volume, content["volume"], rtol=1e-12)
    assert np.array_equal(course.chemo, flags(content["chemo_days"], (3, 60)))
    assert np.array_equal(course.radio, flags(content["radio_days"], (3, 60)))
    assert course.last_day.tolist() == content["last_day"]
    assert course.died.tolist() == content["died"] and course.recovered.tolist() == content["recovered"]
    assert any(content["recovered"])


def test_the_factual_reference_notices_another_strength():
    content = golden("geng_nsclc_factual.json")
    draws = {name: np.array(content[name]) for name in ("noise", "chemo_draw", "radio_draw")}
    course = daily.follow(patients_of(content["patients"]), 3.0, recovery_draw=np.full((3, 60), 0.5), **draws)
    assert not np.array_equal(course.chemo, flags(content["chemo_days"], (3, 60)))


def test_all_factual_courses_match_the_reference():
    theirs = np.load(reference("cancer_benchmark/cancer_pkpd_gamma04_seed7004.npz"))
    patients = patients_of(
        {name: theirs[f"f_{name}"] for name in ("rho", "beta_c", "alpha", "beta", "initial_volumes")}
    )
    course = daily.follow(
        patients,
        4.0,
        noise=theirs["f_noise"],
        recovery_draw=np.full((200, 60), 0.5),
        chemo_draw=theirs["f_chemo_rv"],
        radio_draw=theirs["f_radio_rv"],
    )
    np.testing.assert_allclose(course.volume, theirs["f_V"], rtol=1e-9)
    for mine, name in (
        (course.chemo, "chemo"),
        (course.radio, "radio"),
        (course.last_day, "seq_len"),
        (course.died, "death"),
        (course.recovered, "recov"),
    ):
        assert np.array_equal(mine, theirs[f"f_{name}"]), name


def test_death_and_recovery_end_a_course():
    never, always, days = np.ones((2, 5)), np.zeros((2, 5)), (2, 5)
    patients = GengNsclc(initial_volume=np.array([DEATH_VOLUME * 0.999, 1e-9]), growth_rate=np.array([0.01, 0.0]))
    course = daily.follow(
        patients, 4.0, noise=np.zeros(days), recovery_draw=always, chemo_draw=always, radio_draw=never
    )
    assert course.died.tolist() == [True, False] and course.recovered.tolist() == [False, True]
    assert course.last_day.tolist() == [1, 1]
    assert course.volume[0].tolist() == [DEATH_VOLUME * 0.999, DEATH_VOLUME, 0, 0, 0]
    assert course.volume[1].tolist() == [1e-9, 0, 0, 0, 0]
    assert course.chemo.tolist() == [[0, 1, 0, 0, 0]] * 2 and not course.radio.any()


def test_a_volume_that_turns_negative_counts_as_recovery():
    patients = GengNsclc(radio_alpha=0.5, radio_beta=0.05)
    draws = {"recovery_draw": np.full((1, 4), 0.999999), "chemo_draw": np.ones((1, 4)), "radio_draw": np.zeros((1, 4))}
    course = daily.follow(patients, 4.0, noise=np.zeros((1, 4)), **draws)
    assert course.recovered[0] and course.last_day[0] == 2
    volume, _ = daily.roll_out(patients, np.zeros((1, 4)), np.ones((1, 4)), np.zeros((1, 4)))
    assert volume[0, 1] < 0 and np.isnan(volume[0, 2])


def test_branching_off_a_course_goes_on_as_the_course():
    rng = np.random.default_rng(2)
    patients = replace(GengNsclc(), initial_volume=np.array([1.0, 30.0]))
    chemo, radio = (rng.integers(0, 2, (2, 12)).astype(float) for _ in range(2))
    noise = 0.01 * rng.standard_normal((2, 12))
    volume, concentration = daily.roll_out(patients, chemo, radio, noise)
    there = replace(
        patients,
        initial_volume=volume[:, 5],
        initial_concentration=concentration[:, 5] - daily.CHEMO_DOSE * chemo[:, 5],
    )
    again, _ = daily.roll_out(there, chemo[:, 5:], radio[:, 5:], noise[:, 5:])
    np.testing.assert_allclose(again, volume[:, 5:], rtol=1e-13)


def test_the_policy_of_the_protocol_is_that_of_the_benchmark():
    rng = np.random.default_rng(0)
    volumes = sphere_volume(rng.uniform(0.1, 13, (6, 31)))
    policy = Confounded("tumour_volume", {"chemotherapy": 5.0}, (4.0, 4.0), 13.0, "diameter")
    uniform = rng.random((6, 40, 1))
    draws = {"strength": np.full(6, 4.0), "randomised": np.zeros(6), "rate": np.zeros((6, 1)), "uniform": uniform}
    for day in (1, 5, 15, 16, 30):
        given = policy.decide(volumes[:, : day + 1], draws)[:, 0]
        assert np.array_equal(given > 0, uniform[:, day, 0] < daily.treatment_probability(volumes[:, :day], 4.0))
    assert not policy.decide(volumes[:, :1], draws).any()


def test_tables_of_different_shapes_are_refused():
    with pytest.raises(SimulationError, match="one shape"):
        daily.roll_out(GengNsclc(), np.zeros((1, 4)), np.zeros((1, 5)), np.zeros((1, 5)))
