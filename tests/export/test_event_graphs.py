"""A bundle of a model with hazards: torch, graph and runtime tell the same risks, and the answer tells them."""

import numpy as np
import pytest
from event_cases import ended_toys, risky_model
from toys import source_of, toy_cohort, toy_model

from neurotwin.episodes import make_episodes
from neurotwin.export import export_bundle
from neurotwin.export.graphs import ForecastGraph
from neurotwin.landmarks import risks_of
from neurotwin.runtime import Predictor, Twin
from neurotwin.training import SurrogatePredictor

PATIENT = {
    "id": "p-1",
    "time_unit": "d",
    "static": {"age": {"value": 50, "unit": "a"}, "sex": "f"},
    "observations": [
        {"t": 0, "variable": "size", "value": 20.0, "unit": "mm"},
        {"t": 1, "variable": "size", "value": 18.0, "unit": "mm"},
        {"t": 2, "variable": "level", "value": 90.0, "unit": "mg/dL"},
    ],
}
PLAN = {"name": "wait", "time_unit": "d", "query": {"at": [0.25, 0.5, 1.5]}, "treatments": []}


def test_only_hazards_add_an_output():
    cohort = ended_toys()
    assert ForecastGraph(risky_model(cohort)).output_names[-1] == "incidence"
    assert "incidence" not in ForecastGraph(toy_model(cohort)).output_names
    assert "incidence" not in ForecastGraph(toy_model(toy_cohort(12))).output_names


@pytest.fixture(scope="module", params=["neural_ode", "latent_ode"])
def case(request, tmp_path_factory):
    folder, cohort = tmp_path_factory.mktemp("events"), ended_toys(60)
    model = risky_model(cohort, request.param)
    done = export_bundle(source_of(model, cohort, folder), folder / "events@0.1.0", timelines=80)
    return model, cohort, Predictor.load(done.folder), done


@pytest.mark.full  # whole exports
def test_torch_graph_and_runtime_tell_the_same_risks(case):
    model, cohort, predictor, done = case
    episodes, _, _ = make_episodes(cohort, 4.0, events=True)
    asked = risks_of(episodes, [0.5, 1.0, 3.0])
    one, other = SurrogatePredictor(model)(asked), predictor(asked)
    assert done.parity["incidence"] <= 1e-5 and predictor.signature.outcomes == ("relapse", "death")
    np.testing.assert_allclose(one.incidence, other.incidence, rtol=0, atol=1e-5)
    outputs = predictor.bundle.signature["graphs"]["forecast.onnx"]["outputs"]
    assert {"name": "incidence", "dtype": "float32", "axes": ["batch", "row", "outcome"]} in outputs


@pytest.mark.full
def test_the_answer_tells_risks_from_the_plans_start(case):
    predictor = case[2]
    answer = Twin.of(predictor, PATIENT | {"now": 2.5}).forecast(PLAN)
    assert answer["status"] in ("ok", "degraded")
    risks = answer["risks"]
    assert [(one["after"], one["outcome"]) for one in risks] == [
        (after, name) for after in (0.25, 0.5, 1.5) for name in ("relapse", "death")
    ]
    numbers = np.array([one["probability"] for one in risks]).reshape(3, 2)
    assert (numbers > 0).all() and (np.diff(numbers, axis=0) > 0).all() and (numbers.sum(1) < 1).all()
    both = Twin.of(predictor, PATIENT | {"now": 2.5}).compare([PLAN, PLAN | {"name": "again"}])
    assert both["plans"][0]["risks"] == both["plans"][1]["risks"]
    at_once = Twin.of(predictor, PATIENT).forecast(PLAN)  # from the last event on
    assert at_once["plan"]["start"] == 2.0 and at_once["risks"][0]["probability"] > 0
    alone = Twin.of(predictor, PATIENT | {"now": 2.5}).forecast(PLAN | {"query": {"at": [1.5]}})
    assert alone["risks"][0]["probability"] == pytest.approx(numbers[2, 0], rel=1e-4)


@pytest.mark.full
def test_a_refused_answer_tells_no_risk(case):
    answer = Twin.of(case[2], PATIENT | {"now": 2.5}).forecast(PLAN | {"query": {"at": [1e6]}})
    assert answer["status"] == "abstain" and answer["risks"] is None
