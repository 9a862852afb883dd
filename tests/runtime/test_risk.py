"""The risk of crossing a threshold, and the words in which it is asked."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurotwin.errors import DocumentError
from neurotwin.heads import Head
from neurotwin.runtime import EventDocument, HorizonDocument, PlanDocument, Twin, parse_document
from neurotwin.runtime.risk import crossing, wilson

EVENT = {"channel": "volume", "above": 22.0, "unit": "cm3", "alarm": 0.2}
HORIZON = {"time_unit": "d", "every": 5, "until": 60}
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


def by_hand(twin, plan, threshold):
    """Shares of the joint draws that have crossed by each time."""
    item = twin.ask([parse_document(PlanDocument, plan, "plan")])[0]
    above = item.forecast.draws[:, 0] > threshold
    return np.maximum.accumulate(above, axis=0).mean(axis=1), above.mean(axis=1)


@pytest.fixture
def middle(predictor, patient, plan):
    """A threshold that about half of the draws are above, and the plan on the risk's grid."""
    plan["query"] = {"every": 5, "until": 60}
    item = Twin.of(predictor, patient).ask([parse_document(PlanDocument, plan, "plan")])[0]
    return float(np.median(item.forecast.draws[:, 0].max(axis=0)))


def test_the_risk_is_the_share_of_draws(predictor, patient, plan, middle):
    twin = Twin.of(predictor, patient)
    ever, then = by_hand(twin, plan, middle)
    answer = twin.risk({**EVENT, "above": middle}, HORIZON, plan)
    json.dumps(answer, allow_nan=False)
    assert answer["status"] == "ok" and "prediction" not in answer and answer["counterfactual"] == "observational"
    np.testing.assert_allclose([row["probability"] for row in answer["by_time"]], ever, rtol=1e-6)
    assert 0 < ever[-1] < 1 and answer["risk"] == answer["by_time"][-1]
    interval = answer["risk"]["interval"]
    assert interval["draws"] == 4 and interval["lo"] < ever[-1] < interval["hi"]
    at_once = twin.risk({**EVENT, "above": middle, "when": "end"}, HORIZON, plan)
    np.testing.assert_allclose([row["probability"] for row in at_once["by_time"]], then, rtol=1e-6)
    below = twin.risk({**EVENT, "above": None, "below": middle, "when": "end"}, HORIZON, plan)
    np.testing.assert_allclose([row["probability"] for row in below["by_time"]], 1 - then, rtol=1e-6)


def test_the_alarm_is_the_first_time_at_that_risk(predictor, patient, plan, middle):
    answer = Twin.of(predictor, patient).risk({**EVENT, "above": middle, "alarm": 0.2}, HORIZON, plan)
    first = next(row for row in answer["by_time"] if row["probability"] >= 0.2)
    assert answer["early_warning"] == {"alarm": 0.2, "t": first["t"], "after": first["after"]}
    never = Twin.of(predictor, patient).risk({**EVENT, "above": 100.0}, HORIZON, plan)
    assert never["risk"]["probability"] == 0 and never["early_warning"] == {"alarm": 0.2, "t": None, "after": None}
    assert never["risk"]["interval"]["lo"] == 0 < never["risk"]["interval"]["hi"]


def test_units_of_threshold_and_time_do_not_matter(predictor, patient, plan, middle):
    twin = Twin.of(predictor, patient)
    one = twin.risk({**EVENT, "above": middle}, HORIZON, plan)
    other = twin.risk(
        {**EVENT, "above": middle * 1000, "unit": "mm3"}, {"time_unit": "h", "every": 120, "until": 1440}, plan
    )
    assert one["by_time"] == other["by_time"] and other["converted"][-1]["at"] == "event"


def test_without_a_plan_what_runs_goes_on(predictor, patient):
    twin = Twin.of(predictor, patient)
    answer = twin.risk(EVENT, HORIZON)
    plan = {"name": "as it is", "time_unit": "d", "ongoing": "continue", "query": {"every": 5, "until": 60}}
    assert answer["plan"] == twin.forecast(plan)["plan"] and answer["plan"]["ongoing"] == "continue"
    assert answer["by_time"] == twin.risk(EVENT, HORIZON, plan)["by_time"]


def test_a_record_is_a_draw_with_the_noise_that_the_interval_tells(predictor, patient, plan):
    plan["query"] = {"every": 5, "until": 60}
    twin = Twin.of(predictor, patient)
    forecast = twin.ask([parse_document(PlanDocument, plan, "plan")])[0].forecast
    high = forecast.quantiles[-1, 0, forecast.levels.tolist().index(0.95)]
    event = {**EVENT, "above": high, "of": "record", "when": "end"}
    assert twin.risk(event, HORIZON, plan)["risk"]["probability"] == pytest.approx(0.05, abs=0.03)
    ever = twin.risk({**event, "when": "any"}, HORIZON, plan)
    assert ever["risk"]["probability"] > 0.1 and ever["event"]["of"] == "record"


def test_noise_that_is_known_is_found_again():
    from statistics import NormalDist

    from neurotwin.episodes import Forecast

    levels, course = np.array([0.05, 0.5, 0.95]), np.array([[1.0, 3.0]])
    total = (course.var() + 0.5**2) ** 0.5
    quantiles = np.array([[[2 + total * NormalDist().inv_cdf(level) for level in levels]]])
    event = EventDocument("x", above=2.5, of="record", when="end")
    found = crossing(Forecast(levels, quantiles, course[:, None]), 0, Head(), 2.5, event, 0.9)
    np.testing.assert_allclose(found[0], [NormalDist(mu, 0.5).cdf(2 * mu - 2.5) for mu in course[0]], rtol=1e-9)
    narrow = crossing(Forecast(levels, quantiles * 0 + 2, course[:, None]), 0, Head(), 2.5, event, 0.9)
    np.testing.assert_array_equal(narrow, [[0.0, 1.0]])


def test_wilson_against_published_numbers():
    """Newcombe 1998, Stat Med 17:857, table I: 81 of 263 and 0 of 20."""
    low, high = wilson(np.array([81 / 263]), 263, 0.95)
    np.testing.assert_allclose([low[0], high[0]], [0.2553, 0.3662], atol=5e-5)
    low, high = wilson(np.array([0.0]), 20, 0.95)
    np.testing.assert_allclose([low[0], high[0]], [0, 0.1611], atol=5e-5)


def test_it_is_silent_where_a_forecast_is(predictor, gru, patient, plan):
    one = Twin.of(gru, patient).risk(EVENT, HORIZON, plan)
    assert one["reasons"] == ["not_identified"] and one["risk"] is one["by_time"] is one["early_warning"] is None
    far = Twin.of(predictor, patient).risk(EVENT, {**HORIZON, "until": 5000}, plan)
    assert far["status"] == "abstain" and far["reasons"] == ["horizon_too_long"]
    assert Twin(predictor).risk(EVENT, HORIZON)["reasons"] == Twin(predictor).forecast(plan)["reasons"]


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"unit": None}, ["unit_missing"]),
        ({"unit": "kg"}, ["unit_unknown"]),
        ({"above": 1e9}, ["implausible_input"]),
        ({"above": 4900}, ["extrapolation"]),
    ],
)
def test_a_threshold_that_the_model_must_not_be_asked_about(predictor, patient, change, reasons):
    answer = Twin.of(predictor, patient).risk({**EVENT, **change}, HORIZON)
    assert (answer["status"], answer["reasons"], answer["risk"]) == ("abstain", reasons, None)


def test_an_unknown_channel_is_refused_without_its_name(predictor, patient):
    with pytest.raises(DocumentError, match="volume or temperature") as caught:
        Twin.of(predictor, patient).risk({**EVENT, "channel": "canary"}, HORIZON)
    assert "canary" not in str(caught.value)
    with pytest.raises(DocumentError, match="horizon: time_unit"):
        Twin.of(predictor, patient).risk(
            EVENT, {**HORIZON, "time_unit": "canary"}, {"name": "a", "time_unit": "d", "query": {"at": [1]}}
        )


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*EVENT, "below", "when", "of", "canary"]), JSON), st.sampled_from([EVENT, {}]))
def test_any_event_is_read_or_refused_without_a_value(content, base):
    try:
        event = parse_document(EventDocument, {**base, **content}, "event")
    except DocumentError as error:
        assert not any(
            str(item) in str(error).split("expected")[0] for item in content.values() if isinstance(item, float)
        )
    else:
        assert (event.above is None) != (event.below is None) and np.isfinite(event.threshold)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["every", "until", "at"]), JSON))
def test_any_horizon_is_read_or_refused(content):
    try:
        horizon = parse_document(HorizonDocument, {"time_unit": "d", **content}, "horizon")
    except DocumentError:
        return
    found = horizon.grid.times()
    assert found == sorted(set(found))
