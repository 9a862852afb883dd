"""Twins of the store over HTTP."""

import pytest
from service_cases import body


def tell(client, **more):
    return client.post("/v1/twins/p-17/observe", json=body("PatientDocument"), **more)


def test_observed_twins_are_asked_by_their_pseudonym(stored):
    assert tell(stored).json()["version"] == 1
    told = stored.post("/v1/twins/lung_tumour/predict", json=body("PredictQuestion")).json()
    kept = stored.post("/v1/twins/lung_tumour/predict", json=body("PredictQuestion") | {"patient": "p-17"}).json()
    assert kept["prediction"] == told["prediction"]
    own = stored.post("/v1/twins/p-17/forecast", json={"plan": body("PlanDocument")}).json()
    assert own["prediction"] == told["prediction"]


def test_a_key_makes_a_request_safe_to_repeat(stored):
    told = {"idempotency-key": "lab-1"}
    assert tell(stored, headers=told).json()["repeated"] is False
    assert tell(stored, headers=told).json() | {"request_id": ""} == {
        "id": "p-17",
        "version": 1,
        "request": "lab-1",
        "repeated": True,
        "refused": {},
        "warned": {},
        "inputs_ignored": [],
        "converted": [],
        "request_id": "",
    }
    other = body("PatientDocument")
    other["observations"][0]["value"] = 30.0
    response = stored.post("/v1/twins/p-17/observe", json=other, headers=told)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "NT-2970")


def test_the_document_of_another_patient_is_refused(stored):
    response = stored.post("/v1/twins/p-18/observe", json=body("PatientDocument"))
    assert (response.status_code, response.json()["error"]["code"]) == (422, "NT-2700")


def test_what_was_told_in_error_is_taken_back(stored):
    tell(stored, headers={"idempotency-key": "good"})
    wrong = {"id": "p-17", "time_unit": "d", "observations": [{"t": 22, "variable": "tumour_volume", "value": 3}]}
    answer = stored.post("/v1/twins/p-17/observe", json=wrong, headers={"idempotency-key": "wrong"}).json()
    assert answer["refused"] == {"unit_missing": ["observations.0.unit"]}
    asked = {"plan": body("PlanDocument")}
    assert stored.post("/v1/twins/p-17/forecast", json=asked).json()["status"] == "abstain"
    assert stored.post("/v1/twins/p-17/retract", json={"request": "wrong"}).json()["version"] == 3
    assert stored.post("/v1/twins/p-17/forecast", json=asked).json()["status"] == "ok"


def test_forecasts_are_kept_with_their_risk_and_listed_by_it(stored):
    tell(stored)
    asked = body("ForecastQuestion")
    answer = stored.post("/v1/twins/p-17/forecast", json=asked).json()
    risk = answer["watched"]["risk"]["probability"]
    listed = stored.get("/v1/twins", params={"order": "risk", "min_risk": 0}).json()["patients"]
    assert [(one["id"], one["risk"], one["current"]) for one in listed] == [("p-17", risk, True)]
    kept = stored.get("/v1/twins/p-17").json()
    assert kept["version"] == 1
    assert kept["forecasts"][0]["answer"]["prediction"] == answer["prediction"]
    assert kept["history"][0]["document"]["observations"][0]["value"] == 31.2


def test_several_plans_are_compared_and_kept(stored):
    tell(stored)
    plans = body("CompareQuestion")["plans"]
    answer = stored.post("/v1/twins/p-17/forecast", json={"plans": plans}).json()
    assert len(answer["plans"]) == 2
    assert answer["differences"]
    assert len(stored.get("/v1/twins/p-17").json()["forecasts"]) == 2
    stored.post("/v1/twins/p-17/forecast", json={"plans": plans, "keep": False})
    assert len(stored.get("/v1/twins/p-17").json()["forecasts"]) == 2


def test_an_erased_patient_is_gone(stored):
    tell(stored)
    assert stored.delete("/v1/twins/p-17").json()["erased"] is True
    for response in (
        stored.get("/v1/twins/p-17"),
        stored.delete("/v1/twins/p-17"),
        stored.get("/v1/twins/p-17/alerts"),
    ):
        assert (response.status_code, response.json()["error"]["code"]) == (404, "NT-2960")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "order=name", "status=odd", "offset=-1", "min_risk=nan", "colour=red", "limit=1e99"]
)
def test_queries_are_strict(stored, query):
    response = stored.get(f"/v1/twins?{query}")
    assert (response.status_code, response.json()["error"]["code"]) == (422, "NT-2700")


def test_alerts_of_a_quiet_record(stored):
    tell(stored)
    early = stored.get("/v1/twins/p-17/alerts").json()
    assert (early["status"], early["alerts"], early["reasons"]) == ("abstain", None, ["too_few_observations"])
    more = [{"t": t, "variable": "tumour_volume", "value": v, "unit": "cm3"} for t, v in ((22, 28.1), (24, 27.3))]
    stored.post("/v1/twins/p-17/observe", json={"id": "p-17", "time_unit": "d", "observations": more})
    answer = stored.get("/v1/twins/p-17/alerts").json()
    assert (answer["status"], answer["alerts"]) == ("ok", [])


def test_a_model_that_is_not_there(stored):
    response = stored.post("/v1/twins/p-17/observe?model=other", json=body("PatientDocument"))
    assert (response.status_code, response.json()["error"]["code"]) == (404, "NT-5040")
