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
