"""Alerts: what each visit is set beside, what is called an alert, and what is not."""

import copy
import json
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurotwin.errors import DocumentError
from neurotwin.runtime import AlertPolicyDocument, Predictor, Reason, Twin, parse_document
from neurotwin.runtime.retrospect import look_back

BUSY = 4.0
LOOSE = {"outside": {"level": 0.2}, "drift": {"reference": 0.2, "limit": 1}}
UNITS = {"volume": "cm3", "temperature": "Cel"}


@pytest.fixture(scope="module")
def predictor(node_bundle):
    """One that speaks of any state: the toy was never trained, and knows none of them."""
    found = Predictor.load(node_bundle)
    found.signature = replace(found.signature, threshold=1e6)
    return found


@pytest.fixture(scope="module")
def gru(gru_bundle):
    """As `predictor`."""
    found = Predictor.load(gru_bundle)
    found.signature = replace(found.signature, threshold=1e6)
    return found


def record(n=24, seed=0, gap=3.0, **treatments):
    """A patient of ``n`` visits, some of them after a dose, under all kinds of treatment."""
    rng = np.random.default_rng(seed)
    seen = []
    for number in range(n):
        t = float(np.round(number * gap + (number > 0) * rng.uniform(0, 1), 1))
        seen.append(observed(t, "volume", 22 * np.exp(rng.normal(0, 0.1))))
        if number % 3:
            seen.append(observed(t, "temperature", 37 + rng.normal(0, 0.3)))
        if number % 5 == 4:
            seen.append({**observed(t, "volume", 21.0 + number / 10), "post_dose": True})
    doses = [
        {"t": seen[index]["t"], "treatment": "chemo", "amount": 2, "unit": "mg"}
        for index in (5, 8, 20)
        if index < len(seen)
    ]
    doses += [{"t": 10.5, "treatment": "chemo", "amount": 2, "unit": "mg"}]
    doses += [{"t": 8.2, "t_end": 21.7, "treatment": "drip", "rate": 4, "unit": "mg/h"}]
    doses += [{"t": 30.1, "treatment": "pump", "level": 0.5, "unit": "1"}]
    statics = {"age": {"value": 50, "unit": "a"}, "sex": "f"}
    return {"id": "p", "time_unit": "d", "static": statics, "observations": seen, "treatments": doses}


def observed(t, variable, value):
    return {"t": t, "variable": variable, "value": float(value), "unit": UNITS[variable]}


def up_to(document, t):
    """The record as it was known at the visit at ``t``: a period that ends later is open."""
    cut = copy.deepcopy(document)
    cut["observations"] = [one for one in cut["observations"] if one["t"] <= t]
    late = {one["t"] for one in cut["observations"] if one.get("post_dose")}
    known = lambda one: one["t"] < t or (one["t"] == t and t in late)  # noqa: E731
    cut["treatments"] = [one for one in cut["treatments"] if known(one)]
    for one in cut["treatments"]:
        if one.get("t_end", t) > t:
            del one["t_end"]
    return cut | {"now": t}


def without_ids(answer):
    return {name: value for name, value in answer.items() if name != "request_id"}


def test_a_visit_stands_beside_the_forecast_made_at_the_one_before(predictor):
    document = record()
    found = look_back(Twin.of(predictor, document).past)
    seen, column = found.observations, 0
    times = sorted({one["t"] for one in document["observations"]})
    assert found.checked.sum() == (seen.time > times[predictor.signature.min_visits - 1]).sum()
    assert set(found.unchecked) == {Reason.TOO_FEW_OBSERVATIONS}
    rows, marginals = found.of(Twin.of(predictor, document).past, column)
    low, high = marginals.interval(0.9)
    for place, row in enumerate(rows):
        if not found.checked[row] or seen.post_dose[row]:
            continue
        before = times[times.index(seen.time[row]) - 1]
        twin = Twin.of(predictor, up_to(document, before))
        since = [one for one in document["treatments"] if before <= one["t"] < seen.time[row]]
        told = {(one["t"], one["treatment"]) for one in up_to(document, before)["treatments"]}
        since = [{**one, "t": one["t"] - before} for one in since if (one["t"], one["treatment"]) not in told]
        since = [{**one, "t_end": one["t_end"] - before} if "t_end" in one else one for one in since]
        if 8 <= before < 22:  # what the infusion's end does is not in a plan that lets it go on
            continue
        plan = {"name": "a", "time_unit": "d", "ongoing": "continue", "treatments": since}
        answer = twin.forecast({**plan, "query": {"at": [float(seen.time[row]) - before]}})
        foretold = next(one for one in answer["prediction"] if one["channel"] == "volume")
        ends = (marginals.median[place], low[place], high[place])
        expected = (foretold["median"], foretold["interval"]["lo"], foretold["interval"]["hi"])
        np.testing.assert_allclose(ends, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["predictor", "gru"])
def test_streaming_tells_what_the_whole_record_tells(kind, request):
    predictor, document = request.getfixturevalue(kind), record()
    policy = {**LOOSE, "time_unit": "d", "stale": [{"channel": "temperature", "longest": 3.5}]}
    whole = Twin.of(predictor, document).alerts(policy)
    assert whole["status"] == "ok" and {row["kind"] for row in whole["alerts"]} >= {"outside_interval", "drift"}
    assert any(row["kind"] == "stale_input" for row in whole["alerts"])
    twin = Twin(predictor)
    for t in sorted({one["t"] for one in document["observations"]}):
        twin.observe(up_to(document, t))
        now = twin.alerts(policy)
        # What is stale is so after its time, not at it.
        expected = [row for row in whole["alerts"] if row["t"] < t or (row["t"] == t and row["kind"] != "stale_input")]
        assert len(now["alerts"]) == len(expected)
        for one, other in zip(now["alerts"], expected, strict=True):
            assert {**one, "score": 0, "interval": 0, "median": 0} == {**other, "score": 0, "interval": 0, "median": 0}
            assert (one["score"] or 0) == pytest.approx(other["score"] or 0, rel=1e-4, abs=1e-4)
    shuffled = {**document, "observations": document["observations"][::-1]}
    assert without_ids(Twin.of(predictor, shuffled).alerts(policy)) == without_ids(whole)


def test_a_model_of_whole_histories_tells_the_same(predictor, monkeypatch):
    past = Twin.of(predictor, record()).past
    recursive = look_back(past)
    monkeypatch.setattr(predictor, "signature", replace(predictor.signature, recursive=False))
    monkeypatch.setattr("neurotwin.runtime.retrospect.MOST_CELLS", 3000)
    whole = look_back(past)
    np.testing.assert_array_equal(whole.checked, recursive.checked)
    np.testing.assert_allclose(whole.quantiles, recursive.quantiles, rtol=1e-5, atol=1e-5)


def test_since_tells_the_tail(predictor):
    twin = Twin.of(predictor, record())
    whole, tail = twin.alerts(LOOSE), twin.alerts({**LOOSE, "since": 40 * 24, "time_unit": "h"})
    assert tail["alerts"] == [row for row in whole["alerts"] if row["t"] > 40]
    assert 0 < tail["n_checked"] < whole["n_checked"] and tail["policy"]["since"] == 40
    assert tail["burden"]["days"] == pytest.approx(twin.begin - 40)
    assert whole["burden"]["per_day"] == pytest.approx(len(whole["alerts"]) / whole["burden"]["days"])
    json.dumps(whole, allow_nan=False)


def test_a_value_that_was_not_foretold(predictor):
    document = record(12)
    quiet = Twin.of(predictor, document).alerts({"kinds": ["outside_interval"], "outside": {"level": 0.999}})
    assert quiet["alerts"] == []
    wild = next(one for one in document["observations"] if one["t"] > 20 and one["variable"] == "volume")
    wild["value"] = 80.0
    answer = Twin.of(predictor, document).alerts({"kinds": ["outside_interval"]})
    row = next(row for row in answer["alerts"] if row["t"] == wild["t"])
    assert (row["channel"], row["unit"], row["value"]) == ("volume", "cm3", 80.0)
    assert row["score"] > 1.7 and row["median"] < row["interval"]["hi"] < 80 and row["since"] < row["t"]
    assert row["interval"]["level"] == 0.9 and row["interval"]["calib_n"] > 0
    other = Twin.of(predictor, document).alerts({"kinds": ["outside_interval"], "outside": {"level": 0.94}})
    wide = next(one for one in other["alerts"] if one["t"] == wild["t"])["interval"]
    assert wide["hi"] > row["interval"]["hi"] and set(wide) == {"level", "lo", "hi"}


def stream(predictor, values, channel="temperature", gap=1.0):
    """The alerts of one channel's records, all kinds."""
    seen = [observed(gap * number, channel, value) for number, value in enumerate(values)]
    return Twin.of(predictor, {"id": "p", "time_unit": "d", "observations": seen})


def test_a_stuck_sensor_is_told_and_one_that_rounds_is_not(predictor):
    rng = np.random.default_rng(3)
    usual = 37 + rng.normal(0, 0.3, 40)
    policy = {"kinds": ["stuck_signal"]}
    assert stream(predictor, usual).alerts(policy)["alerts"] == []
    stuck = np.r_[usual[:30], np.full(10, usual[29])]
    rows = stream(predictor, stuck).alerts(policy)["alerts"]
    assert [row["kind"] for row in rows] == ["stuck_signal"]  # once, not at each of its records
    assert 30 < rows[0]["t"] <= 36 and rows[0]["since"] >= 29 and rows[0]["spread"] == 0 and rows[0]["score"] < -6
    trembling = np.r_[usual[:30], usual[29] + rng.uniform(-1e-3, 1e-3, 10)]
    assert stream(predictor, trembling).alerts(policy)["alerts"]
    # A thermometer that shows half degrees says the same again and again.
    rounded = np.round(usual * 2) / 2
    assert max(np.diff(np.flatnonzero(np.diff(rounded) != 0))) > 3
    assert stream(predictor, rounded).alerts(policy)["alerts"] == []
    known = {"channel": "temperature", "step": 1.0, "unit": "Cel"}
    assert stream(predictor, stuck).alerts({**policy, "stuck": {"resolution": [known]}})["alerts"] == []


def test_a_slow_channel_is_not_stuck(predictor, monkeypatch):
    """Where the model expects hardly any change, hardly any change is no alert."""
    steady = 37 + 1e-3 * np.arange(30)
    policy = {"kinds": ["stuck_signal"]}
    assert stream(predictor, steady).alerts(policy)["alerts"]
    narrow = replace(predictor.calibration, factor=predictor.calibration.factor * 1e-3)
    monkeypatch.setattr(predictor, "calibration", narrow)
    chance = stream(predictor, steady).alerts({**policy, "kinds": ["drift"]})
    assert chance["status"] == "ok"
    past = stream(predictor, np.full(30, 37.0)).past
    found = look_back(past)
    centred = replace(found, quantiles=found.quantiles - found.quantiles[:, 4:5] + 37.0)
    monkeypatch.setattr("neurotwin.runtime.alerts.look_back", lambda past: centred)
    resolution = [{"channel": "temperature", "step": 0.1, "unit": "Cel"}]
    answer = stream(predictor, np.full(30, 37.0)).alerts({**policy, "stuck": {"resolution": resolution}})
    assert answer["alerts"] == []


def test_a_drift_is_told_with_its_run_length(predictor):
    course = np.r_[np.full(20, 5.0), np.geomspace(5.0, 80.0, 8)]
    twin = stream(predictor, course, "volume")
    answer = twin.alerts({"kinds": ["drift"], "drift": {"reference": 0.25, "limit": 3}})
    rows = [row for row in answer["alerts"] if row["t"] > 19]
    assert rows and all(row["score"] > 0.25 and row["n"] >= 2 and 20 <= row["since"] <= row["t"] for row in rows)
    usual = twin.alerts()["policy"]["drift"]
    assert usual == {"reference": 0.5, "limit": 5.0, "average_run_length": 469.0}


def test_what_is_stale_the_policy_says(predictor, plan):
    document = record(12) | {"now": 60.0}
    twin = Twin.of(predictor, document)
    assert not [row for row in twin.alerts()["alerts"] if row["kind"] == "stale_input"]
    policy = {"kinds": ["stale_input"], "time_unit": "d", "stale": [{"channel": "volume", "longest": 10}]}
    rows = twin.alerts(policy)["alerts"]
    last = max(one["t"] for one in document["observations"])
    assert [(row["since"], row["t"], row["longest"]) for row in rows] == [(last, last + 10, 10)]
    plain, warned = twin.forecast(plan), twin.forecast(plan, policy)
    assert warned["status"] == "degraded" and warned["reasons"] == [*plain["reasons"], "stale_input"]
    assert "stale_input: patient: volume" in warned["details"] and warned["prediction"] == plain["prediction"]
    fresh = {**policy, "stale": [{"channel": "volume", "longest": 40}]}
    assert without_ids(twin.forecast(plan, fresh)) == without_ids(plain)
    both = twin.compare([plan, {**plan, "name": "b"}], policy)
    assert [one["reasons"] for one in both["plans"]] == [["stale_input"]] * 2


def test_a_forecast_from_a_stuck_sensor_is_degraded(predictor, plan):
    rng = np.random.default_rng(3)
    twin = stream(predictor, np.r_[37 + rng.normal(0, 0.3, 30), np.full(10, 37.123)])
    assert "stuck_signal" in twin.forecast(plan, {})["reasons"] and "stuck_signal" not in twin.forecast(plan)["reasons"]


def test_it_is_silent_where_nothing_can_be_said(predictor, patient):
    assert Twin(predictor).alerts()["reasons"] == ["missing_required"]
    patient["observations"][2]["unit"] = "kg"
    answer = Twin.of(predictor, patient).alerts()
    assert answer["status"] == "abstain" and answer["reasons"] == ["unit_unknown"]
    assert answer["alerts"] is None and answer["burden"] is None and answer["n_checked"] == 0
    few = stream(predictor, [37.0, 37.1])
    assert few.alerts()["reasons"] == ["too_few_observations"]
    stale = {"time_unit": "d", "stale": [{"channel": "volume", "longest": 0.5}]}
    answer = few.alerts(stale)
    assert answer["status"] == "degraded" and [row["kind"] for row in answer["alerts"]] == ["stale_input"]
    only = {"id": "p", "time_unit": "d", "treatments": [{"t": 1, "treatment": "chemo", "amount": 4, "unit": "mg"}]}
    assert Twin.of(predictor, only).alerts()["reasons"] == ["too_few_observations"]
    far = stream(predictor, np.full(5, 37.0), gap=5000.0).alerts()
    assert far["status"] == "abstain" and "horizon_too_long" in far["reasons"]
    assert {"reason": "horizon_too_long", "n": 3} in far["not_checked"]


@pytest.mark.parametrize(
    ("policy", "match"),
    [
        ({"since": 3}, "a time without its unit"),
        ({"stale": [{"channel": "volume", "longest": 3}]}, "a time without its unit"),
        ({"time_unit": "parsec"}, "policy: time_unit"),
        ({"time_unit": "d", "stale": [{"channel": "canary", "longest": 3}]}, "volume or temperature"),
        ({"time_unit": "d", "stale": [{"channel": "volume", "longest": 1}] * 2}, "stands twice"),
        ({"stuck": {"resolution": [{"channel": "volume", "step": 1, "unit": "kg"}]}}, "a unit that the channel"),
        ({"kinds": ["canary"]}, "not one of the choices"),
        ({"stuck": {"least": 5, "most": 4}}, "a run is out of range"),
        ({"outside": {"level": 1}}, "not a probability"),
        ({"level": 0.9}, "unknown field"),
    ],
)
def test_a_policy_that_must_not_be_used(predictor, patient, policy, match):
    with pytest.raises(DocumentError, match=match) as caught:
        Twin.of(predictor, patient).alerts(policy)
    assert "canary" not in str(caught.value)


RULES = st.dictionaries(
    st.sampled_from(["level", "reference", "limit", "probability", "least", "most", "x"]), st.none() | st.floats()
)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["time_unit", "since", "kinds", "outside", "drift", "stuck", "stale", "x"]),
        st.none() | st.floats() | st.text(max_size=3) | RULES | st.lists(RULES | st.text(max_size=3), max_size=2),
    )
)
def test_any_policy_is_read_or_refused(content):
    try:
        policy = parse_document(AlertPolicyDocument, content, "policy")
    except DocumentError:
        return
    assert 2 <= policy.stuck.least <= policy.stuck.most <= 100 and 0 < policy.stuck.probability < 1
    assert policy.time_unit is not None or (policy.since is None and not policy.stale)


def test_a_long_record_is_looked_through_at_once(predictor):
    rng = np.random.default_rng(0)
    twin = stream(predictor, 37 + rng.normal(0, 0.3, 300))
    twin.alerts()
    times = []
    for _ in range(3):
        begin = time.process_time()
        twin.alerts()
        times.append(time.process_time() - begin)
    assert min(times) < BUSY * 0.2


def test_nothing_is_checked_by_a_forecast_that_would_not_have_been_given(node_bundle):
    predictor = Predictor.load(node_bundle)
    twin = Twin.of(predictor, record())
    answer = twin.alerts(LOOSE)
    silent = [
        t for t in sorted(set(twin.past.observations.time)) if _support(predictor, t) > predictor.signature.threshold
    ]
    assert silent and answer["status"] == "degraded" and answer["reasons"] == ["ood"]
    assert not [row for row in answer["alerts"] if row["kind"] == "outside_interval" and row["since"] in silent]


def _support(predictor, t):
    return Twin.of(predictor, up_to(record(), t)).past.support


def test_a_bundle_that_speaks_says_alerts_too(node_bundle, patient):
    """From a saved twin: the state is not needed, the record is."""
    predictor = Predictor.load(node_bundle)
    twin = Twin.of(predictor, record(8))
    again = Twin.from_dict(predictor, json.loads(json.dumps(twin.to_dict())))
    assert without_ids(again.alerts(LOOSE)) == without_ids(twin.alerts(LOOSE))
