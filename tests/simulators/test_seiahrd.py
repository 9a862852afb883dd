"""The epidemic against reference values made by another solver, and the beds, which are this project's own."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from simulator_cases import golden, states_at

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.simulators.population import Typical
from neurotwin.simulators.seiahrd import COUNTRIES, ICU_STAGES, TABLE, VARIATION, WARD_STAGES, Seiahrd

LOCKDOWN, VACCINATION = 0, 1
PAIVA = [item.name for item in Seiahrd.states[:8]]
PERSONS = slice(0, 7)


def held(begin, end, treatment, level):
    return Doses.of([0], begin, end, treatment, level)


CHINA = held(18.0, 180.0, LOCKDOWN, 1.0)


def errors(model, part="china", doses=CHINA, method="dop853", **more):
    """Per column of the paper's model, in units of the column's largest value over the whole course."""
    theirs = golden("seiahrd.json")[part]
    states, solution = states_at(model, np.array(theirs["time"], dtype=float), doses, method=method, **more)
    assert not solution.status.any()
    scales = {name: np.abs(golden("seiahrd.json")["china"][name]).max() for name in PAIVA}
    return {name: np.abs(states[0, :, index] - theirs[name]).max() / scales[name] for index, name in enumerate(PAIVA)}


@pytest.mark.parametrize(("method", "tolerance"), [("dop853", 1e-9), ("lsoda", 1e-8), ("rk4", 1e-5)])
def test_china_matches_the_reference(method, tolerance):
    assert max(errors(Seiahrd(), method=method).values()) < tolerance


def test_china_matches_the_rounded_reference():
    """Made by the model file itself, with an absolute tolerance that shows (1.3e-6 of the scale of H)."""
    error = errors(Seiahrd(), "rounded")
    assert max(error.values()) < 2e-6 and error["hospitalised"] > 1e-6
    assert max(error[name] for name in ("susceptible", "exposed", "recovered", "deceased", "cumulative_cases")) < 1e-6


def test_values_of_the_reference():
    states, _ = states_at(Seiahrd(), [30.0, 60.0, 90.0], CHINA)
    assert states[0, 0, 4] == pytest.approx(10449, abs=0.5)
    assert states[0, 1, 6] == pytest.approx(3204.6, abs=0.05)
    assert states[0, 2, 6] == pytest.approx(3218.596, abs=2e-3)


PAPERS = list(Seiahrd.parameters)[: list(Seiahrd.parameters).index("icu_share")]


@pytest.mark.parametrize("parameter", PAPERS)
def test_the_reference_notices_a_wrong_parameter(parameter):
    wrong = Seiahrd(**{parameter: getattr(Seiahrd(), parameter) * 1.0001})
    assert max(errors(wrong).values()) > 1e-7


def test_the_reference_notices_another_day_or_level():
    assert max(errors(Seiahrd(), doses=held(18.1, 180.0, LOCKDOWN, 1.0)).values()) > 1e-3
    assert max(errors(Seiahrd(), doses=held(18.0, 180.0, LOCKDOWN, 0.99)).values()) > 1e-3


@pytest.mark.parametrize(
    ("country", "first", "second"),
    [
        ("China", 1.62, 0.66),
        ("Italy", 2.00, 0.86),
        ("Spain", 2.09, 0.84),
        ("France", 1.98, 0.85),
        ("Germany", 2.47, 0.91),
    ],
)
def test_reproduction_numbers_are_those_of_the_paper(country, first, second):
    """Table 3, computed there from unrounded parameters."""
    model = Seiahrd(**{name: values[COUNTRIES.index(country)] for name, values in TABLE.items()})
    assert model.reproduction_number() == pytest.approx(first, abs=0.0085)
    assert model.reproduction_number(1.0) == pytest.approx(second, abs=0.0085)


def test_the_share_of_symptomatic_cases_of_the_usa_is_capped():
    """Table 3 has 1.01, with R0 2.90 and 1.26: a flow of minus 1 % into the asymptomatic."""
    model = Seiahrd(**{name: values[COUNTRIES.index("USA")] for name, values in TABLE.items()})
    assert model.symptomatic_share == 1.0
    assert model.reproduction_number() == pytest.approx(2.90, rel=0.01)
    assert model.reproduction_number(1.0) == pytest.approx(1.26, rel=0.02)


def test_nobody_is_lost():
    """Seven classes sum to the persons at the start, which are fewer than N: 9,939,528 of 11,000,000."""
    doses = Doses.concatenate(CHINA, held(40.0, 100.0, VACCINATION, 0.01))
    states, _ = states_at(Seiahrd(), [0.0, 20.0, 90.0, 180.0], doses)
    np.testing.assert_allclose(states[0, :, PERSONS].sum(axis=1), 9_939_528.0, rtol=1e-13)
    assert (states >= 0).all() and (np.diff(states[0, :, 7]) >= 0).all()


def test_levels_of_lockdown_add_up():
    two = Doses.of([0, 0], 18.0, 180.0, LOCKDOWN, [0.4, 0.6])
    (a, _), (b, _) = (states_at(Seiahrd(), [30.0, 90.0], doses) for doses in (two, CHINA))
    np.testing.assert_allclose(a, b, rtol=1e-9)
    numbers = [Seiahrd().reproduction_number(level) for level in (0.0, 0.5, 1.0, 1.5)]
    assert numbers == sorted(numbers, reverse=True)
    assert Seiahrd()._phase(0.5) == pytest.approx((np.sqrt(0.334 * 0.14), np.sqrt(0.673 * 0.135), 8.0))


def test_a_lockdown_that_ends_leaves_the_first_phase():
    state, zero = np.asarray(Seiahrd().initial_state(1)), np.zeros(1)
    slope = Seiahrd().vector_field(zero, state, np.zeros((1, 2)))
    short, _ = states_at(Seiahrd(), [5.0], held(1.0, 1.5, LOCKDOWN, 1.0))
    none, _ = states_at(Seiahrd(), [5.0])
    assert slope[0, 0] == pytest.approx(-0.334 * 9.9e6 / 1.1e7 * (732 + 8 * 2196))
    assert none[0, 0, 0] < short[0, 0, 0] < 9.9e6


def test_vaccination_moves_the_susceptible():
    calm = Seiahrd(initial_exposed=0.0, initial_infectious=0.0, initial_asymptomatic=0.0)
    states, _ = states_at(calm, [50.0], Doses.of([0, 0], 0.0, 50.0, VACCINATION, [0.004, 0.006]))
    assert states[0, 0, 0] == pytest.approx(9.9e6 * np.exp(-0.5), rel=1e-9)
    assert states[0, 0, 5] == pytest.approx(9.9e6 * (1 - np.exp(-0.5)), rel=1e-9)


def test_beds_do_not_change_the_epidemic():
    other = Seiahrd(icu_share=0.5, ward_stay=3.0, icu_stay=40.0, ward_capacity=1.0, icu_capacity=0.0)
    (a, _), (b, _) = (states_at(model, [30.0, 90.0], CHINA) for model in (Seiahrd(), other))
    np.testing.assert_array_equal(a[..., :8], b[..., :8])
    assert (a[..., 8:] != b[..., 8:]).all()


def test_beds_hold_admissions_times_stay():
    """A constant inflow fills the stages evenly, to inflow times mean stay (Little's law)."""
    model = Seiahrd(hospitalisation_rate=0.5, icu_share=0.2, ward_stay=12.0, icu_stay=8.0)
    state, zero = np.zeros((1, 13)), np.zeros((1, 2))
    state[0, 2] = 1000.0  # 500 admitted per day
    state[0, 8:] = [400 * 12 / WARD_STAGES] * WARD_STAGES + [100 * 8 / ICU_STAGES] * ICU_STAGES
    np.testing.assert_allclose(model.vector_field(np.zeros(1), state, zero)[0, 8:], 0.0, atol=1e-12)
    assert model.observe(state)[0, 3:].tolist() == pytest.approx([4800.0, 550.0, 0.0, 250.0])


def test_beyond_the_capacity_there_is_overflow():
    model, state = Seiahrd(ward_capacity=100.0, icu_capacity=10.0), np.zeros((2, 13))
    state[0, 8:], state[1, 8:] = [50, 40, 30, 3, 4], [10, 10, 10, 8, 9]
    np.testing.assert_allclose(model.observe(state)[:, 3:], [[100, 7, 20, 0], [30, 10, 0, 7]])


@pytest.mark.parametrize(
    ("stay", "stages", "expected"),
    [
        (TABLE["ward_stay"][0], WARD_STAGES, (10, 14, 19)),
        (TABLE["ward_stay"][1], WARD_STAGES, (3, 5, 9)),
        (TABLE["icu_stay"][0], ICU_STAGES, (5, 8, 13)),
        (TABLE["icu_stay"][1], ICU_STAGES, (4, 7, 11)),
    ],
)
def test_lengths_of_stay_are_like_those_of_the_review(stay, stages, expected):
    """Medians to 0.1 d, quartiles to 1.8 d."""
    quartiles = stats.gamma(stages, scale=stay / stages).ppf([0.25, 0.5, 0.75])
    assert quartiles[1] == pytest.approx(expected[1], abs=0.1)
    np.testing.assert_allclose(quartiles, expected, atol=1.8)


def test_whoever_is_in_a_chain_leaves_it_after_a_gamma_distributed_stay():
    model, start = Seiahrd(), np.zeros((1, 13))
    start[0, 8] = 1000.0
    states, _ = states_at(model, [5.0, 15.0, 40.0], state=start, method="dop853")
    left = stats.gamma(WARD_STAGES, scale=model.ward_stay / WARD_STAGES).sf([5.0, 15.0, 40.0])
    np.testing.assert_allclose(states[0, :, 8:11].sum(axis=1), 1000 * left, rtol=1e-8)


def test_variables():
    state = np.asarray(Seiahrd().initial_state(1))
    state[0, 4], state[0, 6] = 7.0, 3.0
    assert Seiahrd().observe(state)[0].tolist() == pytest.approx([0.02332 * 36600, 7, 3, 0, 0, 0, 0])


def test_what_is_not_possible_is_refused():
    with pytest.raises(SimulationError, match=r"lockdown = 2.5 1.*0 to 2 1 at any one time"):
        states_at(Seiahrd(), [1.0], Doses.of([0, 0], 0.0, 1.0, LOCKDOWN, [1.0, 1.5]))
    with pytest.raises(SimulationError, match=r"symptomatic_share = 1.01 1.*0 to 1 1"):
        Seiahrd(symptomatic_share=1.01)


def test_countries_of_the_populations():
    people = Seiahrd().published_population(6000, np.random.default_rng(1))
    assert stats.chisquare(np.bincount(people.statics[:, 0].astype(int))).pvalue > 1e-3
    for name, values in TABLE.items():
        np.testing.assert_allclose(people.parameters[name], np.array(values)[people.statics[:, 0].astype(int)])
    italy = Typical({"country": "Italy"}).draw(Seiahrd(), 1, np.random.default_rng()).parameters
    assert italy["transmission_rate"][0] == pytest.approx(0.189)
    china = Typical().draw(Seiahrd(transmission_rate=0.5), 1, np.random.default_rng()).parameters
    assert china["transmission_rate"].tolist() == [0.5]


def test_moments_of_the_proposed_population():
    people = Seiahrd().proposed_population(20_000, np.random.default_rng(1))
    country = people.statics[:, 0].astype(int)
    for names, variation in VARIATION.items():
        factors = [people.parameters[name] / np.array(TABLE[name])[country] for name in names]
        sd = np.sqrt(np.log1p(variation**2))
        assert stats.kstest(np.log(factors[0]) / sd, "norm").pvalue > 1e-3, names
        for factor in factors[1:]:
            np.testing.assert_allclose(factor, factors[0], rtol=1e-12)
    replace(Seiahrd(), **people.parameters)
