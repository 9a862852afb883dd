"""Answers that were kept, and the overview of patients."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from store_cases import PLAN, visit

from neurotwin.errors import ConfigError, DocumentError
from neurotwin.store import Filter

EVENT = {"channel": "tumour_volume", "above": 30.0, "unit": "cm3"}


def ids(store, **chosen):
    return [one.id for one in store.patients(Filter(**chosen))]


def test_an_answer_comes_back_as_it_was_given(store, predictor):
    store.observe("p-1", visit(0), predictor)
    loaded = store.load("p-1", predictor)
    answer = loaded.twin.forecast(PLAN)
    first = store.save_forecast("p-1", predictor, PLAN, answer, version=loaded.version, risk=0.25, event=EVENT)
    kept = store.forecasts("p-1")[0]
    assert kept.id == first and kept.answer == answer and kept.status == answer["status"]
    assert kept.risk == 0.25 and kept.event == EVENT
    assert kept.model == "lung_tumour@0.1.0" and kept.sha256 == predictor.bundle.sha256 and kept.current
    assert datetime.now(UTC) - kept.made < timedelta(minutes=5)
    store.observe("p-1", visit(1), predictor)
    store.save_forecast("p-1", predictor, {**PLAN, "name": "again"}, answer)
    store.save_forecast("p-1", predictor, PLAN, answer)
    assert [one.current for one in store.forecasts("p-1")] == [True, True, False]
    assert [one.version for one in store.forecasts("p-1", limit=2)] == [2, 2]
    assert [plan["name"] for plan in store.plans("p-1")] == ["RT first", "again"]  # the same plan is kept once
    loaded.twin.forecast(store.plans("p-1")[0])


def test_what_is_no_answer(store, predictor):
    store.observe("p-1", visit(0), predictor)
    with pytest.raises(DocumentError, match="event without its risk"):
        store.save_forecast("p-1", predictor, PLAN, {"status": "ok"}, event=EVENT)
    for answer, risk in (
        ({}, None),
        ({"status": "fine"}, None),
        ({"status": "ok", "x": math.nan}, None),
        ({"status": "ok", "x": {1}}, None),
        ({"status": "ok"}, 1.5),
        ({"status": "ok"}, math.nan),
    ):
        with pytest.raises(DocumentError, match="forecast"):
            store.save_forecast("p-1", predictor, PLAN, answer, risk=risk)
    with pytest.raises(DocumentError, match="plan"):
        store.save_forecast("p-1", predictor, {}, {"status": "ok"})
    assert store.forecasts("p-1") == [] and store.plans("p-1") == []


def test_the_overview(store, predictor, other):
    for name in ("b-1", "a-1", "a-2", "A-3", "a_4"):
        store.observe(name, visit(0, name), predictor)
    store.save_forecast("a-2", predictor, PLAN, {"status": "ok"}, risk=0.9)
    store.save_forecast("a-2", other, PLAN, {"status": "abstain"}, risk=0.1)  # the last one counts
    store.save_forecast("b-1", predictor, PLAN, {"status": "ok"}, risk=0.7)
    store.save_forecast("A-3", predictor, PLAN, {"status": "ok"})
    assert ids(store, order="risk")[:2] == ["b-1", "a-2"] and len(ids(store, order="risk")) == 5
    assert set(ids(store, prefix="a-")) == {"a-1", "a-2"}
    assert ids(store, prefix="%") == [] and ids(store, prefix="a_") == ["a_4"]
    assert ids(store, status="abstain") == ["a-2"] and set(ids(store, status="ok")) == {"b-1", "A-3"}
    assert ids(store, min_risk=0.5) == ["b-1"] and ids(store, model="another", min_risk=0) == []
    assert ids(store, model="lung_tumour", order="risk", limit=1, offset=1) == ["a-2"]
    moment = datetime.now(UTC)
    store.observe("a-1", visit(1, "a-1"), predictor)
    assert ids(store, since=moment) == ["a-1"] and ids(store, order="updated")[0] == "a-1"
    row = store.patients(Filter(prefix="a-2"))[0]
    assert row.event is None and store.answers([row.forecast, 999]) == {row.forecast: {"status": "abstain"}}
    assert row.model == "lung_tumour@0.2.0" and row.risk == 0.1 and row.current and row.version == 1
    assert store.patients(Filter(prefix="a-1"))[0].current is None


@pytest.mark.parametrize("wrong", [{"order": "name"}, {"status": "fine"}, {"limit": 0}, {"offset": -1}])
def test_filters_that_are_none(wrong):
    with pytest.raises(ConfigError, match="patients"):
        Filter(**wrong)
