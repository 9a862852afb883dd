"""Sensitivity of a forecast: each number is that of a twin told otherwise."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurotwin.errors import DocumentError
from neurotwin.runtime import Predictor, TargetDocument, Twin, parse_document

LUNG = Path(__file__).parents[2] / "checkpoints" / "lung_tumour@0.1.0"
TARGET = {"channel": "volume", "at": 60}


def median(twin, plan, at=60):
    answer = twin.forecast({**plan, "query": {"at": [at]}})
    return next(row["median"] for row in answer["prediction"] if row["channel"] == "volume")


def row_of(answer, kind, name, t):
    return next(row for row in answer["sensitivity"] if (row["input"], row["name"], row["t"]) == (kind, name, t))


@pytest.fixture
def now(patient):
    """The plan's start told, so that a record without its last event asks about the same time."""
    return {**patient, "now": 45.0}


@pytest.mark.parametrize("ongoing", ["stop", "continue"])
def test_without_an_input_is_a_twin_that_was_never_told(predictor, now, plan, ongoing):
    plan["ongoing"] = ongoing
    answer = Twin.of(predictor, now).explain(plan, TARGET)
    json.dumps(answer, allow_nan=False)
    base = median(Twin.of(predictor, now), plan)
    assert answer["status"] == "ok" and answer["target"]["forecast"] == pytest.approx(base, rel=1e-6)
    assert len(answer["sensitivity"]) == 5 + 4 + 1 + 2 and answer["left_out"] == 0
    cases = [("observation", "volume", 0, "observations", 0), ("observation", "temperature", 41.5, "observations", 4)]
    cases += [("treatment", "chemo", 20, "treatments", 1), ("treatment", "drip", 15, "treatments", 2)]
    cases += [("treatment", "pump", 25, "treatments", 3)]
    for kind, name, t, table, row in cases:
        record = copy.deepcopy(now)
        del record[table][row]
        expected = base - median(Twin.of(predictor, record), plan)
        assert row_of(answer, kind, name, t)["without"] == pytest.approx(expected, rel=1e-3, abs=1e-5), name
    expected = base - median(Twin.of(predictor, now), {**plan, "treatments": []})
    assert row_of(answer, "plan", "chemo", 52.0)["without"] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    del now["static"]["sex"]
    expected = base - median(Twin.of(predictor, now), plan)
    assert row_of(answer, "static", "sex", None)["without"] == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_a_change_is_that_of_twins_told_a_step_more_and_less(predictor, now, plan):
    answer = Twin.of(predictor, now).explain(plan, {**TARGET, "share": 0.05})
    low, high = predictor.signature.variables[0].trained
    factor = (high / low) ** 0.05  # a step on the logarithm
    told = []
    for value in (20.0 * factor, 20.0 / factor):
        record = copy.deepcopy(now)
        record["observations"][0]["value"] = value
        told.append(median(Twin.of(predictor, record), plan))
    row = row_of(answer, "observation", "volume", 0)
    assert row["change"] == pytest.approx((told[0] - told[1]) / 2, rel=1e-3, abs=1e-5)
    assert row["step"] == pytest.approx(20 * (factor - 1 / factor) / 2, rel=1e-6) and row["unit"] == "cm3"
    sizes = [max(abs(row["change"] or 0), abs(row["without"] or 0)) for row in answer["sensitivity"]]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 0


def test_what_cannot_be_moved_is_named(predictor, now, plan):
    answer = Twin.of(predictor, now).explain(plan, TARGET)
    assert answer["not_moved"] == [{"input": "static", "name": "sex", "t": None, "why": "a level"}]
    row = row_of(answer, "static", "sex", None)
    assert row["change"] is None and row["step"] is None and row["without"] is not None


def test_a_dose_of_nothing_is_moved_up_only(predictor, now, plan):
    plan["treatments"][0]["amount"] = 0
    row = row_of(Twin.of(predictor, now).explain(plan, TARGET), "plan", "chemo", 52.0)
    low, high = predictor.signature.treatments[0].trained
    told = copy.deepcopy(plan)
    told["treatments"][0]["amount"] = 0.01 * (high - low)
    twin = Twin.of(predictor, now)
    assert row["step"] == pytest.approx(0.01 * (high - low), rel=1e-6)
    assert row["change"] == pytest.approx(median(twin, told) - median(twin, plan), rel=1e-2, abs=1e-5)


def test_too_few_visits_say_nothing_about_leaving_one_out(predictor, now, plan):
    kept = now["observations"]
    now["observations"] = [kept[0], kept[2]]
    answer = Twin.of(predictor, now).explain(plan, TARGET)
    assert answer["status"] == "ok"
    row = row_of(answer, "observation", "volume", 0)
    assert row["without"] is None and row["change"] is not None


def test_the_latest_inputs_are_looked_at(predictor, now, plan):
    answer = Twin.of(predictor, now).explain(plan, {**TARGET, "most": 4})
    assert {row["input"] for row in answer["sensitivity"]} >= {"static", "plan"} and answer["left_out"] == 8


def test_batches_do_not_matter(predictor, now, plan, monkeypatch):
    whole = Twin.of(predictor, now).explain(plan, TARGET)
    monkeypatch.setattr("neurotwin.runtime.variants.MOST_CELLS", 1)
    parts = Twin.of(predictor, now).explain(plan, TARGET)
    key = lambda row: (row["input"], row["name"], row["t"] or 0)  # noqa: E731
    for one, other in zip(sorted(whole["sensitivity"], key=key), sorted(parts["sensitivity"], key=key), strict=True):
        np.testing.assert_allclose(
            [one["change"] or 0, one["without"] or 0], [other["change"] or 0, other["without"] or 0], atol=2e-5
        )


def test_a_single_course_is_enough(gru, now, plan):
    answer = Twin.of(gru, now).explain(plan, {"channel": "temperature"})
    assert answer["status"] == "ok" and answer["target"]["after"] == 90 and answer["target"]["unit"] == "Cel"


def test_a_trained_twin_knows_that_radiation_shrinks_a_tumour():
    """Geng et al., Sci Rep 7:13542 (2017): each fraction kills cells of the tumour."""
    volumes = ((0, 30.0), (7, 33.0), (14, 36.0), (21, 35.0))
    seen = [{"t": t, "variable": "tumour_volume", "value": value, "unit": "cm3"} for t, value in volumes]
    fractions = [{"t": t, "treatment": "radiotherapy", "amount": 2, "unit": "Gy"} for t in range(1, 6)]
    plan = {"name": "a", "time_unit": "d", "query": {"at": [20]}, "treatments": fractions}
    twin = Twin.of(Predictor.load(LUNG), {"id": "p", "time_unit": "d", "observations": seen})
    answer = twin.explain(plan, {"channel": "tumour_volume"})
    rows = [row for row in answer["sensitivity"] if row["input"] == "plan"]
    assert len(rows) == 5 and all(row["change"] < 0 and row["without"] < 0 for row in rows)
    event = {"channel": "tumour_volume", "above": 40, "unit": "cm3"}
    horizon = {"time_unit": "d", "every": 1, "until": 30}
    treated, untreated = (twin.risk(event, horizon, {**plan, "treatments": what}) for what in (fractions, []))
    assert treated["risk"]["probability"] < untreated["risk"]["probability"]


def test_it_is_silent_where_a_forecast_is(predictor, patient, plan):
    far = Twin.of(predictor, patient).explain(plan, {**TARGET, "at": 5000})
    assert far["status"] == "abstain" and far["reasons"] == ["horizon_too_long"] and far["sensitivity"] is None
    assert "forecast" not in far["target"]
    assert Twin(predictor).explain(plan, TARGET)["reasons"] == Twin(predictor).forecast(plan)["reasons"]
    with pytest.raises(DocumentError, match="volume or temperature") as caught:
        Twin.of(predictor, patient).explain(plan, {"channel": "canary"})
    assert "canary" not in str(caught.value)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["channel", "at", "share", "most", "x"]), st.none() | st.floats() | st.text(max_size=5)
    )
)
def test_any_target_is_read_or_refused(content):
    try:
        target = parse_document(TargetDocument, {"channel": "a", **content}, "target")
    except DocumentError:
        return
    assert 0 < target.share <= 0.25 and 1 <= target.most <= 1000
