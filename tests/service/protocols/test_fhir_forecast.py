"""FHIR in and out: the same answer as to native documents, resources that validate, nothing that is guessed."""

import json

import pytest
from fhir_records import (
    EVENT,
    PATIENT,
    SITE,
    STAGE,
    administration,
    concept,
    observation,
    parameters,
    plan,
    quantity,
    request,
    resources,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_cases import body

PATH = "/fhir/lung_tumour/$forecast"
CANARY = "zq7canary"
RECORD = "Parameters.parameter[0].resource.entry"


def ask(client, *given_):
    """The resources of an answer, by type; the answer must be valid in R4B and in R5."""
    response = client.post(PATH, json=parameters(*given_))
    assert response.status_code == 200, response.text
    content = response.json()
    for version in ("fhir.resources.R4B.bundle", "fhir.resources.bundle"):
        pytest.importorskip(version).Bundle.model_validate(content)
    found = {}
    for entry in content["entry"]:
        found.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return found


def issues(found):
    """(text, place) of what was noted."""
    told = found["OperationOutcome"][0]["issue"]
    return [(one["details"]["text"], one.get("expression", [""])[0]) for one in told]


def changed(number, **changes):
    """The record with one resource changed; an element that becomes None is left out."""
    content = resources()
    content[number] = {key: value for key, value in (content[number] | changes).items() if value is not None}
    return content


def test_the_forecast_is_the_native_one(coded):
    found = ask(coded)
    native = coded.post("/v1/twins/lung_tumour/predict", json=body("PredictQuestion")).json()["prediction"]
    assert [one["valueQuantity"]["value"] for one in found["Observation"]] == [row["median"] for row in native]
    first = found["Observation"][0]
    assert first["status"] == "preliminary" and first["method"]["text"] == "model forecast"
    assert first["effectiveDateTime"] == "2024-03-26T08:00:00Z"  # five days after the last event
    assert first["code"]["coding"] == [{"system": SITE, "code": "tumour-volume"}]
    assert [part["valueQuantity"]["value"] for part in first["component"]] == [
        native[0]["interval"]["lo"],
        native[0]["interval"]["hi"],
    ]
    assert found["Device"][0]["modelNumber"] == "lung_tumour"
    assert issues(found) == [("status: ok", ""), ("converted: mm3 to cm3", f"{RECORD}[3].resource")]


def test_a_native_plan_gives_the_same(coded):
    text = {"name": "plan", "valueString": json.dumps(body("PredictQuestion")["plan"])}
    values = [[one["valueQuantity"] for one in ask(coded, None, told)["Observation"]] for told in (text, None)]
    assert values[0] == values[1]


def test_a_risk_is_a_percentage_within_a_period(coded):
    found = ask(coded, None, None, EVENT)
    (risk,) = found["RiskAssessment"]
    question = body("PredictQuestion")
    event = {"channel": "tumour_volume", "above": 25, "unit": "cm3"}
    horizon = {"time_unit": "d", "every": 5, "until": 30}
    native = coded.post("/v1/twins/lung_tumour/risk", json={**question, "event": event, "horizon": horizon}).json()
    told = [one["probabilityDecimal"] for one in risk["prediction"]]
    assert told == pytest.approx([100 * row["probability"] for row in native["by_time"]])
    assert risk["prediction"][-1]["whenPeriod"] == {"start": "2024-03-21T08:00:00Z", "end": "2024-04-20T08:00:00Z"}
    assert {"reference": "Observation/a"} in risk["basis"] and {"reference": "Patient/p-17"} in risk["basis"]


def test_a_risk_that_cannot_be_told_says_so(coded):
    event = json.loads(json.dumps(EVENT))
    event["part"][1]["valueQuantity"] = quantity(25, "kg")
    found = ask(coded, None, None, event)
    assert "RiskAssessment" not in found and "Observation" in found
    assert ("event: abstain: unit_unknown: event.unit", "") in issues(found)


IGNORED = {
    "a code that is not mapped": (observation("x", 2, 1, code=concept("other")), "no code of it is mapped"),
    "a code of another system": (
        observation("x", 2, 1, code=concept("tumour-volume", "http://a")),
        "no code of it is mapped",
    ),
    "a name alone": (observation("x", 2, 1, code={"text": "tumour volume"}), "no code of it is mapped"),
    "an entry in error": (
        observation("x", 2, 1, status="entered-in-error"),
        "the status is not that of a measurement made",
    ),
    "a day alone": (
        observation("x", 2, 1, effectiveDateTime="2024-03-02"),
        "no instant is told (time of day and zone)",
    ),
    "no zone": (
        observation("x", 2, 1, effectiveDateTime="2024-03-02T08:00:00"),
        "no instant is told (time of day and zone)",
    ),
    "a comparator": (
        observation("x", 2, 1, valueQuantity=quantity(5, "cm3") | {"comparator": "<"}),
        "no exact number is told",
    ),
    "a text": (observation("x", 2, 1, valueQuantity=None, valueString="31"), "no exact number is told"),
    "a truth value": (observation("x", 2, 1, valueQuantity=quantity(True, "cm3")), "no exact number is told"),
    "another resource": ({"resourceType": "Condition", "id": "x"}, "a type of resource that is not read"),
    "what was not given": (administration("x", 2, 2, status="not-done"), "the status is that of what was not given"),
    "another drug": (
        administration("x", 2, 2, medicationCodeableConcept=concept("aspirin")),
        "no code of it is mapped",
    ),
    "a level without code": (
        STAGE | {"id": "x", "valueCodeableConcept": {"text": "II"}},
        "no level is mapped",
    ),
}


@pytest.mark.parametrize("name", IGNORED)
def test_what_is_not_used_is_listed_with_its_place(coded, name):
    extra, why = IGNORED[name]
    extra = {key: value for key, value in extra.items() if value is not None}
    found = ask(coded, [*resources(), extra])
    assert (f"ignored: {why}", f"{RECORD}[6].resource") in issues(found)
    assert found["Observation"]  # the rest is enough for an answer


REFUSED = {
    "no UCUM": (changed(2, valueQuantity={"value": 31.2, "unit": "cm3"}), "unit_missing", f"{RECORD}[2].resource.unit"),
    "another unit": (changed(2, valueQuantity=quantity(31.2, "kg")), "unit_unknown", f"{RECORD}[2].resource.unit"),
    "a modifier": (
        changed(2, modifierExtension=[{"url": "http://x"}]),
        "conflicting_input",
        f"{RECORD}[2].resource: modified by an extension",
    ),
    "an id twice": (changed(3, id="a"), "conflicting_input", f"{RECORD}[3].resource: the id of another resource"),
    "no dose": (changed(5, dosage={}), "missing_required", f"{RECORD}[5].resource: no dose or rate is told"),
    "an unknown status": (
        changed(5, status="unknown"),
        "missing_required",
        f"{RECORD}[5].resource: the status does not tell whether it was given",
    ),
    "a day of a dose": (
        changed(5, effectiveDateTime="2024-03-12"),
        "missing_required",
        f"{RECORD}[5].resource: no instant is told (time of day and zone)",
    ),
    "a bolus that lasts": (
        changed(
            5,
            effectiveDateTime=None,
            effectivePeriod={"start": "2024-03-12T08:00:00Z", "end": "2024-03-12T09:00:00Z"},
        ),
        "missing_required",
        f"{RECORD}[5].resource: a bolus is given at an instant",
    ),
    "two treatments": (
        changed(5, medicationCodeableConcept={"coding": [concept(c)["coding"][0] for c in ("chemo", "radiation")]}),
        "conflicting_input",
        f"{RECORD}[5].resource: its codes stand for several treatments",
    ),
    "two stages": (
        [*resources(), STAGE | {"id": "s2"}, STAGE | {"id": "s3"}, observation("x", 1, 30)],
        "conflicting_input",
        f"{RECORD}[8].resource",
    ),
    "nothing but a patient": ([PATIENT, observation("a", 1, 31.2)], "too_few_observations", ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_silences_the_model(coded, name):
    record, reason, place = REFUSED[name]
    found = ask(coded, record)
    assert "Observation" not in found and "RiskAssessment" not in found
    assert issues(found)[0][0] == "status: abstain"
    assert any(text.startswith(f"abstain: {reason}: {place}") for text, _ in issues(found)), issues(found)


def test_a_medication_may_be_a_reference(coded):
    drug = {"resourceType": "Medication", "id": "m", "code": concept("radiation")}
    dose = {key: value for key, value in administration("d", 12, 2).items() if key != "medicationCodeableConcept"}
    inside = dose | {"contained": [drug], "medicationReference": {"reference": "#m"}}
    beside = dose | {"medicationReference": {"reference": "Medication/m"}}
    values = [
        [one["valueQuantity"] for one in ask(coded, record)["Observation"]]
        for record in (resources(), [*resources()[:5], inside], [*resources()[:5], beside, drug])
    ]
    assert values[0] == values[1] == values[2]


def test_a_component_is_a_measurement(coded):
    panel = observation("c", 21, 0, code=concept("panel"), component=[
        {"code": concept("tumour-volume"), "valueQuantity": quantity(29.5, "cm3")}, {"code": concept("other")},
    ])  # fmt: skip
    del panel["valueQuantity"]
    record = resources()
    record[4] = panel
    assert [one["valueQuantity"] for one in ask(coded, record)["Observation"]] == [
        one["valueQuantity"] for one in ask(coded)["Observation"]
    ]


PLANS = {
    "another code": request("r", (22,), code="aspirin"),
    "no dose": request("r", (22,), dosageInstruction=[{"timing": {"event": ["2024-03-22T08:00:00Z"]}}]),
    "no times": request("r", ()),
    "a day": request("r", (22,), dosageInstruction=[
        {"timing": {"event": ["2024-03-22"]}, "doseAndRate": [{"doseQuantity": quantity(2, "Gy")}]}
    ]),
    "twice a day": request("r", (22,), dosageInstruction=[
        {
            "timing": {"repeat": {"boundsPeriod": {"start": "2024-03-22T08:00:00Z"}, "frequency": 2, "period": 1,
                                  "periodUnit": "d", "count": 2}},
            "doseAndRate": [{"doseQuantity": quantity(2, "Gy")}],
        }
    ]),
    "a cancelled one": request("r", (22,), status="cancelled"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_a_request_that_is_not_exact_is_refused(coded, name):
    found = ask(coded, None, plan(PLANS[name]))
    assert any(
        text.startswith("abstain: unknown_treatment: Parameters.parameter[1].part[3].resource (")
        for text, _ in issues(found)
    )


def test_a_request_that_is_repeated(coded):
    timing = {
        "repeat": {"boundsPeriod": {"start": "2024-03-22T08:00:00Z"}, "period": 24, "periodUnit": "h", "count": 2}
    }
    repeated = request(
        "r", (), dosageInstruction=[{"timing": timing, "doseAndRate": [{"doseQuantity": quantity(2, "Gy")}]}]
    )
    values = [
        [one["valueQuantity"] for one in ask(coded, None, told)["Observation"]] for told in (plan(repeated), None)
    ]
    assert values[0] == values[1]


def without(name):
    """Parameters that lack one."""
    content = parameters()
    content["parameter"] = [one for one in content["parameter"] if one["name"] != name]
    return content


def paged():
    """A record that is one page."""
    content = parameters()
    content["parameter"][0]["resource"]["link"] = [{"relation": "next", "url": "http://x"}]
    return content


FAULTS = {
    "no record": (without("record"), 422),
    "no plan": (without("plan"), 422),
    "two plans": (parameters(None, None, plan()), 422),
    "an unknown parameter": (parameters(None, None, {"name": CANARY}), 422),
    "another resource": ({"resourceType": "Bundle"}, 422),
    "a page": (paged(), 422),
    "another patient": (parameters([PATIENT, observation("a", 1, 1, subject={"reference": f"Patient/{CANARY}"})]), 422),
    "no subject": (parameters(changed(2, subject=None)), 422),
    "two patients": (parameters([*resources(), PATIENT | {"id": "p-18"}]), 422),
    "no patient": (parameters(resources()[1:]), 422),
    "nothing with a time": (parameters([PATIENT]), 422),
    "a day as now": (parameters(None, None, {"name": "now", "valueDateTime": "2024-03-21"}), 422),
    "a plan without times": (parameters(None, {"name": "plan", "part": []}), 422),
    "a plan in years of another kind": (parameters(None, {"name": "plan", "valueString": "{"}), 400),
    "a request about another patient": (
        parameters(None, plan(request("r", (22,), subject={"reference": CANARY}))),
        422,
    ),
    "an unknown channel": (
        parameters(
            None, None, {"name": "event", "part": [{"name": "channel", "valueString": CANARY}, EVENT["part"][1]]}
        ),
        422,
    ),
    "no JSON": (b"{", 400),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_operation_outcomes(coded, name):
    content, status = FAULTS[name]
    given_ = {"content": content} if isinstance(content, bytes) else {"json": content}
    response = coded.post(PATH, **given_)
    assert response.status_code == status, response.text
    assert CANARY not in response.text and response.headers["content-type"] == "application/fhir+json"
    pytest.importorskip("fhir.resources.R4B.operationoutcome").OperationOutcome.model_validate(response.json())


def test_other_models_are_not_found(coded):
    for response in (coded.post("/fhir/other/$forecast", json=parameters()), coded.get("/fhir/other/metadata")):
        assert response.status_code == 404 and response.json()["issue"][0]["code"] == "not-found"


def test_capabilities(coded):
    told = coded.get("/fhir/lung_tumour/metadata").json()
    pytest.importorskip("fhir.resources.R4B.capabilitystatement").CapabilityStatement.model_validate(told)
    assert told["fhirVersion"] == "4.3.0"


def test_without_codes_nothing_is_used(client):
    response = client.post(PATH, json=parameters(None, None, {"name": "now", "valueDateTime": "2024-03-21T08:00:00Z"}))
    found = response.json()["entry"][-1]["resource"]["issue"]
    assert found[0]["details"]["text"] == "status: abstain"
    assert sum(one["details"]["text"].startswith("ignored: ") for one in found) == 5


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**400), 10**400), st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8), st.just(CANARY), st.sampled_from(["2024-02-30T00:00:00Z", "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00", "final", "Patient/p-17", SITE, "tumour-volume"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip


def places_of(value, path=()):
    """Paths of all values in a document."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places_of(item, (*path, key))


PLACES = [path for path in places_of(parameters(None, None, EVENT)) if path]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=2))
def test_no_record_is_a_fault_of_the_service(coded, changes):
    content = parameters(None, None, EVENT)
    for path, value in changes:
        here = content
        try:
            for key in path[:-1]:
                here = here[key]
            here[path[-1]] = value
        except (KeyError, TypeError, IndexError):
            continue
    response = coded.post(PATH, json=content)
    assert response.status_code < 500, response.text
    assert response.status_code == 200 or CANARY not in response.text


def test_what_is_refused_before_it_is_read_is_told_as_fhir_too(coded):
    outcome = pytest.importorskip("fhir.resources.R4B.operationoutcome").OperationOutcome
    for response, status, kind in (
        (coded.post(PATH, content=b" " * (2**20 + 1)), 413, "too-long"),
        (coded.post(PATH, json={}, headers={"host": "evil.example"}), 400, "structure"),
        (coded.post(PATH, json={}, headers={"origin": "http://evil.example"}), 403, "forbidden"),
        (coded.get(PATH), 405, "not-supported"),
    ):
        assert response.status_code == status and response.json()["issue"][0]["code"] == kind
        assert response.headers["content-type"] == "application/fhir+json"
        outcome.model_validate(response.json())
