"""The front of a goal against a total dose, with the trained twin of a tumour."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurotwin.errors import DocumentError, ExtraMissingError
from neurotwin.runtime import BudgetDocument, ConstraintsDocument, GoalDocument, Predictor, Twin, parse_document

LUNG = Path(__file__).parents[2] / "checkpoints" / "lung_tumour@0.1.0"
GOAL = {"channel": "tumour_volume", "against": "radiotherapy"}
DOSES = {"treatment": "radiotherapy", "unit": "Gy", "total": 6, "gap": 1, "move": 2}
BUDGET = {"evaluations": 120, "points": 3}
PLAN = {
    "name": "a",
    "time_unit": "d",
    "query": {"every": 5, "until": 20},
    "treatments": [{"t": t, "treatment": "radiotherapy", "amount": 1, "unit": "Gy"} for t in (3, 6, 9, 12)],
}


@pytest.fixture(scope="module")
def twin():
    volumes = ((0, 30.0), (7, 33.0), (14, 36.0), (21, 35.0))
    seen = [{"t": t, "variable": "tumour_volume", "value": value, "unit": "cm3"} for t, value in volumes]
    return Twin.of(Predictor.load(LUNG), {"id": "p", "time_unit": "d", "observations": seen})


def test_a_front_keeps_its_limits_and_is_answered_again_alike(twin):
    answer = twin.optimise(PLAN, GOAL, {"doses": [DOSES]}, BUDGET)
    json.dumps(answer, allow_nan=False)
    front = answer["front"]
    assert answer["status"] == "ok" and len(front) >= 2 and answer["evaluations"] <= 120
    assert answer["stopped"] == "evaluations" and answer["counterfactual"] == "simulated-only"
    totals, values = [point["total"] for point in front], [point["value"] for point in front]
    assert totals == sorted(totals) and values == sorted(values, reverse=True) and values[-1] < values[0]
    for point in front:
        given_ = sorted(point["plan"]["treatments"], key=lambda dose: dose["t"])
        assert sum(dose["amount"] for dose in given_) == pytest.approx(point["total"]) and point["total"] <= 6 + 1e-6
        assert all(0 <= dose["amount"] <= 2 for dose in given_)
        assert all(b["t"] - a["t"] >= 1 - 1e-6 for a, b in zip(given_, given_[1:], strict=False))
        comparison = twin.compare([{**PLAN, "query": {"at": [20]}}, {**point["plan"], "query": {"at": [20]}}])
        paired = comparison["differences"][0]
        assert point["difference"]["median"] == pytest.approx(paired["median"], rel=1e-3, abs=1e-4)
    if front[-1]["total"] >= 5.94:
        assert "total: radiotherapy" in front[-1]["binding"]
    assert twin.optimise(PLAN, GOAL, {"doses": [DOSES]}, BUDGET)["front"] == front


def test_a_toxicity_that_cannot_be_kept_leaves_no_front(twin):
    toxic = {"channel": "tumour_volume", "above": 1, "unit": "cm3"}
    answer = twin.optimise(PLAN, GOAL, {"doses": [DOSES], "toxicity": [toxic]}, {**BUDGET, "evaluations": 40})
    assert answer["front"] == [] and answer["feasible"] == 0 < answer["evaluations"]
    closest = answer["closest"][0]
    assert closest["missed"] == [{"limit": "toxicity: tumour_volume", "by": pytest.approx(0.9), "unit": "1"}]
    assert closest["plan"]["name"] == "closest 1" and twin.forecast(closest["plan"])["status"] == "ok"


def test_the_closest_plans_tell_which_limits_stand_against_each_other(twin):
    """No tumour stays below what it is now without radiation, and radiation is limited to next to nothing."""
    toxic = {"channel": "tumour_volume", "above": 34, "unit": "cm3", "share": 0.0}
    doses = {**DOSES, "lowest": 0.5, "total": 0.4}
    answer = twin.optimise(PLAN, GOAL, {"doses": [doses], "toxicity": [toxic]}, {**BUDGET, "evaluations": 60})
    json.dumps(answer, allow_nan=False)
    assert answer["front"] == []
    missed = {miss["limit"]: miss for miss in answer["closest"][0]["missed"]}
    total = missed["total: radiotherapy"]
    assert total["by"] == pytest.approx(answer["closest"][0]["total"] - 0.4, abs=1e-6) and total["unit"] == "Gy"
    every = [one["missed"] for one in answer["closest"]]
    assert all(every) and len({json.dumps(one["plan"]["treatments"]) for one in answer["closest"]}) == len(every)


def test_a_risk_may_be_what_the_goal_stands_against(twin):
    """The later volume against the chance of a large tumour on the way there."""
    risk = {"channel": "tumour_volume", "above": 37, "unit": "cm3"}
    goal = {"channel": "tumour_volume", "aim": "higher", "against_risk": risk}
    free = {"treatment": "radiotherapy", "unit": "Gy"}
    answer = twin.optimise(PLAN, goal, {"doses": [free]}, {"evaluations": 150, "points": 4})
    json.dumps(answer, allow_nan=False)
    front = answer["front"]
    assert answer["goal"]["against_risk"] == {"channel": "tumour_volume", "above": 37} and len(front) >= 2
    risks, values = [point["risk"] for point in front], [point["value"] for point in front]
    assert risks == sorted(risks) and values == sorted(values) and risks[0] < risks[-1] <= 1
    event = {"channel": "tumour_volume", "above": 37, "unit": "cm3"}
    told = twin.risk(event, {"time_unit": "d", "every": 5, "until": 20}, front[-1]["plan"])["risk"]["probability"]
    assert risks[-1] == pytest.approx(told, abs=1e-6)
    with pytest.raises(DocumentError, match="against"):
        twin.optimise(PLAN, {**goal, "against": "radiotherapy"}, {"doses": [free]})
    with pytest.raises(DocumentError, match="against_risk"):
        twin.optimise(PLAN, {**goal, "against_risk": {**risk, "channel": "canary"}}, {"doses": [free]})


def test_it_is_silent_where_a_forecast_is(twin):
    answer = twin.optimise({**PLAN, "query": {"at": [5000]}}, GOAL, {"doses": [DOSES]}, BUDGET)
    assert (answer["status"], answer["reasons"], answer["front"]) == ("abstain", ["horizon_too_long"], None)


@pytest.mark.parametrize(
    ("goal", "doses", "where"),
    [
        ({"channel": "canary"}, {}, "goal: channel"),
        ({"against": "canary"}, {}, "goal: against"),
        ({"against": "canary"}, {"treatment": "canary"}, "doses.0"),
        ({}, {"highest": 2.1}, "doses.0"),
        ({}, {"lowest": 1.5, "highest": 1}, "doses.0"),
        ({}, {"unit": None}, "doses.0"),
        ({}, {"unit": "canary"}, "doses.0"),
        ({"against": "chemotherapy"}, {"treatment": "chemotherapy", "total": None}, "doses.0"),
    ],
)
def test_what_must_not_be_asked_is_refused_without_a_value(twin, goal, doses, where):
    with pytest.raises(DocumentError) as caught:
        twin.optimise(PLAN, {**GOAL, **goal}, {"doses": [{**DOSES, **doses}]}, BUDGET)
    assert where in str(caught.value) and "canary" not in str(caught.value)


def test_without_scipy_the_extra_is_named(twin, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.optimize", None)
    with pytest.raises(ExtraMissingError, match="scipy") as caught:
        twin.optimise(PLAN, GOAL, {"doses": [DOSES]}, BUDGET)
    assert "neurotwin[optimise]" in str(caught.value)


KEYS = ["channel", "against", "aim", "when", "doses", "toxicity", "evaluations", "seconds", "points", "seed", "x"]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([GoalDocument, ConstraintsDocument, BudgetDocument]),
    st.dictionaries(st.sampled_from(KEYS), st.none() | st.booleans() | st.floats() | st.text(max_size=5), max_size=3),
)
def test_any_document_is_read_or_refused(kind, content):
    try:
        parse_document(kind, content, "asked")
    except DocumentError as error:
        assert "asked" in str(error)
