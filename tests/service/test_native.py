"""The native API says what the runtime says."""

import json
import uuid

import pytest
from service_cases import BUNDLE, body

from neurotwin.runtime import Predictor, Twin

ROUTES = {
    "predict": "PredictQuestion",
    "compare": "CompareQuestion",
    "alerts": "AlertsQuestion",
    "risk": "RiskQuestion",
    "explain": "ExplainQuestion",
    "optimise": "OptimiseQuestion",
}


@pytest.fixture(scope="module")
def predictor():
    return Predictor.load(BUNDLE)


def plain(answer):
    """An answer without what differs from call to call."""
    dropped = {"request_id", "seconds"}
    if isinstance(answer, dict):
        return {key: plain(part) for key, part in answer.items() if key not in dropped}
    return [plain(part) for part in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("verb", ROUTES)
def test_each_verb_answers_its_example(client, verb):
    response = client.post(f"/v1/twins/lung_tumour/{verb}", json=body(ROUTES[verb]))
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    answers = response.json().get("plans", [response.json()])
    assert {answer["status"] for answer in answers} == {"ok"}
    assert response.json()["request_id"] == response.headers["x-request-id"]


def test_answers_are_those_of_the_runtime(client, predictor):
    asked = body("CompareQuestion")
    own = Twin.of(predictor, asked["patient"]).compare(asked["plans"])
    response = client.post("/v1/twins/lung_tumour/compare", json=asked)
    assert plain(response.json()) == plain(json.loads(json.dumps(own)))


def test_the_same_request_is_answered_by_the_same_bytes(client):
    told = {"x-request-id": str(uuid.uuid4())}
    first, second = (
        client.post("/v1/twins/lung_tumour/predict", json=body("PredictQuestion"), headers=told) for _ in range(2)
    )
    assert first.content == second.content
    assert first.json()["request_id"] == told["x-request-id"]


def test_only_uuids_are_taken_for_a_request_id(client):
    told = {"x-request-id": "jane doe"}
    assert client.get("/v1/models", headers=told).headers["x-request-id"] != "jane doe"


def test_an_abstention_is_an_answer(client):
    asked = body("PredictQuestion")
    asked["patient"]["observations"][0]["unit"] = "furlong"
    response = client.post("/v1/twins/lung_tumour/predict", json=asked)
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["prediction"]) == ("abstain", None)
    assert response.json()["reasons"] == ["unit_unknown"]


def test_models_tell_their_channels(client, predictor):
    listed = client.get("/v1/models").json()["models"]
    assert [one["id"] for one in listed] == ["lung_tumour"]
    signature = client.get("/v1/models/lung_tumour").json()["signature"]
    assert signature == json.loads(json.dumps(dict(predictor.bundle.signature)))


def test_a_twin_of_the_store_needs_a_store(client):
    asked = body("PredictQuestion") | {"patient": "p-17"}
    response = client.post("/v1/twins/lung_tumour/predict", json=asked)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "NT-5010")


def test_openapi_is_valid_and_its_examples_are_of_their_schemas(client):
    import jsonschema

    told = client.get("/openapi.json").json()
    assert told["openapi"].startswith("3.1")
    for path, item in told["paths"].items():
        for operation in item.values():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is not None:
                assert content["example"], path
                jsonschema.Draft202012Validator.check_schema(content["schema"])
                jsonschema.validate(content["example"], content["schema"], cls=jsonschema.Draft202012Validator)


def test_metrics_tell_routes_not_patients(client):
    client.post("/v1/twins/lung_tumour/predict", json=body("PredictQuestion"))
    text = client.get("/metrics").text
    assert 'route="/v1/twins/{model}/predict",status="200"' in text
    assert 'neurotwin_answers_total{model="lung_tumour",status="ok"}' in text
    assert "p-17" not in text


def test_health_tells_liveness_apart_from_readiness(client):
    assert client.get("/healthz").json() == {"status": "alive"}
    client.app.state.door.ready = False
    try:
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        response = client.post("/v1/twins/lung_tumour/predict", json=body("PredictQuestion"))
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    finally:
        client.app.state.door.ready = True
    assert client.get("/readyz").status_code == 200


def test_a_policy_warns_of_a_stale_signal(client):
    policy = {"time_unit": "d", "stale": [{"channel": "tumour_volume", "longest": 14}]}
    asked = body("PredictQuestion") | {"policy": policy}
    asked["patient"]["now"] = 39.0
    answer = client.post("/v1/twins/lung_tumour/predict", json=asked).json()
    assert (answer["status"], answer["reasons"]) == ("degraded", ["stale_input"])
    found = client.post("/v1/twins/lung_tumour/alerts", json={**body("AlertsQuestion"), "policy": policy}).json()
    assert (found["status"], found["alerts"]) == ("ok", [])
