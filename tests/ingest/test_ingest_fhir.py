"""FHIR: what a resource says reaches the cohort, once and as it stands; what cannot be trusted is counted."""

import copy
import gzip
import json
import os
import re
import sys
from pathlib import Path

import pytest
from fhir_cases import (
    SAMPLES,
    Fhir,
    bundle,
    concept,
    given,
    mapping,
    ndjson,
    observation,
    patient,
    pressure,
    quantity,
    when,
)

from neurotwin.cohort import Cohort
from neurotwin.errors import IngestError
from neurotwin.ingest.fhir import FhirReader, ingest_fhir
from neurotwin.ingest.fhir import files as fhir_files
from neurotwin.ingest.fhir import tables as fhir_tables
from neurotwin.ingest.fhir.columns import COLUMNS
from neurotwin.ingest.fhir.json import MAX_DEPTH

pytest.importorskip("fhir.resources", reason="the extra ehr is not installed")
PAGE = (Path(__file__).parents[2] / "docs/ingest_fhir.md").read_text()
LATER = {"time": "2024-03-01T11:00:00Z", "id": "o2"}


@pytest.fixture
def fhir(tmp_path):
    return Fhir(tmp_path)


def sample(name):
    """A sample's path; the test is skipped where it is not."""
    if not (SAMPLES / name).exists():
        pytest.skip(f"the sample {name} is not here")
    return SAMPLES / name


def counts(fhir):
    total = fhir.totals
    return total.read, total.accepted, total.merged, total.out_of_scope, total.rejected.total()


# ---- what is read


def test_an_observation_gives_one_measurement(fhir):
    fhir(
        observation(163.8629794658931), observation(5, id="o2", valueQuantity=quantity(5, "mmol/L"), time="2024-03-02")
    )
    first, second = sorted(fhir.seen, key=lambda one: one[2])
    assert first == ("p1", "glucose", 0.0, 163.8629794658931, 0) and second[2:4] == (14.0, pytest.approx(90.078))


@pytest.mark.parametrize(("comparator", "censor"), [("<", -1), ("<=", -1), (">", 1), (">=", 1)])
def test_a_comparator_is_a_censored_value(fhir, comparator, censor):
    fhir(observation(valueQuantity=quantity(20, comparator=comparator)))
    assert fhir.seen == [("p1", "glucose", 0.0, 20.0, censor)]


def test_components_give_a_row_each_and_the_panel_none(fhir):
    fhir(pressure())
    assert counts(fhir)[:2] == (2, 2) and {one[1:4] for one in fhir.seen} == {
        ("systolic", 0, 120),
        ("diastolic", 0, 80),
    }
    fhir(pressure(valueQuantity=quantity(93, "mm[Hg]"), code="http://loinc.org|8478-0"))
    assert counts(fhir) == (3, 2, 0, 1, 0)


@pytest.mark.parametrize(
    ("time", "hours"),
    [
        ({"effectiveDateTime": "2024-03-01T13:00:00+02:00"}, 1.0),
        ({"effectiveDateTime": None, "effectiveInstant": "2024-03-01T11:00:00.1234567Z"}, 1 + 0.123456 / 3600),
        ({"effectiveDateTime": None, "effectivePeriod": {"start": "2024-03-01T12:00:00Z", "end": "2024-03-02"}}, 2.0),
        ({"effectiveDateTime": "2024-03-02"}, 14.0),
    ],
)
def test_times_in_all_their_forms(fhir, time, hours):
    fhir(observation(), observation(id="o2", **time))
    assert max(one[2] for one in fhir.seen) == pytest.approx(hours, abs=1e-12)


def test_a_naive_time_is_read_where_the_mapping_has_its_format(fhir):
    naive = observation(id="o2", time="2024-03-01T11:00:00")
    fhir(observation(), naive)
    assert counts(fhir)[:2] == (2, 2)
    plan = mapping("Observation")
    plan["tables"][0]["time"] = {"column": "time", "format": "%Y-%m-%dT%H:%M:%S%z"}
    fhir(observation(), naive, plan=plan)
    assert fhir.rejected == {"time_zone_mixed": 1}
    plan["tables"][0]["time"] = {"column": "time", "format": "%Y-%m-%dT%H:%M:%S%z", "zones": "wall"}
    fhir(observation(time="2024-03-01T10:00:00+02:00"), naive, plan=plan)
    assert sorted(one[2] for one in fhir.seen) == [0.0, 1.0]


def test_of_several_codings_the_mapped_one_is_chosen_and_gives_one_row(fhir):
    both = concept("http://other|1", "http://lab|GLU", "http://loinc.org|2345-7", text="sugar")
    fhir(observation(code="x|y") | {"code": both})
    assert counts(fhir) == (1, 1, 0, 0, 0)
    fhir(observation(), observation(id="o2") | {"code": concept("http://loinc.org|2345-7", "http://loinc.org|8480-6")})
    assert fhir.rejected == {"code_ambiguous": 1}


def test_coded_values_and_numbers_of_other_types(fhir):
    smoker = {"code": "http://loinc.org|72166-2", "valueQuantity": None}
    fhir(
        observation(id="o1", valueCodeableConcept=concept("http://t|z", "http://s|no"), **smoker),
        observation(id="o2", time="2024-03-01T11:00:00Z", valueInteger=1, **smoker),
        observation(id="o3", time="2024-03-01T12:00:00Z", valueString="1", **smoker),
        observation(id="o4", time="2024-03-01T13:00:00Z", valueString="a lot", **smoker),
        observation(id="o5", time="2024-03-01T14:00:00Z", valueRange={"low": quantity(1)}, **smoker),
        observation(id="o6", time="2024-03-01T15:00:00Z", valueBoolean=True, **smoker),
    )
    assert [one[3] for one in sorted(fhir.seen, key=lambda one: one[2])] == [0, 1, 1]
    assert fhir.rejected == {"value_not_a_number": 3}


def test_doses_rates_and_statics(fhir):
    shot = {
        "effectivePeriod": None,
        "effectiveDateTime": "2024-03-01T13:00:00Z",
        "dosage": {"dose": quantity(500, "mg")},
    }
    fhir(observation(), given(), given("http://rx|ASS", id="m2", **shot), patient(), plan=mapping())
    doses = fhir.cohort.doses
    names = [one.name for one in fhir.cohort.schema.treatments]
    found = {
        (names[k], t, e, a)
        for k, t, e, a in zip(doses.treatment, doses.time, doses.end, doses.amount, strict=True)
        if k == 0
    }
    assert found == {("insulin", 0.0, 2.0, 3.0)}
    assert doses.amount[doses.treatment == 1].tolist() == [500.0] and fhir.cohort.statics.tolist() == [[0.0]]


def test_requests_are_no_administrations_unless_a_table_names_them(fhir):
    request = {
        "resourceType": "MedicationRequest",
        "id": "r1",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": concept("http://rx|ASS"),
        "subject": {"reference": "Patient/p1"},
        "authoredOn": "2024-03-01T11:00:00Z",
        "dosageInstruction": [{"doseAndRate": [{"doseQuantity": quantity(100, "mg")}]}],
    }
    fhir(observation(), given(), request, plan=mapping("Observation", "MedicationAdministration") | {"statics": []})
    assert len(fhir.cohort.doses) == 1 and fhir.totals.out_of_scope == 1
    plan = mapping("Observation", "MedicationAdministration")
    plan["tables"][1] |= {"table": "MedicationRequest", "time": when("time")}
    plan["tables"][1]["treatments"] = plan["tables"][1]["treatments"][1:]
    plan["treatments"] = plan["treatments"][1:]
    twice = copy.deepcopy(request) | {"id": "r2"}
    twice["dosageInstruction"][0]["doseAndRate"] *= 2
    fhir(observation(), request, twice, request | {"id": "r3", "doNotPerform": True}, plan=plan)
    assert fhir.cohort.doses.amount.tolist() == [100.0] and fhir.rejected == {"code_ambiguous": 1}
    assert fhir.totals.out_of_scope == 1


# ---- what is not trusted


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "entered-in-error"}, "entered_in_error"),
        ({"modifierExtension": [{"url": "http://x", "valueBoolean": True}]}, "modifier_extension"),
        ({"implicitRules": "http://rules"}, "modifier_extension"),
        ({"valueQuantity": None, "dataAbsentReason": concept("http://why|unknown")}, "value_missing"),
        ({"valueQuantity": None}, "value_missing"),
        ({"valueQuantity": {"value": 90}}, "unit_missing"),
        ({"valueQuantity": quantity(90, "furlong")}, "unit_unknown"),
        ({"valueQuantity": quantity(90, "kg")}, "unit_incompatible"),
        ({"valueQuantity": quantity(90, comparator="~")}, "value_not_a_number"),
        ({"effectiveDateTime": "2024-03"}, "time_unreadable"),
        ({"effectiveDateTime": "2024"}, "time_unreadable"),
        ({"effectiveDateTime": "2024-03-01T10:00:60Z"}, "time_unreadable"),
        ({"effectiveDateTime": None}, "time_missing"),
        ({"subject": None}, "subject_missing"),
        ({"subject": {"display": "somebody"}}, "subject_missing"),
        ({"subject": {"reference": "Patient?identifier=1"}}, "reference_unresolved"),
        ({"subject": {"reference": "urn:uuid:0"}}, "reference_unresolved"),
        (
            {"subject": {"reference": "#p"}, "contained": [{"resourceType": "Patient", "id": "p"}]},
            "reference_unresolved",
        ),
        ({"status": "entered in error"}, "resource_invalid"),
        ({"status": None}, "resource_invalid"),
        ({"surprise": 1}, "resource_invalid"),
        ({"contained": [{"resourceType": "Nothing"}]}, "resource_invalid"),
        ({"note": [{"text": "\ud800"}]}, "resource_invalid"),
        ({"code": {}}, "code_missing"),
    ],
)
def test_rejected_with_its_reason(fhir, change, reason):
    fhir(observation(), {k: v for k, v in (observation(91, **LATER) | change).items() if v is not None})
    assert counts(fhir) == (2, 1, 0, 0, 1) and fhir.rejected == {reason: 1}
    place = next(iter(next(one for one in fhir.report.files if one.places).places.values()))[0]
    assert place.line == 2


def test_a_units_number_in_another_system_is_no_factor(fhir):
    """258797006 is SNOMED's mmol/L, and in UCUM a factor of 258 million; `units` may say what it means."""
    plan = mapping("Observation")
    plan["variables"][0] = {"name": "glucose", "unit": "1"}
    other = {"value": 5, "system": "http://snomed.info/sct", "code": "258797006"}
    sound = observation(id="o2", time="2024-03-02", valueQuantity=quantity(7, "1"))
    fhir(observation(valueQuantity=other), sound, plan=plan)
    assert fhir.rejected == {"unit_unknown": 1} and [one[3] for one in fhir.seen] == [7]
    plan = mapping("Observation")
    plan["tables"][0]["units"] = {"http://snomed.info/sct|258797006": "mmol/L"}
    fhir(observation(valueQuantity=other), plan=plan)
    assert [one[3] for one in fhir.seen] == pytest.approx([90.078])


@pytest.mark.parametrize(
    "change",
    [
        {"status": "cancelled"},
        {"status": "registered"},
        {"subject": {"reference": "Group/g1"}},
        {"code": concept("http://loinc.org|1-1")},
        {"code": concept("http://loinc.org|1-1"), "status": "entered-in-error"},
        {"code": concept("http://loinc.org|1-1"), "subject": None},
    ],
)
def test_out_of_scope(fhir, change):
    fhir(observation(), {k: v for k, v in (observation(91, **LATER) | change).items() if v is not None})
    assert counts(fhir) == (2, 1, 0, 1, 0)


def test_a_modified_component_taints_its_observation(fhir):
    tainted = pressure(id="b1")
    tainted["component"][0]["modifierExtension"] = [{"url": "http://x", "valueBoolean": True}]
    fhir(observation(), tainted)
    assert fhir.rejected == {"modifier_extension": 2}


# ---- references


def test_references_within_a_bundle_and_between_files(fhir):
    uuid = "urn:uuid:11111111-1111-1111-1111-111111111111"
    server = "http://a.org/fhir"
    plan = mapping("Observation", "Patient")
    fhir(plan=plan, b__json=bundle(patient("p9"), observation(subject={"reference": uuid}), urls=(uuid,)))
    assert [one[0] for one in fhir.seen] == ["p9"]
    no_id = {key: item for key, item in patient().items() if key != "id"}
    fhir(plan=plan, b__json=bundle(no_id, observation(subject={"reference": uuid}), urls=(uuid,)))
    assert [one[0] for one in fhir.seen] == [uuid.removeprefix("urn:uuid:")]
    urls = (f"{server}/Patient/p1", f"{server}/Observation/o1")
    for reference in ("Patient/p1", "Patient/p1/_history/2", f"{server}/Patient/p1", f"{server}/Patient/p1/_history/7"):
        fhir(
            plan=plan,
            b__json=bundle(patient(), observation(subject={"reference": reference}), kind="searchset", urls=urls),
        )
        assert [one[0] for one in fhir.seen] == ["p1"]
    fhir(
        plan=plan,
        p__ndjson=ndjson(patient()),
        o__ndjson=ndjson(observation(), observation(7, subject={"reference": "Patient/p2"}, **LATER)),
    )
    assert fhir.rejected == {"reference_unresolved": 1}


def test_another_servers_patient_is_another_patient(fhir):
    urls = ("http://a.org/Patient/p1", "http://b.org/Observation/o1", "http://a.org/Observation/o2")
    fhir(
        plan=mapping("Observation", "Patient"),
        b__json=bundle(patient(), observation(), observation(1e2, **LATER), urls=urls),
    )
    assert fhir.rejected == {"reference_unresolved": 1} and len(fhir.seen) == 1
    other = bundle(patient(), urls=("http://b.org/Patient/p1",))
    with pytest.raises(IngestError, match="two patients with one id"):
        fhir(
            plan=mapping("Observation", "Patient"),
            b__json=bundle(patient(), observation(), urls=urls[:1]),
            c__json=other,
        )
    far = [observation(id=name, subject={"reference": f"http://{name}.org/Patient/p1"}) for name in ("a", "b")]
    with pytest.raises(IngestError, match="two servers"):
        fhir(*far)


def test_medications_are_found_by_reference(fhir):
    ours = {"medicationCodeableConcept": None, "medicationReference": {"reference": "Medication/x"}}
    inside = {
        "medicationReference": {"reference": "#x"},
        "contained": [{"resourceType": "Medication", "id": "x", "code": concept("http://rx|INS")}],
    }
    drug = {"resourceType": "Medication", "id": "x", "code": concept("http://rx|INS")}
    lost = {"medicationReference": {"reference": "Medication/y"}}
    fhir(
        observation(),
        drug,
        patient(),
        given(**ours),
        given(**ours | inside | {"id": "m2"}),
        given(**ours | lost | {"id": "m3"}),
        plan=mapping(),
    )
    assert fhir.report.items.totals["treatments"].accepted == 1 and fhir.totals.merged == 1
    assert fhir.rejected == {"reference_unresolved": 1}


# ---- versions


def version(value, number=None, updated=None, **more):
    meta = {"versionId": number} if number else {}
    return observation(value, meta=meta | ({"lastUpdated": updated} if updated else {}), **more)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([version(91, "2"), version(92, "10")], [92]),
        ([version(91, updated="2024-03-05T00:00:00Z"), version(92, updated="2024-03-05T01:00:00+02:00")], [91]),
        ([version(91, "3", status="amended"), version(92, "2")], [91]),
        ([version(90.0), version(90.0)], [90]),
    ],
)
def test_the_latest_version_counts_and_the_others_are_merged(fhir, others, expected):
    for order in (others, others[::-1]):
        fhir(observation(), *order, observation(50, id="z", time="2024-03-01T12:00:00Z"))
        assert [one[3] for one in sorted(fhir.seen, key=lambda one: one[2])][:-1] == expected
        assert counts(fhir) == (4, 2, 2, 0, 0)


def test_a_withdrawn_version_withdraws_the_earlier_ones(fhir):
    fhir(version(91, "1"), version(91, "2", status="entered-in-error"), observation(50, **LATER))
    assert [one[3] for one in fhir.seen] == [50] and counts(fhir) == (3, 1, 1, 0, 1)


def test_versions_that_nothing_tells_apart_are_rejected(fhir):
    fhir(
        plan=mapping("Observation"),
        a__ndjson=ndjson(observation(91)),
        b__ndjson=ndjson(observation(92), observation(50, **LATER)),
    )
    assert fhir.rejected == {"duplicate_conflict": 2} and len(fhir.seen) == 1


# ---- files


def test_all_forms_of_a_file_give_the_same_cohort(fhir):
    resources = [patient(), observation(), pressure(id="b1"), given()]
    lines = ndjson(*resources)
    forms = [
        {"a__ndjson": lines},
        {"a__ndjson": b"\xef\xbb\xbf" + lines.replace(b"\n", b"\r\n\r\n")},
        {"a__jsonl__gz": gzip.compress(lines)},
        {"b__json": bundle(*resources)},
        {"b__json": bundle(*reversed(resources), kind="collection")},
        {"b__json__gz": gzip.compress(json.dumps(bundle(*resources, kind="searchset"), indent=1).encode())},
        {"c__ndjson": ndjson(bundle(*resources[:2]), *resources[2:])},
        {f"{number}__json": one for number, one in enumerate(resources)},
        {"a__ndjson": lines, "b__json": bundle(*resources)},
    ]
    found = []
    for form in forms:
        fhir(plan=mapping(), **form)
        found.append(fhir.report.sha256)
    assert len(set(found)) == 1 and fhir.totals.merged == 5


def test_resources_that_no_table_asks_for_are_counted_once(fhir):
    claim = {"resourceType": "Claim", "nonsense": {"canary": 1}}
    fhir(plan=mapping(), a__json=bundle(patient(), observation(), claim, claim), b__ndjson=ndjson(claim))
    files = {one.path: one for one in fhir.report.files}
    assert set(files) == {"a.json: Patient", "a.json: Observation", "a.json: other resources", "b.ndjson"}
    assert files["a.json: other resources"].out_of_scope == 2 and files["b.ndjson"].out_of_scope == 1
    assert "canary" not in json.dumps(fhir.report.as_dict())
    assert len({one.sha256 for one in fhir.report.files}) == 2 and all(one.size for one in fhir.report.files)


def test_lines_that_are_no_resource_are_rejected_one_by_one(fhir):
    deep = b'{"resourceType":"Observation","extension":' + b'[{"extension":' * 70 + b"[]" + b"}]" * 70 + b"}"
    bad = [
        b"{",
        b"[]",
        b"7",
        b"null",
        b'{"a":1}',
        b'{"resourceType":5}',
        b'{"resourceType":"Observation","id":"a","id":"b"}',
        b'{"resourceType":"Observation","valueInteger":NaN}',
        b"\xff\xfe",
        b"[" * 100_000,
        deep,
        b'"' + b"9" * 9000 + b'"',
        b"9" * 9000,
        b'{"resourceType":"Bundle","type":"history","entry":[]}',
        b"\0\0",
    ]
    fhir(a__ndjson=ndjson(observation()) + b"\n".join(bad) + b"\n", plan=mapping("Observation"))
    assert fhir.rejected == {"row_unreadable": len(bad)} and fhir.totals.accepted == 1


def test_entries_without_a_resource(fhir):
    whole = bundle(observation())
    whole["entry"] += [{"fullUrl": "http://x"}, 5, {"resource": 5}, {"resource": {"resourceType": "Bundle"}}]
    whole["entry"].append({"resource": observation(7, **LATER), "modifierExtension": [{"url": "http://x"}]})
    fhir(b__json=whole)
    assert fhir.rejected == {"row_unreadable": 2, "resource_invalid": 1, "modifier_extension": 1}
    assert counts(fhir) == (6, 1, 0, 1, 4)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b'{"resourceType":"Bundle","type":"history","entry":[]}', "a type that is not read"),
        ("a.json", b'{"resourceType":"Bundle","type":"collection","type":"batch"}', "one key twice"),
        ("a.json", b"[" * 100_000, "nested too deep"),
        ("a.json", ndjson(observation(), observation()), "not JSON"),
        ("a.json", b"[]", "0 records"),
        ("a.json", b"", "0 records"),
        ("a.json", b"{}", "0 records"),
        ("a.json", b"\xff\xfe{\0}\0", "not UTF-8"),
        ("a.json", b'{"a":"\xe9"}', "not UTF-8"),
        ("a.json", b'{"resourceType":"Bundle","type":"collection"}', "0 records"),
        ("a.ndjson", b"", "0 records"),
        ("a.ndjson", b"\n\n", "0 records"),
        ("a.ndjson.gz", gzip.compress(b"x" * 99, mtime=0)[:-9], "gzip file is damaged"),
        ("a.ndjson.gz", b"\x1f\x8bnonsense", "gzip file is damaged"),
        ("a.txt", b"x", "no FHIR file"),
        ("a.ndjson", ndjson(patient()), "no measurement"),
    ],
)
def test_files_refused_as_a_whole(fhir, name, content, message):
    with pytest.raises(IngestError, match=message) as error:
        fhir(**{name.replace(".", "__"): content})
    assert "\n" not in str(error.value) and error.value.exit_code == 2 and not fhir.output.exists()


def test_sizes_are_limited(fhir, monkeypatch):
    monkeypatch.setattr(fhir_files, "MAX_LINE", 2000)
    with pytest.raises(IngestError, match="far more than text"):
        fhir(a__ndjson__gz=gzip.compress((b" " * 1000 + b"\n") * 30_000))
    monkeypatch.setattr(fhir_files, "MAX_DOCUMENT", 3000)
    long = observation(note=[{"text": "canary" * 600}])
    with pytest.raises(IngestError, match="a line is too long"):
        fhir(a__ndjson=ndjson(observation(), long))
    for packed in (False, True):
        data = json.dumps(bundle(long)).encode()
        with pytest.raises(IngestError, match="too large") as error:
            fhir(**{"a__json__gz" if packed else "a__json": gzip.compress(data) if packed else data})
        assert "canary" not in str(error.value)


def test_links_pipes_and_missing_sources(fhir, tmp_path):
    fhir(observation())
    (fhir.source / "b.ndjson").symlink_to(fhir.source / "all.ndjson")
    for source, message in [(fhir.source, "symbolic link"), (tmp_path / "none.json", "no regular file")]:
        with pytest.raises(IngestError, match=message):
            ingest_fhir(source, mapping("Observation"), tmp_path / "out", progress=False)
    pipe = tmp_path / "pipe.ndjson"
    os.mkfifo(pipe)
    with pytest.raises(IngestError, match="no regular file"):
        ingest_fhir(pipe, mapping("Observation"), tmp_path / "out", progress=False)


def test_a_file_that_changes_is_noticed(fhir, tmp_path):
    fhir(observation())
    from neurotwin.ingest.mapping_file import load_mapping

    (tmp_path / "scratch").mkdir()
    reader = FhirReader()
    tables = reader.tables(fhir.source, load_mapping(mapping("Observation")), tmp_path / "scratch", lambda size: None)
    (fhir.source / "all.ndjson").write_bytes(ndjson(observation(50), observation(60, **LATER)))
    with pytest.raises(IngestError, match="changed while"):
        list(tables[0].batches())
    reader.close()


def test_files_are_chosen_by_the_tables(fhir):
    plan = mapping("Observation")
    plan["tables"][0]["file"] = "lab*.ndjson"
    fhir(plan=plan, lab1__ndjson=ndjson(observation()), rest__ndjson=ndjson(observation(1, **LATER)))
    assert counts(fhir) == (2, 1, 0, 1, 0)
    plan["tables"][0]["file"] = "x*.ndjson"
    with pytest.raises(IngestError, match=r"no file 'x\*.ndjson'"):
        fhir(observation(), plan=plan)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": "Observatio"}, "did you mean 'Observation'"),
        ({"subject": "subjct"}, "did you mean 'subject'"),
        ({"value": "note"}, "no column 'note'"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(fhir, change, message):
    plan = mapping("Observation")
    plan["tables"][0] |= change
    with pytest.raises(IngestError, match=message):
        fhir(observation(), plan=plan)


def test_a_table_without_a_type_is_refused(fhir):
    plan = mapping("Observation")
    del plan["tables"][0]["table"]
    with pytest.raises(IngestError, match="expected table: one of Observation"):
        fhir(observation(), plan=plan)


def test_only_named_columns_are_read(tmp_path, fhir):
    fhir(
        observation(note=[{"text": "canary"}], performer=[{"display": "canary"}]),
        patient(name=[{"family": "canary"}]),
        plan=mapping("Observation", "Patient"),
    )
    for path in fhir.output.rglob("*"):
        assert not path.is_file() or b"canary" not in path.read_bytes()


def test_batches_have_the_size_and_columns_of_the_contract(fhir, tmp_path, monkeypatch):
    from neurotwin.ingest.mapping_file import load_mapping

    fhir(
        *(observation(number, id=f"o{number}") for number in range(50, 60)),
        plan=mapping("Observation", replicates=["glucose"]),
    )
    monkeypatch.setattr(fhir_tables, "BATCH", 4)
    (tmp_path / "scratch").mkdir()
    read, reader = [], FhirReader()
    (table,) = reader.tables(fhir.source, load_mapping(mapping("Observation")), tmp_path / "scratch", read.append)
    batches = list(table.batches())
    reader.close()
    assert [len(one) for one in batches] == [4, 4, 2] and set(batches[0].columns) == {
        "subject",
        "time",
        "code",
        "value",
        "unit",
    }
    assert batches[1].lines.tolist() == [5, 6, 7, 8] and batches[0].columns["value"].to_pylist()[0] == "50"
    assert sum(read) == table.volume == table.size == (fhir.source / "all.ndjson").stat().st_size


def test_every_column_of_every_type_is_read_from_an_empty_resource():
    """No column needs anything: what is not there is "" (or an unresolved reference)."""
    from neurotwin.ingest.accounting import Reason
    from neurotwin.ingest.fhir.codes import Choice
    from neurotwin.ingest.fhir.columns import Place
    from neurotwin.ingest.fhir.files import Entry
    from neurotwin.ingest.mapping_file import load_mapping

    class Nobody:
        def patient(self, reference, url):
            return ""

    choice = Choice(load_mapping(mapping("Observation")).tables[0])
    for kind, columns in COLUMNS.items():
        for name, read in columns.items():
            assert read(Place(Entry(1, {"resourceType": kind}), {}, choice, Nobody()), name) in ("", *Reason)


# ---- samples


@pytest.mark.parametrize(("name", "accepted"), [("Carin_Schowalter", 130), ("Roma_Funk", 124)])
def test_synthea_bundles(tmp_path, name, accepted):
    (path,) = sample("fhir_r4").glob(f"{name}*.json")
    report = ingest_fhir(path, "fhir_synthea", tmp_path / "cohort", progress=False)
    entries = [one["resource"] for one in json.loads(path.read_text())["entry"]]
    rows = sum(len(one.get("component", ())) or 1 for one in entries)  # of a panel of components, each is a row
    assert report.balanced and report.totals.read == rows
    assert report.items.totals["measurements"].accepted == accepted and not report.totals.rejected
    cohort = Cohort.load(tmp_path / "cohort", verify=True)
    patients = [one for one in entries if one["resourceType"] == "Patient"]
    assert [str(one) for one in cohort.ids] == [one["id"] for one in patients]
    smoker = [one.name for one in cohort.schema.variables].index("smoker")
    smoked = [one["effectiveDateTime"] for one in entries if "Tobacco" in one.get("code", {}).get("text", "")]
    assert (cohort.observations.variable == smoker).sum() == len(smoked) > 0


def test_an_mcode_bundle(tmp_path):
    path = sample("fhir_r4/Bundle-mcode-patient-bundle-jenny-m.json")
    report = ingest_fhir(path, "fhir_mcode", tmp_path / "cohort", progress=False)
    assert report.balanced and report.totals.read == 44
    # 3000 in units of 10*3/uL neutrophils: a slip of the sample, which is not corrected but rejected.
    assert report.totals.rejected == {"implausible": 1}
    cohort = Cohort.load(tmp_path / "cohort", verify=True)
    names = [one.name for one in cohort.schema.variables]
    found = {names[v]: x for v, x in zip(cohort.observations.variable, cohort.observations.value, strict=True)}
    assert found.pop("body_weight") == pytest.approx(155 * 0.45359237)
    assert found == {"tumour_size": 2.5, "performance_status": 0, "oncotype_score": 47, "disease_progression": -1}


def test_a_folder_of_all_samples_balances(tmp_path):
    report = ingest_fhir(sample("fhir_r4"), "fhir_synthea", tmp_path / "cohort", progress=False)
    assert report.balanced and report.items.totals["measurements"].accepted == 254
    assert len(Cohort.load(tmp_path / "cohort")) == 16


# ---- the page


def test_the_example_of_the_page(tmp_path, fhir):
    from neurotwin.ingest.yaml_file import parse_yaml

    lines, plan = re.search(r"```json\n(.*?)```.*?```yaml\n(.*?)```", PAGE, re.DOTALL).groups()
    fhir(ward__ndjson=lines.encode(), plan=parse_yaml(plan))
    assert sorted(fhir.seen) == [
        ("p1", "diastolic", 0.0, 79.0, 0),
        ("p1", "systolic", 0.0, 131.0, 0),
        ("p1", "systolic", 3.0, 290.0, 1),
    ]
    doses = fhir.cohort.doses
    assert (doses.time.tolist(), doses.end.tolist(), doses.amount.tolist()) == ([1.0], [2.0], [250.0])
    assert counts(fhir) == (7, 5, 0, 1, 1) and fhir.rejected == {"entered_in_error": 1}


def test_every_table_and_column_is_on_the_page():
    rows = re.findall(r"^\| `([A-Z]\w+)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", cell)) for name, cell in rows} == {k: set(v) for k, v in COLUMNS.items()}
    limits = f"{fhir_files.MAX_LINE >> 20} MiB", f"{fhir_files.MAX_DOCUMENT >> 20} MiB"
    assert all(one in PAGE for one in limits) and f"more than {MAX_DEPTH} levels" in PAGE


def test_the_command(tmp_path, fhir, monkeypatch, capsys):
    from neurotwin.cli import main

    lines, plan = re.search(r"```json\n(.*?)```.*?```yaml\n(.*?)```", PAGE, re.DOTALL).groups()
    (tmp_path / "ward.ndjson").write_text(lines)
    (tmp_path / "ward.yaml").write_text(plan)
    command = ["neurotwin", "ingest", "fhir", str(tmp_path / "ward.ndjson"), "-m", str(tmp_path / "ward.yaml"), "-o"]
    monkeypatch.setattr(sys, "argv", [*command, str(tmp_path / "out")])
    main()
    assert (tmp_path / "out/ingest_report.json").is_file() and "1 subjects" in capsys.readouterr().out
    (tmp_path / "ward.ndjson").write_text("")
    monkeypatch.setattr(sys, "argv", [*command, str(tmp_path / "other")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2 and "0 records" in capsys.readouterr().err


# ---- patients who are one


def links(kind, other):
    return [{"type": kind, "other": {"reference": other}}]


@pytest.mark.parametrize(
    ("kind", "left"),
    [("replaced-by", {"p2", "p3"}), ("refer", {"p2", "p3"}), ("replaces", {"p1", "p3"}), ("seealso", {"p3"})],
)
def test_a_patient_recorded_as_another_makes_no_second_subject(fhir, kind, left):
    people = [patient("p1", link=links(kind, "Patient/p2")), patient("p2"), patient("p3")]
    seen = [
        observation(90 + n, id=f"o{n}", subject={"reference": f"Patient/{one['id']}"}) for n, one in enumerate(people)
    ]
    fhir(*people, *seen, plan=mapping("Observation", "Patient"))
    assert set(fhir.cohort.ids) == left and fhir.rejected == {"subject_linked": 2 * (3 - len(left))}


def test_links_in_a_circle_and_to_nobody(fhir):
    people = [
        patient("p1", link=links("replaced-by", "Patient/p2")),
        patient("p2", link=links("replaced-by", "Patient/p1")),
        patient("p3", link=links("replaces", "Patient/nobody") + links("replaces", "RelatedPerson/p4")),
        patient("p4"),
    ]
    fhir(*people, observation(subject={"reference": "Patient/p3"}), plan=mapping("Observation", "Patient"))
    assert set(fhir.cohort.ids) == {"p3", "p4"} and fhir.rejected == {"subject_linked": 2}


def test_a_link_of_an_earlier_version_counts(fhir):
    old = patient("p1", link=links("replaced-by", "Patient/p2"), meta={"versionId": "1"})
    people = [old, patient("p1", meta={"versionId": "2"}), patient("p2")]
    fhir(*people, observation(subject={"reference": "Patient/p2"}), plan=mapping("Observation", "Patient"))
    assert set(fhir.cohort.ids) == {"p2"} and fhir.rejected == {"subject_linked": 1}


def test_an_age_comes_from_birth_dates_of_any_precision(fhir):
    plan = mapping("Observation", "Patient")
    plan["statics"].append({"name": "age", "unit": "a", "plausible": [0, 120]})
    formats = ["%Y-%m-%d", "%Y-%m", "%Y"]
    plan["tables"][1]["birth"] = {"column": "birth_date", "format": formats, "zones": "utc", "age": "age"}
    people = [patient("p1"), patient("p2", birthDate="1960-02"), patient("p3", birthDate="1960")]
    seen = [observation(id=f"o{n}", subject={"reference": f"Patient/p{n}"}) for n in (1, 2, 3)]
    fhir(*people, *seen, plan=plan)
    days = 23405 + 10 / 24  # from 1960-02-01 to 2024-03-01T10:00Z
    assert fhir.cohort.statics[:, 1] * 365.25 == pytest.approx([days, days, days + 31], rel=1e-12)


def test_what_is_not_used_is_not_checked_and_still_counts(fhir):
    """A resource of a code that is not mapped is out of scope, be it valid or not; a mapped one must be valid."""
    wrong = {"status": "final", "effectiveDateTime": 7, "note": "no list"}
    fhir(
        observation(),
        observation(id="o2", code="http://loinc.org|1-1") | wrong,
        observation(id="o3") | wrong,
        pressure(id="o4", component=pressure()["component"], note="no list"),
    )
    assert counts(fhir) == (4, 1, 0, 1, 2) and fhir.rejected == {"resource_invalid": 2}
