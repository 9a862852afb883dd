"""The benchmark of paired differences: truth is that of the mechanism, and coverage counts patients alike."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.counterfactual import bundles, run
from benchmarks.counterfactual.truth import CONTRASTS, Pair, cohorts_of, pairs_of

from neurotwin.simulators.trial import stream

ROOT = Path(__file__).parents[2]
LUNG = CONTRASTS[0]


@pytest.fixture(scope="module")
def both():
    """The bundle of the repository, without and with its calibration of differences."""
    return bundles.calibrated("lung_tumour", Path("nowhere"))


def test_both_plans_are_of_the_same_patients_up_to_the_cut(both):
    trial = LUNG.trial(bundles.BUNDLES["lung_tumour"].kind)
    seen, true = cohorts_of(trial, LUNG.cut, 8)
    one, other = (cohort.observations for cohort in true)
    before = [table.value[table.time <= LUNG.cut] for table in (one, other)]
    np.testing.assert_array_equal(*before)
    assert not np.array_equal(before[0], seen[0].observations.value[one.time <= LUNG.cut])
    alone, calibrated = (pairs_of(predictor, trial, LUNG.horizon, 8) for predictor in both)
    pair, counts = calibrated
    assert counts["ok"] + counts["degraded"] >= 6 and len(pair[0].truth) > 20
    assert (pair[0].low <= pair[0].median).all() and (pair[0].median <= pair[0].high).all()
    assert np.abs(pair[0].truth).max() > 1e-3 and (pair[0].n > 0).all() and np.isnan(alone[0][0].n).all()
    np.testing.assert_array_equal(pair[0].median, alone[0][0].median)


def test_pairs_of_the_fit_and_of_the_benchmark_are_drawn_apart():
    drawn = bundles.BUNDLES["lung_tumour"].virtual(seed=run.UNSEEN)
    fitted = bundles.BUNDLES["lung_tumour"].virtual()
    assert drawn.seed != fitted.seed
    one, other = (regimens[0] for regimens in drawn.trial.plans.values())
    given = [regimen.draw(stream(1, 3, 5), 30.0) for regimen in (one, other)]
    assert not np.array_equal(given[0].time, given[1].time)


def test_the_released_bundle_was_calibrated_as_the_benchmark_says():
    part = bundles.calibrated("lung_tumour", Path("nowhere"))[1].paired
    expected = bundles.BUNDLES["lung_tumour"].virtual().about
    assert {key: part.pairs[key] for key in ("description", "plans", "cuts")} == {
        key: json.loads(json.dumps(expected[key])) for key in ("description", "plans", "cuts")
    }


def test_each_patient_has_the_same_weight():
    pair = Pair(
        "x", np.array([1.0, 2.0, 3.0, 1.0]), np.array([0, 0, 0, 1]), np.array([0.0, 0, 0, 9]), np.zeros(4),
        -np.ones(4), np.full(4, 3.0), np.array([9.0, 9.0, 0.0, 0.0]),
    )  # fmt: skip
    found = run.told(pair, 0, 5)
    assert found["patients"] == 2 and found["coverage"] == 0.5 and found["width"] == 4 and found["outside"] == 0.5
    assert run.told(pair, 5, 9)["coverage"] is None


def test_the_results_are_on_the_page():
    path = run.HERE / "results.json"
    if not path.is_file():
        pytest.skip("not measured yet")
    content = json.loads(path.read_text())
    text = (run.HERE / "README.md").read_text()
    assert all(block in text for block in run.tables(content)) and content["command"] == run.COMMAND
