"""The benchmark of paired differences: truth is that of the mechanism, and coverage counts patients alike."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.counterfactual import run
from benchmarks.counterfactual.truth import CONTRASTS, Pair, cohorts_of, pairs_of
from benchmarks.failsafe.twins import TWINS

from neurotwin.runtime import Predictor

LUNG = Path(__file__).parents[2] / "checkpoints" / "lung_tumour@0.1.0"


def test_both_plans_are_of_the_same_patients_up_to_the_cut():
    contrast = CONTRASTS[0]
    kind = TWINS[contrast.kind]
    seen, true = cohorts_of(contrast, kind, 8)
    one, other = (true[name].observations for name in contrast.plans)
    before = [table.value[table.time <= contrast.cut] for table in (one, other)]
    np.testing.assert_array_equal(*before)
    assert not np.array_equal(before[0], seen[next(iter(contrast.plans))].observations.value[one.time <= contrast.cut])
    pairs, counts = pairs_of(contrast, Predictor.load(LUNG), kind, 8)
    assert sum(counts.values()) >= 6 and len(pairs[0].truth) > 20
    assert (pairs[0].low <= pairs[0].median).all() and (pairs[0].median <= pairs[0].high).all()
    assert np.abs(pairs[0].truth).max() > 1e-3


def test_each_patient_has_the_same_weight():
    pair = Pair(
        "x", np.array([1.0, 2.0, 3.0, 1.0]), np.array([0, 0, 0, 1]), np.array([0.0, 0, 0, 9]), np.zeros(4),
        -np.ones(4), np.full(4, 3.0),
    )  # fmt: skip
    found = run.told(pair, 0, 5)
    assert found["patients"] == 2 and found["coverage"] == 0.5 and found["width"] == 4
    assert found["factor"] == pytest.approx(np.quantile([0, 3], 0.9))
    assert run.told(pair, 5, 9)["coverage"] is None


def test_the_results_are_on_the_page():
    path = run.HERE / "results.json"
    if not path.is_file():
        pytest.skip("not measured yet")
    content = json.loads(path.read_text())
    text = (run.HERE / "README.md").read_text()
    assert all(block in text for block in run.tables(content)) and content["command"] == run.COMMAND
