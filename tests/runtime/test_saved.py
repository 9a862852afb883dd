"""A twin survives as plain data, under the bundle that made its state or another one."""

import copy
import json

import numpy as np
import pytest

from neurotwin.errors import DocumentError
from neurotwin.runtime import Predictor, Twin

LATER = {
    "id": "p-1",
    "time_unit": "d",
    "observations": [{"t": 50, "variable": "volume", "value": 26, "unit": "cm3"}],
    "treatments": [{"t": 45, "treatment": "chemo", "amount": 4, "unit": "mg"}],
}


def said(answer):
    return {
        key: value for key, value in answer.items() if key not in ("request_id", "converted", "inputs_ignored", "model")
    }


@pytest.fixture
def other(node_bundle, copy_of, rehash):
    """The same graphs released as another version."""
    folder = copy_of(node_bundle)
    rehash(folder, version="0.2.0")
    return Predictor.load(folder)


def through_json(twin):
    return json.loads(json.dumps(twin.to_dict(), allow_nan=False))


def test_restored_it_goes_on_as_if_nothing_had_happened(predictor, patient, plan, monkeypatch):
    twin = Twin.of(predictor, {**patient, "index_time": "2026-01-05", "now": 44})
    content = through_json(twin)
    with monkeypatch.context() as patch:
        patch.setattr(predictor._assimilate, "run", None)  # the state is taken as it is
        back = Twin.from_dict(predictor, content)
    assert np.array_equal(back.past.state, twin.past.state) and back.past.clock == twin.past.clock
    assert said(back.forecast(plan)) == said(twin.forecast(plan))
    for one in (twin, back):
        one.observe(LATER)
    assert said(back.forecast(plan)) == said(twin.forecast(plan))
    assert through_json(back) == through_json(twin)


def test_another_version_refuses_the_state_and_replays(predictor, other, patient, plan):
    twin = Twin.of(predictor, patient)
    content = through_json(twin)
    content["state"] = [0.0] * len(content["state"])
    back = Twin.from_dict(other, content)
    np.testing.assert_allclose(back.past.state, twin.past.state, rtol=1e-6)
    answer = back.forecast(plan)
    assert answer["model"]["version"] == "0.2.0" and said(answer) == said(twin.forecast(plan))


def test_silence_is_not_laundered(predictor, other, patient, plan):
    patient["treatments"][0]["treatment"] = "herb"
    twin = Twin.of(predictor, patient)
    for model in (predictor, other):
        assert Twin.from_dict(model, through_json(twin)).forecast(plan)["reasons"] == ["unknown_treatment"]


def test_a_twin_that_knows_nothing(predictor, plan):
    back = Twin.from_dict(predictor, through_json(Twin(predictor)))
    assert back.forecast(plan)["reasons"] == ["missing_required"]


@pytest.mark.parametrize(
    "change",
    [
        {"format": "2"},
        {"state": [1.0]},
        {"state": ["x"]},
        {"clock": None},
        {"refused": {"whim": ["x"]}},
        {"extra": 1},
        {"patient": {"id": "a"}},
        {"support": float("nan")},
    ],
)
def test_content_of_another_kind(predictor, patient, change):
    content = copy.deepcopy(through_json(Twin.of(predictor, patient))) | change
    with pytest.raises(DocumentError, match="twin"):
        Twin.from_dict(predictor, content)
    with pytest.raises(DocumentError):
        Twin.from_dict(predictor, [])
