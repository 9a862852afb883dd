"""Text that could be about a patient goes into every field, and comes out in no log, metric, audit line or error."""

import copy

import httpx2
import pytest
from service_cases import body

CANARY = "Zyxwv"


def marked():
    """Bodies with a canary in each field that takes text, one of them at a time."""
    number = 0

    def walk(content, path):
        nonlocal number
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, part in list(items):
            if isinstance(part, str):
                yield (*path, key)
            elif isinstance(part, dict | list):
                yield from walk(part, (*path, key))

    for verb in ("predict", "compare", "risk", "explain", "optimise"):
        good = body(f"{verb.capitalize()}Question")
        for path in walk(good, ()):
            fresh = copy.deepcopy(good)
            inner = fresh
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = f"{CANARY}{number}"
            number += 1
            yield verb, fresh


def test_canaries_are_never_seen_again(serve, tmp_path):
    one = serve("--store", str(tmp_path / "twins.db"))
    bodies = list(marked())
    assert len(bodies) > 30
    with httpx2.Client(base_url=one.url, timeout=30) as http:
        errors = []
        for verb, content in bodies:
            response = http.post(f"/v1/twins/lung_tumour/{verb}", json=content)
            if response.status_code != 200:
                errors.append(response.text)
        patient = body("PatientDocument") | {"id": f"{CANARY}-id"}
        statics = {"stage": f"{CANARY}-stage", f"{CANARY}-name": f"{CANARY}-value"}
        told = {
            "idempotency-key": f"{CANARY}-key",
            "x-request-id": f"{CANARY}-request",
            "user-agent": f"{CANARY}-agent",
        }
        for content in (patient, patient | {"static": statics}, patient | {f"{CANARY}-field": 1}):
            errors.append(http.post(f"/v1/twins/{CANARY}-id/observe", json=content, headers=told).text)
        for path in (
            f"/v1/twins/{CANARY}-other",
            f"/v1/twins/{CANARY}-id/forecast",
            f"/{CANARY}-path?{CANARY}-query=1",
            f"/v1/models/{CANARY}-model",
            f"/v1/twins?{CANARY}-name={CANARY}-value",
            f"/v1/twins/{CANARY}-id/alerts?model={CANARY}-model",
        ):
            errors.append(http.get(path, headers={"cookie": f"{CANARY}-cookie=1"}).text)
        errors.append(http.request(f"{CANARY.upper()}", "/v1/models").text)
        metrics = http.get("/metrics").text
    one.stop()
    kept = [text for text in errors if '"repeated"' not in text]  # an answer to the caller names what was asked
    for place, text in {
        "errors": "".join(kept),
        "metrics": metrics,
        "log": one.log.read_text(),
        "audit": one.audit.read_text(),
    }.items():
        assert CANARY.lower() not in text.lower(), place


@pytest.mark.parametrize("fault", [KeyError, RuntimeError, ValueError])
def test_words_of_a_fault_of_our_own_are_not_told(stored, monkeypatch, caplog, fault):
    def fail(*_):
        raise fault(f"{CANARY} was here")

    monkeypatch.setattr("neurotwin.runtime.Twin.forecast", fail)
    response = stored.post("/v1/twins/lung_tumour/predict", json=body("PredictQuestion"))
    assert (response.status_code, response.json()["error"]["code"]) == (500, "NT-5500")
    assert CANARY not in response.text + caplog.text + stored.audit.read_text()
    assert fault.__name__ in caplog.text
