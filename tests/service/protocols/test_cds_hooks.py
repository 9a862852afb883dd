"""CDS Hooks 2.0: the shape of the specification, honest cards, silence with its reasons."""

import copy
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from fhir_records import PATIENT, SITE, STAGE, administration, bundle, concept, observation, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

VIEW, SIGN = "/cds-services/lung_tumour-patient-view", "/cds-services/lung_tumour-order-sign"
CANARY = "zq7canary"
TEXT = {"type": "string", "minLength": 1}
UUID = {"type": "string", "pattern": "^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"}
SERVICES = {
    "type": "object",
    "required": ["services"],
    "properties": {
        "services": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["hook", "description", "id"],
                "properties": {
                    "hook": TEXT,
                    "title": TEXT,
                    "description": TEXT,
                    "id": {"type": "string", "pattern": "^[A-Za-z0-9_.-]+$"},
                    "prefetch": {"type": "object", "additionalProperties": TEXT},
                    "usageRequirements": TEXT,
                },
                "additionalProperties": False,
            },
        }
    },
}
CARDS = {
    "type": "object",
    "required": ["cards"],
    "properties": {
        "cards": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["summary", "indicator", "source"],
                "properties": {
                    "uuid": UUID,
                    "summary": {"type": "string", "minLength": 1, "maxLength": 139},
                    "detail": TEXT,
                    "indicator": {"enum": ["info", "warning", "critical"]},
                    "source": {
                        "type": "object",
                        "required": ["label"],
                        "properties": {"label": TEXT, "url": TEXT, "icon": TEXT, "topic": {"type": "object"}},
                        "additionalProperties": False,
                    },
                },
                "additionalProperties": False,  # no suggestions, no links
            },
        }
    },
    "additionalProperties": False,  # no systemActions
}
"""Answers of the specification (https://cds-hooks.hl7.org/2.0), without what these services never send."""


def ago(days):
    """An instant before now."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def prefetch(*volumes):
    """A record that ends a few days ago: (days ago, volume) of each visit."""
    visits = volumes or ((30, 21.2), (20, 25), (5, 28))
    told = [observation(f"o{days}", 1, value, effectiveDateTime=ago(days)) for days, value in visits]
    told.append(STAGE | {"effectiveDateTime": ago(40)})
    return {
        "patient": PATIENT,
        "observations": bundle(told, "searchset"),
        "administrations": bundle([administration("d", 1, 2, effectiveDateTime=ago(18))], "searchset"),
    }


def question(hook="patient-view", content=None, **context):
    """A hook that was triggered."""
    return {
        "hook": hook,
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "fhirServer": "https://ehr.example/fhir",
        "fhirAuthorization": {"access_token": CANARY, "token_type": "Bearer"},
        "context": {"userId": "Practitioner/1", "patientId": "p-17"} | context,
        "prefetch": prefetch() if content is None else content,
    }


def draft(name, days, **changes):
    """A draft order of radiotherapy, so many days from now."""
    made = request(name, (), status="draft", **changes)
    made["dosageInstruction"][0]["timing"]["event"] = [ago(-day) for day in days]
    return made


def cards_of(response):
    """Cards that have the specification's shape."""
    assert response.status_code == 200, response.text
    pytest.importorskip("jsonschema").validate(response.json(), CARDS)
    return response.json()["cards"]


def test_the_services(coded, client):
    told = coded.get("/cds-services").json()
    pytest.importorskip("jsonschema").validate(told, SERVICES)
    assert [one["id"] for one in told["services"]] == ["lung_tumour-patient-view", "lung_tumour-order-sign"]
    assert f"code={SITE}|tumour-volume,{SITE}|stage" in told["services"][0]["prefetch"]["observations"]
    assert client.get("/cds-services").json() == {"services": []}  # no codes, nothing to offer


def test_a_forecast_and_the_risks_that_are_watched(coded):
    alarm, forecast = cards_of(coded.post(VIEW, json=question()))
    assert alarm["indicator"] == "warning" and alarm["summary"].startswith("Risk of tumour_volume above 25 cm3 by ")
    assert forecast["indicator"] == "info" and forecast["source"] == {"label": "neurotwin lung_tumour 0.1.0"}
    assert forecast["summary"].startswith("Forecast 20") and "cm3 (90%: " in forecast["summary"]
    assert "above 5000 cm3 is not told. A value or dose is beyond the range" in forecast["detail"]
    assert "not a medical device" in forecast["detail"] and alarm["uuid"] != forecast["uuid"]


def test_no_alarm_below_the_level(coded):
    (card,) = cards_of(coded.post(VIEW, json=question(content=prefetch((30, 0.2), (20, 0.18), (5, 0.15)))))
    assert re.search(r"Risk of tumour_volume above 25 cm3: 1?\d%\.", card["detail"]) and card["indicator"] == "info"


@pytest.mark.parametrize(
    ("visits", "words"),
    [
        (((30, 21.2),), "There are fewer visits than the model needs"),
        (((930, 21.2), (920, 25), (905, 28)), "The forecast is asked further ahead than the model was trained"),
    ],
)
def test_silence_has_its_reasons(coded, visits, words):
    content = prefetch(*visits)
    content["administrations"] = bundle([])
    (card,) = cards_of(coded.post(VIEW, json=question(content=content)))
    assert card["summary"].startswith("lung_tumour stays silent. ") and words in card["detail"]
    assert card["indicator"] == "info"


def test_orders_are_compared_with_none(coded):
    orders = bundle([draft("r", (1, 2, 3)), draft("other", (1,), medicationCodeableConcept=concept("aspirin"))])
    (card,) = cards_of(coded.post(SIGN, json=question("order-sign", draftOrders=orders)))
    assert card["summary"].startswith("Difference with these orders 20") and "cm3 (90%: -" in card["summary"]
    assert "What the comparison rests on: simulated-only." in card["detail"]
    assert "left out: 1." in card["detail"]


def test_orders_that_are_not_exact_are_not_guessed(coded):
    (card,) = cards_of(coded.post(SIGN, json=question("order-sign", draftOrders=bundle([draft("r", ())]))))
    assert "A treatment, or the way it is given, is unknown to the model." in card["summary"]
    assert "context.draftOrders.entry[0].resource (dose, rate or times are not told exactly)" in card["detail"]


def test_orders_that_the_model_does_not_know_give_no_card(coded):
    orders = bundle([draft("r", (1,), medicationCodeableConcept=concept("aspirin"))])
    assert cards_of(coded.post(SIGN, json=question("order-sign", draftOrders=orders))) == []


def test_an_order_of_a_medication_beside_it(coded):
    drug = {"resourceType": "Medication", "id": "m", "code": concept("radiation")}
    order = draft("r", (1, 2), medicationReference={"reference": "Medication/m"})
    del order["medicationCodeableConcept"]
    beside, alone = (
        cards_of(coded.post(SIGN, json=question("order-sign", draftOrders=bundle(orders))))
        for orders in ([order, drug], [order])
    )
    assert beside[0]["summary"].startswith("Difference with these orders 20")
    assert alone[0]["summary"].startswith("lung_tumour stays silent. A treatment")


def other(path, value):
    """A question with one thing changed; None takes it away."""
    content = question()
    here = content
    for key in path[:-1]:
        here = here[key]
    if value is None:
        del here[path[-1]]
    else:
        here[path[-1]] = value
    return content


FAULTS = {
    "no prefetch": (other(("prefetch",), None), 412),
    "no administrations": (other(("prefetch", "administrations"), None), 412),
    "a prefetch that failed": (question(content=prefetch() | {"observations": []}), 412),
    "another patient": (question(patientId=CANARY), 422),
    "another hook": (question("order-sign"), 400),
    "an unknown hook": (question(CANARY), 422),
    "a page": (other(("prefetch", "observations", "link"), [{"relation": "next", "url": CANARY}]), 422),
    "an unknown field": (question() | {CANARY: 1}, 422),
    "no context": (other(("context",), None), 422),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(coded, name):
    content, status = FAULTS[name]
    response = coded.post(VIEW, json=content)
    assert response.status_code == status and response.json()["error"]["code"].startswith("NT-"), response.text
    assert CANARY not in response.text


def test_another_patients_order_is_refused(coded):
    orders = bundle([draft("r", (1,), subject={"reference": f"Patient/{CANARY}"})])
    response = coded.post(SIGN, json=question("order-sign", draftOrders=orders))
    assert response.status_code == 422 and CANARY not in response.text


def test_no_such_service(coded):
    assert coded.post("/cds-services/heart-patient-view", json=question()).status_code == 404


def test_feedback(coded):
    told = {"card": "4e0a3a1e-3283-4575-ab82-028d55fe2719", "outcome": "overridden"}
    told |= {"outcomeTimestamp": "2026-01-01T00:00:00Z", "overrideReason": {"userComment": CANARY}}
    assert coded.post(f"{VIEW}/feedback", json={"feedback": [told]}).status_code == 200
    assert coded.post(f"{VIEW}/feedback", json={"feedback": [told | {"outcome": "maybe"}]}).status_code == 422
    assert coded.post("/cds-services/x/feedback", json={"feedback": [told]}).status_code == 404


def test_the_audit_log_holds_no_value(coded):
    coded.post(VIEW, json=question())
    text = coded.audit.read_text()
    assert CANARY not in text and "p-17" not in text and "ehr.example" not in text
    last = json.loads(text.splitlines()[-1])
    assert last["route"] == "/cds-services/{id}" and last["answers"] == ["ok"] and last["subject"]


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8), st.just(CANARY), st.sampled_from(["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip
WHOLE = question("order-sign", draftOrders=bundle([draft("r", (1, 2))]))


def places_of(value, path=()):
    """Paths of all values in a document."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places_of(item, (*path, key))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from([path for path in places_of(WHOLE) if path]), value=JSON)
def test_no_hook_is_a_fault_of_the_service(coded, place, value):
    content = copy.deepcopy(WHOLE)
    here = content
    for key in place[:-1]:
        here = here[key]
    here[place[-1]] = value
    response = coded.post(SIGN, json=content)
    assert response.status_code < 500, response.text
    if response.status_code == 200:
        cards_of(response)
    else:
        assert CANARY not in response.text
