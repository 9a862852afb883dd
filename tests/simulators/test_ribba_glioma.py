"""Low-grade glioma under PCV: reference values, and the two faults of the public model file."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats
from simulator_cases import configured, golden, reference, states_at, worst

from neurotwin.events import Doses
from neurotwin.simulators.population import Proposed
from neurotwin.simulators.ribba_glioma import PROPOSED_BETWEEN_SUBJECTS, RibbaGlioma
from neurotwin.simulators.simulate import simulate

COLUMNS = {"drug": 0, "proliferative": 1, "quiescent": 2, "damaged": 3}


def pcv(*times):
    return Doses.of(np.zeros(len(times)), np.array(times), treatment=np.zeros(len(times)), amount=1.0)


SIX = pcv(*(12.0 + 1.5 * np.arange(6)))


def error(model, theirs, doses, method="dop853"):
    states, solution = states_at(model, np.asarray(theirs["time"]), doses, method=method)
    assert not solution.status.any()
    found = [worst(states[0, :, index], theirs[name]) for name, index in COLUMNS.items() if np.any(theirs[name])]
    return max(*found, worst(model.observe(states[0])[:, 0], theirs["mean_tumour_diameter"]))


def without_dust(theirs):
    return {name: np.where(np.abs(value) < 1e-15, 0.0, value) for name, value in theirs.items()}


@pytest.mark.parametrize(("method", "tolerance"), [("dop853", 1e-9), ("lsoda", 1e-7), ("rk4", 1e-6)])
@pytest.mark.parametrize(("name", "doses"), [("single_dose", pcv(12.0)), ("untreated", None)])
def test_courses_match_the_reference(name, doses, method, tolerance):
    assert error(RibbaGlioma(), without_dust(golden("ribba_glioma.json")[name]), doses, method) < tolerance


@pytest.mark.parametrize(
    ("name", "doses"), [("untreated", None), ("single_dose_t12", pcv(12.0)), ("pcv6_q1.5m_from12", SIX)]
)
def test_printed_values(name, doses):
    rows = np.array(golden("ribba_glioma.json")["printed"][name])
    rows[np.abs(rows) < 1e-15] = 0.0
    time = rows[:, 0]
    states, _ = states_at(RibbaGlioma(), time, doses, method="dop853")
    at_dose = np.isin(time, [] if doses is None else doses.time)  # the printed state is that after the dose
    states[0, at_dose, 0] += 1.0
    np.testing.assert_allclose(states[0][:, [0, 1, 3, 2]], rows[:, 1:5], rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(RibbaGlioma().observe(states[0])[:, 0], rows[:, 5], rtol=1e-7)


def test_six_cycles_as_printed_in_the_specification():
    states, _ = states_at(RibbaGlioma(), [0.0, 12.0, 24.0, 48.0, 72.0], SIX, method="dop853")
    diameter = RibbaGlioma().observe(states[0])[:, 0]
    assert diameter == pytest.approx([48.33, 54.4071, 42.2578, 38.4097, 50.0196], abs=6e-5)


@pytest.mark.parametrize("name", sorted(set(RibbaGlioma.parameters) - {"resistance_rate"}))
def test_the_reference_notices_a_wrong_parameter(name):
    wrong = replace(RibbaGlioma(), **{name: getattr(RibbaGlioma(), name) * 1.001})
    assert error(wrong, golden("ribba_glioma.json")["single_dose"], pcv(12.0)) > 1e-5


def test_the_reference_notices_resistance():
    wrong = RibbaGlioma(resistance_rate=0.001)
    assert error(wrong, golden("ribba_glioma.json")["single_dose"], pcv(12.0)) > 1e-5


@pytest.mark.parametrize(("file", "doses"), [("untreated", None), ("single_dose_t12", pcv(12.0))])
def test_the_whole_course_matches_the_reference(file, doses):
    table = np.genfromtxt(reference(f"tumor_lgg_ribba2012_pcv/{file}.csv"), delimiter=",", names=True)
    table = table[table["time_month"] != 12.0]  # rows at a dose hold the state after it, ours that before it
    theirs = dict(zip((*COLUMNS, "mean_tumour_diameter"), ("C", "P_mm", "Q_mm", "Qp_mm", "MTD_mm"), strict=True))
    theirs = without_dust({name: table[column] for name, column in theirs.items()})
    assert error(RibbaGlioma(), theirs | {"time": table["time_month"]}, doses) < 1e-8


@dataclass(frozen=True)
class AsInBiomodels(RibbaGlioma):
    """BIOMD0000000521 as it stands: Q' = k_PQ - ..., without the factor P."""

    def vector_field(self, t, state, control):
        slope = super().vector_field(t, state, control)
        change = np.zeros_like(slope)
        change[:, 2] = self.quiescence_rate * (1 - state[:, 1])
        return slope + change


def test_the_public_file_is_another_model():
    """With its two faults put back the values printed for it come out; as published they do not."""
    rows = np.array(golden("ribba_glioma.json")["printed"]["sbml_verbatim_single_dose"])
    for model, matches in ((AsInBiomodels(quiescence_rate=0.00295), True), (RibbaGlioma(), False)):
        states, _ = states_at(model, rows[1:, 0], pcv(0.0), method="dop853")
        assert (worst(model.observe(states[0])[:, 0], rows[1:, 5]) < 1e-7) is matches
        assert (worst(states[0, :, 2], rows[1:, 4]) < 1e-7) is matches


def test_population():
    people = RibbaGlioma().proposed_population(20_000, np.random.default_rng(1)).parameters
    assert set(people) == set(PROPOSED_BETWEEN_SUBJECTS)
    for name, cv in PROPOSED_BETWEEN_SUBJECTS.items():
        eta = np.log(people[name] / getattr(RibbaGlioma(), name))
        assert stats.kstest(eta / np.sqrt(np.log1p(cv**2)), "norm").pvalue > 1e-3, name


@pytest.mark.parametrize("protocol", ["pcv_cycles", "pcv_randomised"])
def test_protocols(protocol):
    cohort = simulate(RibbaGlioma(), Proposed(), configured("protocol", protocol), n_subjects=30, seed=1)
    assert len(cohort) == 30 and len(cohort.doses) > 30
