"""Documents: parsed strictly; what is wrong is told by place, never by value."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurotwin.errors import DocumentError
from neurotwin.runtime import PatientDocument, PlanDocument, check_order, parse_document, read_document, schemas

CANARY = "Zq7canary"


def refused(kind, content, match=None):
    with pytest.raises(DocumentError, match=match) as caught:
        parse_document(kind, content, "document")
    assert CANARY not in str(caught.value)
    return str(caught.value)


def test_a_document_from_text_bytes_or_data_is_the_same(patient):
    text = json.dumps(patient)
    parsed = parse_document(PatientDocument, text, "patient")
    assert parsed == parse_document(PatientDocument, text.encode(), "patient")
    assert parsed == parse_document(PatientDocument, patient, "patient") == parse_document(PatientDocument, parsed, "")
    assert parsed.observations[3].post_dose and parsed.treatments[2].size == 4


@pytest.mark.parametrize("text", ["", "  ", "NaN", "{", "[]", "7", '{"id": 1, "id": 2}', "[" * 100_000, b"\xff\xfe{"])
def test_text_that_is_no_document(text):
    refused(PatientDocument, text)


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", True, None, [1], 10**400, {"value": 1}, np.nan])
def test_values_that_are_no_numbers(patient, value):
    patient["observations"][1]["value"] = value
    assert "observations.1.value" in refused(PatientDocument, patient)


@pytest.mark.parametrize("number", [np.float64(37), np.float32(37), np.int64(37), 37])
def test_numbers_of_numpy_are_numbers(patient, number):
    patient["observations"][1]["value"] = number
    assert parse_document(PatientDocument, patient, "patient").observations[1].value == 37.0


def test_unknown_fields_are_named_by_their_neighbours(patient):
    patient["observations"][2]["valeu"] = CANARY
    assert "perhaps value" in refused(PatientDocument, patient, "unknown field; at document: observations.2")
    del patient["observations"][2]["valeu"]
    patient[CANARY] = 1
    refused(PatientDocument, patient, "unknown field")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"amount": 1, "rate": 2}, "exactly one"),
        ({}, "exactly one"),
        ({"amount": 1, "t_end": 9}, "no t_end"),
        ({"rate": 1, "t_end": 1}, "t_end > t"),
        ({"rate": 1, "t_end": 0}, "t_end > t"),
    ],
)
def test_treatments_that_contradict_themselves(change, match):
    record = {"t": 1, "treatment": CANARY, "unit": "mg", **change}
    refused(PlanDocument, {"name": "a", "time_unit": "d", "query": {"at": [1]}, "treatments": [record]}, match)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"every": 1},
        {"until": 1},
        {"every": 0, "until": 1},
        {"every": -1, "until": 1},
        {"every": 1e-9, "until": 1},
        {"every": 1, "until": 1, "at": [1]},
        {"at": [1] * 6000},
        {"at": 1},
        {"every": 5e-324, "until": 1},
    ],
)
def test_queries_that_ask_nothing_or_too_much(query):
    refused(PlanDocument, {"name": "a", "time_unit": "d", "query": query})


def test_flags_and_choices_are_taken_literally(patient, plan):
    for value in (1, "yes", None, "true"):
        patient["observations"][0]["post_dose"] = value
        refused(PatientDocument, patient, "observations.0.post_dose")
    plan["ongoing"] = "Continue"
    refused(PlanDocument, plan, "stop or continue")


@pytest.mark.parametrize("text", ["x" * 101, "a\nb", "\x1b[31m", "\ud800"])
def test_text_without_control_characters(patient, text):
    patient["id"] = text
    refused(PatientDocument, patient, "document: id")


def test_names_of_covariates_are_not_told(patient):
    patient["static"][CANARY] = {"value": CANARY}
    refused(PatientDocument, patient, r"static\.2")


def test_files(tmp_path, patient):
    path = tmp_path / "patient.json"
    with pytest.raises(DocumentError, match="no such file"):
        read_document(PatientDocument, path)
    with pytest.raises(DocumentError, match="no such file"):
        read_document(PatientDocument, tmp_path)
    path.write_text(json.dumps(patient))
    assert read_document(PatientDocument, path).id == "p-1"
    path.write_bytes(b" " * (8 * 2**20 + 1))
    with pytest.raises(DocumentError, match="too large"):
        read_document(PatientDocument, path)


def test_order(patient):
    check_order(parse_document(PatientDocument, {**patient, "treatments": []}, ""))
    with pytest.raises(DocumentError, match=r"treatments\.2\.t") as caught:
        check_order(parse_document(PatientDocument, patient, ""))
    assert "15" not in str(caught.value)
    patient["treatments"], seen = [], patient["observations"]
    check_order(
        parse_document(
            PatientDocument, {**patient, "observations": [*seen, {**seen[1], "t": 41.5, "post_dose": True}]}, ""
        )
    )
    for observations, match in (
        ([*seen, seen[0]], r"observations\.5\.t"),
        ([*seen, {**seen[4], "value": 38}], "twice"),
    ):
        with pytest.raises(DocumentError, match=match):
            check_order(parse_document(PatientDocument, {**patient, "observations": observations}, ""))


def test_a_treatment_before_time_zero_is_disorder(patient):
    patient["treatments"] = [{**patient["treatments"][0], "t": -1.0}]
    with pytest.raises(DocumentError, match=r"before time 0; at patient: treatments\.0\.t"):
        check_order(parse_document(PatientDocument, patient, ""))


def test_schemas_are_those_of_what_is_parsed():
    found = schemas()
    json.dumps(found, allow_nan=False)
    told = {"event", "horizon", "target", "goal", "constraints", "budget", "alert_policy"}
    assert set(found) == {"patient", "plan", "answer", "comparison", *told}
    assert found["patient"]["required"] == ["id", "time_unit"] and found["plan"]["required"] == [
        "name",
        "query",
        "time_unit",
    ]
    record = found["patient"]["properties"]["observations"]["items"]
    assert set(record["properties"]) == {"t", "variable", "value", "unit", "post_dose"}
    assert record["additionalProperties"] is False and found["plan"]["properties"]["ongoing"] == {
        "enum": ["stop", "continue"]
    }


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.just(CANARY)
    | st.text(max_size=5)
    | st.binary(max_size=3)
)
NAMES = st.sampled_from(
    [
        "id",
        "time_unit",
        "now",
        "static",
        "observations",
        "treatments",
        "t",
        "variable",
        "value",
        "unit",
        "post_dose",
        "amount",
        "rate",
        "level",
        "t_end",
        "name",
        "query",
        "every",
        "until",
        "at",
        "ongoing",
        CANARY,
    ]
)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=20
)


@settings(max_examples=250, deadline=None)
@given(ANYTHING | st.dictionaries(NAMES, ANYTHING, max_size=8), st.sampled_from([PatientDocument, PlanDocument]))
def test_nothing_but_a_document_error_comes_out(content, kind):
    try:
        parse_document(kind, content, "document")
    except DocumentError as error:
        assert CANARY not in str(error)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_good_document_with_one_fault(patient_text, data):
    content = json.loads(patient_text)
    record = data.draw(st.sampled_from([content, content["static"], *content["observations"], *content["treatments"]]))
    record[data.draw(st.sampled_from([*record, CANARY]))] = data.draw(ANYTHING)
    try:
        parse_document(PatientDocument, content, "document")
    except DocumentError as error:
        assert CANARY not in str(error)
