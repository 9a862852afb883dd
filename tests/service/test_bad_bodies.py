"""Bodies that are wrong by hand: each field with each odd value, and faults whose answer is known exactly."""

import copy
import json

import pytest
from service_cases import body

PREDICT = "/v1/twins/lung_tumour/predict"
ODD = {
    "null": None,
    "true": True,
    "empty": "",
    "long": "x" * 101,
    "control": "a\x00b",
    "list": [],
    "object": {},
    "deep": [[[[[[[[]]]]]]]],
    "negative": -1,
    "huge": 1e308,
    "integer": 10**400,
    "word": "seven",
}


def places(content, path=()):
    """The path of every value in a body, the body itself first."""
    yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, part in items:
        yield from places(part, (*path, key))


def changed(content, path, value):
    """A copy with another value at a path."""
    if not path:
        return value
    fresh = copy.deepcopy(content)
    inner = fresh
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return fresh


def send(client, content, path=PREDICT):
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    return client.post(path, content=text, headers={"content-type": "application/json"})


@pytest.mark.parametrize("odd", ODD)
def test_no_field_with_an_odd_value_is_a_fault_of_the_service(client, odd):
    good = send(client, body("PredictQuestion")).json()
    asked = body("PredictQuestion")
    for path in places(asked):
        response = send(client, changed(asked, path, ODD[odd]))
        assert response.status_code in (200, 400, 409, 422), path
        if response.status_code == 200:
            assert response.json()["status"] in ("ok", "degraded", "abstain")
        else:
            error = response.json()["error"]
            assert error["code"].startswith(("NT-2", "NT-5010")), path
            assert "xxxxx" not in response.text
            assert "seven" not in response.text
    again = send(client, body("PredictQuestion")).json()
    assert again | {"request_id": ""} == good | {"request_id": ""}


@pytest.mark.parametrize("verb", ["compare", "alerts", "risk", "explain", "optimise"])
def test_no_field_of_another_question_that_is_missing_or_null_is_a_fault(client, verb):
    asked = body(f"{verb.capitalize()}Question")
    for path in places(asked):
        for value in (None, [], -1):
            assert send(client, changed(asked, path, value), f"/v1/twins/lung_tumour/{verb}").status_code < 500, path


GOOD = json.dumps(body("PredictQuestion"))
TEXTS = {
    "nothing": ("", 400),
    "space": ("  ", 400),
    "not JSON": ("{", 400),
    "NaN": (GOOD.replace("31.2", "NaN"), 400),
    "Infinity": (GOOD.replace("31.2", "-Infinity"), 400),
    "1e999": (GOOD.replace("31.2", "1e999"), 400),
    "many digits": (GOOD.replace("31.2", "9" * 5000), 400),
    "key twice": (GOOD.replace('"time_unit": "d"', '"time_unit": "d", "time_unit": "d"', 1), 400),
    "not UTF-8": (GOOD.encode().replace(b"p-17", b"\xff\xfe"), 400),
    "lone surrogate": (GOOD.replace("p-17", "\\ud800"), 422),
    "deep": ("[" * 100_000 + "]" * 100_000, 400),
    "deep objects": ('{"a":' * 50_000 + "1" + "}" * 50_000, 400),
    "UTF-16": (GOOD.encode("utf-16"), 400),
    "comment": (GOOD + "// more", 400),
    "two documents": (GOOD + GOOD, 400),
    "a list": (f"[{GOOD}]", 422),
    "a number": ("3", 422),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_no_document_is_refused(client, name):
    text, status = TEXTS[name]
    response = send(client, text)
    assert response.status_code == status
    assert response.json()["error"]["code"] == "NT-2700"


FAULTS = {
    "unknown field": (("patient", "colour"), "red", 422, "patient"),
    "no id": (("patient",), {"time_unit": "d"}, 422, "patient"),
    "no plan": (("plan",), None, 422, "plan"),
    "two doses in one": (("plan", "treatments", 0, "rate"), 3, 422, "plan.treatments.0"),
    "no query": (("plan", "query"), {}, 422, "plan.query"),
    "text as number": (("patient", "observations", 0, "value"), "31.2", 422, "patient.observations.0.value"),
    "true as number": (("patient", "observations", 0, "t"), True, 422, "patient.observations.0.t"),
    "too many times": (("plan", "query"), {"every": 1e-9, "until": 30}, 422, "plan.query"),
    "pseudonym without a store": (("patient",), "p-17", 409, "service"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_tell_their_place(client, name):
    path, value, status, where = FAULTS[name]
    response = send(client, changed(body("PredictQuestion"), path, value))
    assert response.status_code == status
    assert response.json()["error"]["where"].removeprefix("body: ") == where


ABSTAINS = {
    "no unit": (("patient", "observations", 0, "unit"), None, "unit_missing"),
    "unknown unit": (("patient", "observations", 0, "unit"), "stone", "unit_unknown"),
    "unknown time unit": (("patient", "time_unit"), "fortnight", "unit_unknown"),
    "implausible": (("patient", "observations", 0, "value"), 1e9, "implausible_input"),
    "negative": (("patient", "observations", 0, "value"), -3, "implausible_input"),
    "unknown drug": (("plan", "treatments", 0, "treatment"), "leeches", "unknown_treatment"),
    "a dose a hundred times too large": (("plan", "treatments", 0, "amount"), 200, "implausible_input"),
    "a year ahead": (("plan", "query"), {"every": 30, "until": 365}, "horizon_too_long"),
    "before now": (("patient", "now"), 5, "future_dated"),
}


@pytest.mark.parametrize("name", ABSTAINS)
def test_what_the_model_must_not_answer_is_an_abstention(client, name):
    path, value, reason = ABSTAINS[name]
    response = send(client, changed(body("PredictQuestion"), path, value))
    assert response.status_code == 200
    answer = response.json()
    assert (answer["status"], answer["prediction"]) == ("abstain", None)
    assert reason in answer["reasons"]


def test_methods_and_paths_that_are_not_there(client):
    for method, path, status in (
        ("GET", PREDICT, 405),
        ("PUT", PREDICT, 405),
        ("POST", "/v1/twins/other/predict", 404),
        ("POST", "/v1/twins//predict", 404),
        ("GET", "/v1", 404),
        ("BREW", "/v1/models", 405),
        ("GET", "/v1/models/%2e%2e", 404),
        ("POST", "/v1/twins/" + "a" * 5000 + "/predict", 404),
    ):
        response = client.request(method, path, content=GOOD if method == "POST" else None)
        assert response.status_code == status, (method, path)
        assert "error" in response.json()


def test_too_large_a_body_is_refused(client):
    assert send(client, " " * (2**20 + 1)).status_code == 413
    assert send(client, " " * 2**20 + "{}").status_code == 413
