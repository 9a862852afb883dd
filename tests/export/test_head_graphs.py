"""A bundle of a model with every head: torch, the graph and the numpy runtime say the same, and stay on the scales."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from head_cases import NAMES, SCHEMA, make_cohort
from toys import source_of

from neurotwin.calibration import Calibration
from neurotwin.episodes import make_episodes
from neurotwin.export import export_bundle
from neurotwin.models import NeuralOde
from neurotwin.runtime import Predictor, Twin
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Midpoint
from neurotwin.training import SurrogatePredictor

DISCRETE = ("score", "stage", "edema", "sign", "attacks")


pytestmark = pytest.mark.full  # one whole export


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder, cohort = tmp_path_factory.mktemp("heads"), make_cohort()
    torch.manual_seed(0)
    model = NeuralOde(SCHEMA, Scaling.fit(cohort.part("train")), Midpoint(2.0), memory=2, hidden=6, draws=4).eval()
    done = export_bundle(source_of(model, cohort, folder), folder / "heads@0.1.0", timelines=80)
    return model, cohort, Predictor.load(done.folder)


def test_torch_graph_and_runtime_give_the_same_answers(case):
    model, cohort, predictor = case
    episodes, _, _ = make_episodes(cohort, 4.0)
    one, other = SurrogatePredictor(model)(episodes), predictor(episodes)
    for name in ("quantiles", "draws", "mean"):
        mine, theirs = getattr(one, name), getattr(other, name)
        scale = np.abs(mine).max(axis=tuple(range(mine.ndim))[::2] if mine.ndim == 3 else 0, keepdims=True)
        np.testing.assert_allclose(mine / scale, theirs / scale, rtol=0, atol=2e-5, err_msg=name)


def test_means_are_means_of_draws_and_probabilities_are_between_0_and_1(case):
    _, cohort, predictor = case
    found = predictor(make_episodes(cohort, 4.0)[0])
    for name in (*DISCRETE, "titre"):
        index = NAMES.index(name)
        np.testing.assert_allclose(found.draws[:, index].mean(-1), found.mean[:, index], rtol=1e-5, atol=1e-5)
        head = SCHEMA.variables[index].recorded_as
        assert (found.draws[:, index] >= head.low).all() and (found.draws[:, index] <= head.high).all()


def test_calibrated_quantiles_rise_and_are_records(case):
    _, cohort, predictor = case
    episodes, _, _ = make_episodes(cohort, 4.0)
    wide = predictor.calibration.factor * 40
    stretched = Calibration.from_dict({**predictor.calibration.to_dict()})
    object.__setattr__(stretched, "factor", wide)
    raw, horizon = predictor(episodes), episodes.queries.time - 4.0
    for calibration in (predictor.calibration, stretched):
        found = calibration.apply(raw, horizon, SCHEMA)
        assert (np.diff(found.quantiles, axis=-1) >= 0).all()
        for index, variable in enumerate(SCHEMA.variables):
            head, quantiles = variable.recorded_as, found.quantiles[:, index]
            assert (quantiles >= head.low).all() and (quantiles <= head.high).all(), variable.name
            assert head.kind in ("gaussian", "student_t") or head.on_grid(quantiles).all(), variable.name
    sign = NAMES.index("sign")
    alike = stretched.apply(raw, horizon, SCHEMA).quantiles[:, sign]
    np.testing.assert_array_equal(alike, predictor.calibration.apply(raw, horizon, SCHEMA).quantiles[:, sign])


def test_the_signature_tells_the_heads(case):
    predictor = case[2]
    assert Schema.parse(json.loads(json.dumps(predictor.bundle.signature["schema"]))) == SCHEMA
    assert [channel.head for channel in predictor.signature.variables] == [one.recorded_as for one in SCHEMA.variables]
    assert predictor.bundle.calibration["channels"]["sign"]["basis"] == ["none", "none"]


def patient(**values):
    seen = [
        {"t": t, "variable": name, "value": value, "unit": SCHEMA.variables[NAMES.index(name)].unit}
        for t in (0, 1)
        for name, value in values.items()
    ]
    return {"id": "p", "time_unit": "d", "static": {"age": {"value": 50, "unit": "a"}}, "observations": seen}


PLAN = {"name": "plan", "time_unit": "d", "query": {"at": [0.5, 1.0]}, "treatments": []}


def test_no_channel_is_silenced_and_a_sign_has_a_probability(case, monkeypatch):
    predictor = case[2]
    # An untrained model of few patients finds everybody strange.
    monkeypatch.setattr(predictor, "signature", replace(predictor.signature, threshold=np.inf))
    answer = Twin.of(predictor, patient(level=95, score=30, sign=1, stage=4, edema=0.5, attacks=0)).forecast(PLAN)
    assert answer["status"] == "ok", answer["details"]
    assert answer["checks"] == {"finite": True, "plausible": True}
    for row in answer["prediction"]:
        head = SCHEMA.variables[NAMES.index(row["channel"])].recorded_as
        assert head.low <= row["interval"]["lo"] <= row["median"] <= row["interval"]["hi"] <= head.high
        if row["channel"] == "sign":
            assert 0 < row["probability"] < 1 and row["median"] == float(row["probability"] > 0.5)
        else:
            assert "probability" not in row


@pytest.mark.parametrize(("name", "value"), [("sign", 0.4), ("score", 27.5), ("edema", 0.25), ("attacks", 1.5)])
def test_a_value_that_is_no_record_is_refused(case, name, value):
    answer = Twin.of(case[2], patient(level=95, **{name: value})).forecast(PLAN)
    assert answer["status"] == "abstain" and "implausible_input" in answer["reasons"]
