"""Any mutation of good resources: every one is accounted for, no traceback, no value out of nothing, nothing leaked.

Two oracles know nothing of the reader: entries are counted by hand, and each measurement in the cohort must stand in
some resource of its subject, with the unit that it was converted from.
"""

import copy
import gzip
import json
import shutil

import pytest
from fhir_cases import bundle, concept, given, mapping, ndjson, observation, patient, pressure, quantity
from hypothesis import HealthCheck, settings
from hypothesis import given as given_by
from hypothesis import strategies as st

from neurotwin.cohort import Cohort
from neurotwin.errors import NeurotwinError
from neurotwin.ingest.fhir import ingest_fhir
from neurotwin.units import conversion

pytest.importorskip("fhir.resources", reason="the extra ehr is not installed")
SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
NOTE = {"note": [{"text": "canary"}]}
GOOD = [
    patient("p1", name=[{"family": "canary"}]),
    patient("canary", gender="male"),
    observation(90, **NOTE),
    observation(5.1, id="o2", time="2024-03-01T12:00:00+01:00", valueQuantity=quantity(5.1, "mmol/L")),
    observation(95, id="o3", time="2024-03-02", meta={"versionId": "1"}),
    observation(96, id="o3", time="2024-03-02", meta={"versionId": "2", "lastUpdated": "2024-03-03T00:00:00Z"}),
    observation(88, id="o4", subject={"reference": "Patient/canary"}, valueQuantity=quantity(88, comparator="<")),
    observation(
        id="o5", code="http://loinc.org|72166-2", valueQuantity=None, valueCodeableConcept=concept("http://s|no")
    ),
    pressure(id="b1"),
    given(),
    given(
        "http://rx|ASS",
        id="m2",
        effectivePeriod=None,
        effectiveDateTime="2024-03-02",
        dosage={"dose": quantity(1, "mg")},
    ),
    {"resourceType": "Claim", "id": "c1"},
]
KEYS = (
    "modifierExtension dataAbsentReason component contained implicitRules _status valueInteger valueString valueRange "
    "effectivePeriod effectiveInstant medicationReference extension resourceType id meta x"
).split()
NASTY = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    " ",
    "canary",
    "Patient/canary",
    "Patient/p2",
    "urn:uuid:1",
    "#x",
    "http://a/Patient/p1",
    "final",
    "entered-in-error",
    "cancelled",
    "2024-03",
    "2024-02-30",
    "2024-03-01T10:00:00",
    "9999-12-31",
    "\ud800",
    "\0",
    "=1+1",
    "a" * 300,
    "mmol/L",
    "ML",
    "<",
    ">=",
    "~",
    "1e400",
    [],
    {},
    [None],
    [[]],
    {"x": 1},
    [{}],
    [{"url": "x"}],
    {"reference": "Patient/p1"},
    {"start": "2024-03-01"},
    {"value": 5, "unit": "mg/dL"},
    {"coding": [{"code": "x"}]},
    "Observation",
    "Patient",
    "Bundle",
    "Medication",
    {"numerator": {"value": 1}},
]
values = st.one_of(
    st.sampled_from(NASTY), st.text(max_size=5), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
)


def paths(value, here=()):
    """Where something stands in a resource."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*here, key)
        yield from paths(item, (*here, key))


@st.composite
def mutated(draw):
    """Resources with some of them changed: a value replaced, removed, added or moved, a resource repeated."""
    resources = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        number = draw(st.integers(0, len(resources) - 1))
        resource = resources[number]
        found = list(paths(resource))
        change = draw(
            st.sampled_from(["replace", "replace", "replace", "remove", "add", "add", "swap", "repeat", "drop"])
        )
        if change == "repeat":
            resources.insert(draw(st.integers(0, len(resources))), copy.deepcopy(resource))
        elif change == "drop" and len(resources) > 1:
            del resources[number]
        elif change == "add" or not found:
            holders = [resource, *(one for path in found if isinstance(one := at(resource, path), dict))]
            draw(st.sampled_from(holders))[draw(st.sampled_from(KEYS))] = copy.deepcopy(draw(values))
        else:
            *above, key = draw(st.sampled_from(found))
            holder = at(resource, above)
            if change == "remove":
                del holder[key]
            elif change == "swap":
                holder[key] = copy.deepcopy(at(*draw(st.sampled_from([(resource, path) for path in found]))))
            else:
                holder[key] = copy.deepcopy(draw(values))
    return resources


def at(value, path):
    for key in path:
        value = value[key]
    return value


def check(resources, form, folder):
    """Ingest resources and hold the result against what can be told without the reader; None where all was refused."""
    source, output = folder / "source", folder / "cohort"
    for one in (source, output):
        shutil.rmtree(one, ignore_errors=True)
    source.mkdir()
    lines, whole = ndjson(*resources), json.dumps(bundle(*resources, kind="collection")).encode()
    name, content = {
        "lines": ("a.ndjson", lines),
        "packed": ("a.ndjson.gz", gzip.compress(lines, 1)),
        "bundle": ("a.json", whole),
    }[form]
    (source / name).write_bytes(content)
    try:
        report = ingest_fhir(source, mapping(), output, progress=False)
    except NeurotwinError as error:
        assert "\n" not in str(error) and "canary" not in str(error) and error.exit_code == 2
        return None
    content = report.as_dict()
    for block in (
        *content["files"],
        content["totals"],
        content["measurements"],
        content["treatments"],
        content["statics"],
    ):
        assert block["read"] == block["accepted"] + block["merged"] + block["out_of_scope"] + sum(
            block["rejected"].values()
        )
    parts = lines.count(b'"code"')  # no resource has more components than codes
    assert report.balanced and len(resources) <= report.totals.read <= len(resources) + parts
    assert "canary" not in json.dumps(content)
    cohort = Cohort.load(output, verify=True)
    assert content["measurements"]["accepted"] == len(cohort.observations)
    assert content["treatments"]["accepted"] == len(cohort.doses)
    seen = cohort.observations
    for s, v, value in zip(seen.subject, seen.variable, seen.value, strict=True):
        variable = cohort.schema.variables[v]
        assert any(says(one, str(cohort.ids[s]), variable, value) for one in resources), (variable.name, value)
    return cohort


def says(resource, subject, variable, value):
    """Whether a resource tells this number of its subject, in a unit that it names or in words."""
    reference = resource.get("subject", {}).get("reference") if isinstance(resource.get("subject"), dict) else None
    if not isinstance(reference, str) or subject not in reference or resource.get("status") == "entered-in-error":
        return False
    parts = resource.get("component")
    for part in [resource, *(parts if isinstance(parts, list) else [])]:
        found = part.get("valueQuantity") if isinstance(part, dict) else None
        if (
            variable.unit == "1"
            and isinstance(part, dict)
            and set(part) & {"valueCodeableConcept", "valueInteger", "valueString"}
        ):
            return value in (0, 1)
        try:
            factor = conversion(found.get("code") or found.get("unit"), variable.unit, 180.156).factor
            if abs(float(found["value"]) * factor - value) <= 1e-9 * abs(value):
                return True
        except (AttributeError, KeyError, TypeError, ValueError, NeurotwinError):
            continue
    return False


forms = st.sampled_from(["lines", "lines", "packed", "bundle"])


@settings(max_examples=40, **SLOW)
@given_by(resources=mutated(), form=forms)
def test_mutated_resources(resources, form, tmp_path):
    check(resources, form, tmp_path)


@pytest.mark.full
@settings(max_examples=800, **SLOW)
@given_by(resources=mutated(), form=forms)
def test_many_mutated_resources(resources, form, tmp_path):
    check(resources, form, tmp_path)


@settings(max_examples=30, **SLOW)
@given_by(junk=st.one_of(st.binary(max_size=200), st.text(max_size=60).map(str.encode)), at_byte=st.integers(0, 3000))
def test_spliced_bytes_get_an_answer(junk, at_byte, tmp_path):
    """Bytes put into a file: the lines around them are read, or the file is refused in one line."""
    path, lines = tmp_path / "a.ndjson", ndjson(*GOOD)
    path.write_bytes(lines[:at_byte] + junk + lines[at_byte:])
    shutil.rmtree(tmp_path / "cohort", ignore_errors=True)
    try:
        report = ingest_fhir(path, mapping(), tmp_path / "cohort", progress=False)
    except NeurotwinError as error:
        assert "\n" not in str(error) and "canary" not in str(error)
    else:
        count = sum(1 for line in path.read_bytes().split(b"\n") if line.strip())
        assert report.balanced and report.totals.read >= count


def test_the_oracles_can_fail(tmp_path):
    cohort = check(GOOD, "lines", tmp_path)
    assert len(cohort.observations) == 7 and len(cohort.doses) == 2
    glucose = cohort.schema.variables[0]
    assert says(GOOD[3], "p1", glucose, 5.1 * 18.0156) and not says(GOOD[3], "p1", glucose, 5.1)
    assert not says(GOOD[3], "p2", glucose, 5.1 * 18.0156)
