"""Pairs of plans for virtual patients: drawn apart from each other, and asked as the runtime would ask."""

from pathlib import Path

import numpy as np
import pytest

from neurotwin import compose
from neurotwin.calibrating.pairs import Redrawn, Trial, drawn_plans, gaps_of
from neurotwin.errors import BundleError, CohortError
from neurotwin.events import Doses
from neurotwin.runtime import Predictor, Twin
from neurotwin.runtime.tried import totals_by
from neurotwin.simulators.regimens import Listed, RandomCycles
from neurotwin.simulators.simulate import simulate_plans
from neurotwin.verbs.examples import patient_document

ROOT = Path(__file__).parents[2]
CYCLES = RandomCycles("chemotherapy", [1.0, 2.0, 3.0, 4.0, 5.0], [7.0], count=(1, 4))


@pytest.fixture(scope="module")
def lung():
    return Predictor.load(next((ROOT / "checkpoints").glob("lung_tumour@*")))


def trial(plans, cuts=(25.0,)):
    config = compose.compose("simulate", ["simulator=geng_nsclc"])
    parts = [compose.build(config[name], name) for name in ("simulator", "population", "protocol")]
    return Trial(*parts, plans, cuts, 77)


def test_two_plans_of_one_patient_are_drawn_apart():
    amounts = {}
    for number in (0, 1):
        drawn = [Redrawn(CYCLES, number, "chemotherapy").draw(np.random.default_rng(seed), 40.0) for seed in range(400)]
        again = Redrawn(CYCLES, number, "chemotherapy").draw(np.random.default_rng(0), 40.0)
        np.testing.assert_array_equal(drawn[0].amount, again.amount)
        amounts[number] = np.array([one.amount[0] for one in drawn])
    assert abs(np.corrcoef(amounts[0], amounts[1])[0, 1]) < 0.15 and set(amounts[0]) == set(CYCLES.amounts)


def test_the_difference_is_that_of_the_twin_and_of_the_mechanism(lung):
    plans = {"a": [Listed("radiotherapy", [0.0, 2.0], [2.0, 2.0])], "b": [Listed("chemotherapy", [1.0], [5.0])]}
    asked = trial(plans)
    gaps = gaps_of(lung, asked, 6)
    who = gaps.subject[gaps.size.argmax()]  # a tumour that is never below the limit of quantification
    assert len(np.unique(gaps.subject)) >= 4 and (gaps.low <= gaps.median).all() and (gaps.median <= gaps.high).all()
    assert gaps.totals[gaps.after > 3].tolist() == [[[0, 4], [5, 0]]] * int((gaps.after > 3).sum())
    own = gaps.take(gaps.subject == who)
    people = {"plans": plans, "cut": 25.0, "n_subjects": 6, "seed": 77}
    seen, true = (
        simulate_plans(asked.simulator, asked.population, asked.protocol, **people, noise=noise)
        for noise in (True, False)
    )
    values = [one.observations.value[(one.observations.subject == who) & (one.observations.time > 25)]
              for one in true.values()]  # fmt: skip
    np.testing.assert_array_equal(own.truth, values[1] - values[0])
    given = {"a": [("radiotherapy", t, 2, "Gy") for t in (0, 2)], "b": [("chemotherapy", 1, 5, "mg/m3")]}
    documents = [
        {"name": name, "time_unit": "d", "query": {"at": own.after.tolist()},
         "treatments": [{"t": t, "treatment": what, "amount": much, "unit": unit} for what, t, much, unit in doses]}
        for name, doses in given.items()
    ]  # fmt: skip
    rows = Twin.of(_uncalibrated(lung), patient_document(seen["a"], who, 25.0)).compare(documents)["differences"]
    for name, column in (("median", own.median), ("lo", own.low), ("hi", own.high)):
        told = [row.get(name, row["interval"].get(name)) for row in rows]
        np.testing.assert_allclose(told, column, rtol=1e-2, atol=1e-4)


def _uncalibrated(predictor):
    alone = Predictor(predictor.bundle)
    alone.paired = None
    return alone


def test_doses_above_those_of_training_are_not_asked_about(lung):
    mild, strong = Listed("chemotherapy", [0.0], [5.0]), Listed("chemotherapy", [0.0], [9.0])
    assert len(gaps_of(lung, trial({"a": [mild], "b": []}), 5))
    assert not len(gaps_of(lung, trial({"a": [strong], "b": []}), 5))


def test_other_patients_and_models_without_draws_are_refused(lung, node_bundle, gru_bundle):
    with pytest.raises(CohortError, match="other variables"):
        gaps_of(Predictor.load(node_bundle), trial(drawn_plans([CYCLES])), 5)
    with pytest.raises(BundleError, match="no joint draws"):
        gaps_of(Predictor.load(gru_bundle), trial(drawn_plans([CYCLES])), 5)


def test_totals_are_amounts_and_rates_times_time():
    doses = Doses.of(0, [1.0, 4.0, 9.0, 9.0], [np.nan, 8.0, np.nan, np.inf], [0, 1, 0, 1], [5.0, 2.0, 3.0, 1.0])
    found = totals_by(doses, 2.0, np.array([0.0, 2.0, 4.0, 7.0, 8.0]), 2)
    assert found.tolist() == [[0, 0], [0, 0], [0, 4], [0, 8], [3, 9]]


def test_a_twin_of_an_old_bundle_says_that_differences_are_joint_draws(lung):
    patient = {"id": "x", "time_unit": "d", "static": {}, "observations": [
        {"t": t, "variable": "tumour_volume", "value": 30.0, "unit": "cm3"} for t in (0, 3, 6)]}  # fmt: skip
    plans = [{"name": name, "time_unit": "d", "query": {"at": [5]}, "treatments": given} for name, given in (
        ("none", []), ("chemo", [{"t": 0, "treatment": "chemotherapy", "amount": 5, "unit": "mg/m3"}]))]  # fmt: skip
    answer = Twin.of(_uncalibrated(lung), patient).compare(plans)
    assert answer["difference_reasons"] == [] and answer["difference_details"] == []
    assert {row["interval"]["kind"] for row in answer["differences"]} == {"joint_draws"}
