"""Low-grade glioma under temozolomide: reference values, when resistance begins, genotypes and the population."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import solve_ivp
from simulator_cases import configured, golden, reference, states_at, worst

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.simulators.mazzocco_glioma import BETWEEN_SUBJECTS, GENOTYPES, MazzoccoGlioma
from neurotwin.simulators.population import Published, Typical
from neurotwin.simulators.simulate import simulate

CYCLE = 28 / 30.4375
TISSUE = ("drug", "proliferative", "quiescent", "damaged")


def cycles(count=18, start=6.0):
    return Doses.of(np.zeros(count), start + CYCLE * np.arange(count), treatment=np.zeros(count), amount=1.0)


def errors(model, theirs, doses, method="dop853", **more):
    """Worst error of each column that the reference has, diameter included."""
    states, solution = states_at(model, np.asarray(theirs["time"]), doses, method=method, **more)
    assert not solution.status.any()
    mine = dict(zip(TISSUE, states[0].T, strict=False)) | {"mean_tumour_diameter": model.observe(states[0])[:, 0]}
    return {name: worst(mine[name], theirs[name]) for name in mine if np.any(theirs[name])}


def typical(genotype):
    return replace(MazzoccoGlioma(), **Typical({"genotype": genotype}).draw(MazzoccoGlioma(), 1, None).parameters)


@pytest.mark.parametrize(("method", "tolerance"), [("dop853", 1e-9), ("lsoda", 1e-7), ("rk4", 2e-6)])
def test_the_treated_course_matches_the_reference(method, tolerance):
    assert (
        max(errors(MazzoccoGlioma(), golden("mazzocco_glioma.json")["treated"], cycles(), method).values()) < tolerance
    )


def test_the_untreated_course_matches_the_reference():
    theirs = golden("mazzocco_glioma.json")["untreated"]
    found = errors(
        MazzoccoGlioma(), {key: np.where(np.abs(value) < 1e-9, 0, value) for key, value in theirs.items()}, None
    )
    assert set(found) == {"proliferative", "quiescent", "mean_tumour_diameter"} and max(found.values()) < 1e-9


@pytest.mark.parametrize(
    ("name", "genotype"),
    [("tmz18_wt_noncodel", "neither"), ("tmz18_tp53mut", "tp53_mutated"), ("tmz18_1p19q_codel", "codeleted_1p19q")],
)
def test_printed_values_of_each_genotype(name, genotype):
    printed = np.array(golden("mazzocco_glioma.json")["printed"][name])
    model = typical(genotype)
    states, _ = states_at(model, printed[:, 0], cycles(), method="dop853")
    np.testing.assert_allclose(states[0, :, :4], printed[:, 1:5], rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(model.observe(states[0])[:, 0], printed[:, 5], rtol=1e-7)


@pytest.mark.parametrize(
    ("genotype", "nadir", "time"), [("tp53_mutated", 30.494, 22.25), ("codeleted_1p19q", 26.972, 24.875)]
)
def test_the_nadir_of_each_genotype(genotype, nadir, time):
    times = np.arange(0.0, 60.0, 0.125)
    states, _ = states_at(typical(genotype), times, cycles(), method="dop853")
    diameter = states[0, :, 1:4].sum(axis=1)
    assert diameter.min() == pytest.approx(nadir, abs=5e-4) and times[diameter.argmin()] == time


@pytest.mark.parametrize("name", sorted(set(MazzoccoGlioma.parameters)))
def test_the_reference_notices_a_wrong_parameter(name):
    wrong = replace(MazzoccoGlioma(), **{name: getattr(MazzoccoGlioma(), name) * 1.001})
    assert max(errors(wrong, golden("mazzocco_glioma.json")["treated"], cycles()).values()) > 1e-5


def test_the_reference_notices_a_late_therapy():
    assert max(errors(MazzoccoGlioma(), golden("mazzocco_glioma.json")["treated"], cycles(start=6.01)).values()) > 1e-5


@pytest.mark.parametrize(("file", "doses"), [("untreated", None), ("tmz18_wt_noncodel", cycles())])
def test_the_whole_course_matches_the_reference(file, doses):
    table = np.genfromtxt(reference(f"tumor_lgg_mazzocco2015_tmz/{file}.csv"), delimiter=",", names=True)
    table = table[table["t_month"] != 6.0]  # rows at a dose hold the state after it, ours that before it
    columns = ("C", "P_mm", "Q_mm", "Qp_mm", "MTD_mm")
    theirs = {name: table[column] for name, column in zip((*TISSUE, "mean_tumour_diameter"), columns, strict=True)}
    theirs = {name: np.where(np.abs(value) < 1e-20, 0.0, value) for name, value in theirs.items()}
    assert max(errors(MazzoccoGlioma(), theirs | {"time": table["t_month"]}, doses).values()) < 1e-8


def equations(model, begun):
    """The published equations with the time at which therapy began written into them."""

    def slope(t, state):
        drug, proliferative, quiescent, damaged = state
        kill = model.drug_efficacy * model.drug_elimination * drug
        growth = model.growth_rate * proliferative * (1 - (proliferative + quiescent + damaged) / 100.0)
        return [
            -model.drug_elimination * drug,
            growth
            + model.repair_rate * damaged
            - model.quiescence_rate * proliferative
            - kill * np.exp(-model.resistance_rate * (t - begun)) * proliferative,
            model.quiescence_rate * proliferative - kill * quiescent,
            kill * quiescent - model.repair_rate * damaged - model.death_rate * damaged,
        ]

    return slope


def test_resistance_runs_from_the_first_dose_whenever_that_is():
    given = {0: [(0.0, 1.0), (1.3, 0.5), (9.0, 1.0)], 1: [(4.0, 0.0), (7.7, 2.0), (7.9, 1.0)], 2: [(29.0, 1.0)]}
    rows = [(subject, time, amount) for subject, doses in given.items() for time, amount in doses]
    subject, time, amount = map(np.array, zip(*rows, strict=True))
    doses = Doses.of(subject, time, treatment=0 * subject, amount=amount)
    model = MazzoccoGlioma(resistance_rate=0.4)
    states, _ = states_at(model, [30.0], doses, n=3, method="dop853")
    begun = {0: 0.0, 1: 7.7, 2: 29.0}  # a dose of nothing begins no therapy
    assert states[:, 0, 5].tolist() == pytest.approx([30.0, 30.0 - 7.7, 1.0])
    for number, doses_of in given.items():
        state, clock = np.array([0.0, 1.72, 32.1, 0.0]), 0.0
        for when, dose in [*doses_of, (30.0, 0.0)]:
            if when > clock:
                slope = equations(model, begun[number])
                state = solve_ivp(slope, (clock, when), state, method="DOP853", rtol=1e-11, atol=1e-13).y[:, -1]
            state, clock = state + [dose, 0, 0, 0], when
        np.testing.assert_allclose(states[number, 0, :4], state, rtol=1e-8, atol=1e-12)


def test_resistance_spares_the_proliferative_tissue_only():
    model = MazzoccoGlioma()
    fresh, resistant = np.array([[0.5, 10.0, 20.0, 3.0, 1.0, 0.0]]), np.array([[0.5, 10.0, 20.0, 3.0, 1.0, 500.0]])
    first, second = (model.vector_field(np.zeros(1), state, np.zeros((1, 1)))[0] for state in (fresh, resistant))
    assert second[1] - first[1] == pytest.approx(0.254 * 8.3 * 0.5 * 10.0)
    assert np.array_equal(np.delete(first, 1), np.delete(second, 1))


def test_doses_at_one_instant_add_up():
    together = Doses.of([0, 0], [1.0, 1.0], treatment=[0, 0], amount=[1.0, 0.5])
    states, _ = states_at(MazzoccoGlioma(), [4.0], together, method="dop853")
    once, _ = states_at(MazzoccoGlioma(), [4.0], Doses.of([0], [1.0], treatment=[0], amount=[1.5]), method="dop853")
    np.testing.assert_allclose(states, once, rtol=1e-12)


def test_quiescent_tissue_is_damaged_before_it_goes():
    """What leaves Q under the drug is found in D: without growth, repair and death their sum stays."""
    model = MazzoccoGlioma(growth_rate=0.0, quiescence_rate=0.0, repair_rate=0.0, death_rate=0.0)
    states, _ = states_at(model, [1.0, 6.5, 30.0, 60.0], cycles(), method="dop853")
    assert states[0, :, 2] + states[0, :, 3] == pytest.approx([32.1] * 4, rel=1e-10)
    assert states[0, -1, 2] == pytest.approx(32.1 * np.exp(-0.254 * 18), rel=1e-8)  # each unit takes e^-gamma


def test_genotypes_change_the_typical_parameters():
    wild, mutated, codeleted = (typical(name) for name in GENOTYPES)
    assert wild.drug_efficacy[0] == 0.254 and wild.repair_rate[0] == 0.00947
    assert mutated.drug_efficacy[0] == pytest.approx(0.143, rel=1e-14) and mutated.repair_rate[0] == 0.00947
    assert codeleted.repair_rate[0] == pytest.approx(0.00807, rel=1e-14) and codeleted.drug_efficacy[0] == 0.254


def test_moments_of_the_population():
    n = 40_000
    people = MazzoccoGlioma().published_population(n, np.random.default_rng(1))
    genotype = people.statics[:, 0]
    assert np.bincount(genotype.astype(int)) / n == pytest.approx([0.26, 0.41, 0.33], abs=0.01)
    centre = {name: np.full(n, getattr(MazzoccoGlioma(), name)) for name in BETWEEN_SUBJECTS}
    centre["drug_efficacy"] = np.where(genotype == 1, 0.143, 0.254)
    centre["repair_rate"] = np.where(genotype == 2, 0.00807, 0.00947)
    published = {
        "initial_proliferative": 1.1136,
        "initial_quiescent": 0.2712,
        "growth_rate": 0.3352,
        "quiescence_rate": 0.5045,
        "repair_rate": 1.2876,
        "death_rate": 0.5556,
        "drug_efficacy": 0.3857,
        "resistance_rate": 0.4996,
        "drug_elimination": 0.2231,
    }
    assert set(people.parameters) == set(published)
    for name, variance in published.items():
        eta = np.log(people.parameters[name] / centre[name])
        assert stats.kstest(eta / np.sqrt(variance), "norm").pvalue > 1e-3, name


def test_nobody_is_refused_and_extreme_patients_stay_within_bounds():
    """20 000 draws; those with the fastest drug, growth, transitions and efficacy, by fixed steps and the truth."""
    people = MazzoccoGlioma().published_population(20_000, np.random.default_rng(5)).parameters
    everyone = replace(MazzoccoGlioma(), **people)
    names = ("drug_elimination", "growth_rate", "drug_efficacy", "repair_rate", "initial_quiescent")
    extreme = everyone.take(np.array([people[name].argmax() for name in names]))
    n = len(names)
    doses = Doses.of(np.repeat(np.arange(n), 18), np.tile(6 + CYCLE * np.arange(18), n), treatment=0, amount=1.0)
    times = [6.4, 12.0, 24.0]
    truth, solution = states_at(extreme, times, doses, n=n, method="dop853", rtol=1e-9)
    steps, stepped = states_at(extreme, times, doses, n=n, method="rk4")
    assert not solution.status.any() and not stepped.status.any()
    diameter, mine = extreme.observe(truth.reshape(-1, 6)), extreme.observe(steps.reshape(-1, 6))
    assert worst(mine, diameter) < 2e-3


@pytest.mark.parametrize("protocol", ["tmz_cycles", "tmz_randomised", "tmz_by_size"])
def test_protocols(protocol):
    cohort = simulate(MazzoccoGlioma(), Published(), configured("protocol", protocol), n_subjects=20, seed=1)
    assert len(cohort) == 20 and len(cohort.doses) > 50
    for subject in range(20):
        gaps = np.diff(cohort.observations.time[cohort.observations.subject == subject])
        assert (gaps >= 3.0).all()


def test_bad_input_is_named():
    with pytest.raises(SimulationError, match="drug_elimination = -1 /mo.*0 to 100"):
        MazzoccoGlioma(drug_elimination=-1.0)
    with pytest.raises(SimulationError, match="temozolomide = 6 1.*0 to 5"):
        states_at(MazzoccoGlioma(), [1.0], Doses.of([0, 0], [0.5, 0.5], treatment=[0, 0], amount=3.0), method="rk4")
    with pytest.raises(SimulationError, match="genotype is 'wild'"):
        typical("wild")
