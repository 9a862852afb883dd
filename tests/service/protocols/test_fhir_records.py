"""Records as documents: rates, levels, covariates of the Patient; and the file of codes."""

import json
from datetime import UTC, datetime

import pytest
from fhir_records import CODES, PATIENT, SITE, administration, concept, observation, quantity, request
from service_cases import BUNDLE

from neurotwin.errors import ConfigError, DocumentError
from neurotwin.runtime import PlanDocument, Predictor
from neurotwin.runtime.documents import Asked
from neurotwin.service.protocols.codes import read_codes
from neurotwin.service.protocols.fhir_in import read_record
from neurotwin.service.protocols.fhir_json import rate_of, told_in
from neurotwin.service.protocols.fhir_plan import UNREAD, request_plan

TOY = {
    "observations": {"volume": [f"{SITE}|volume"], "temperature": ["http://loinc.org|8310-5"]},
    "treatments": {"chemo": [f"{SITE}|chemo"], "drip": [f"{SITE}|drip"], "pump": [f"{SITE}|pump"]},
    "statics": {"age": {"element": "birthDate"}, "sex": {"element": "gender", "levels": {"female": "f", "male": "m"}}},
}
PERIOD = {"start": "2024-03-02T08:00:00Z", "end": "2024-03-02T12:00:00+02:00"}
RATE = {"numerator": quantity(10, "mg"), "denominator": quantity(2, "h")}


@pytest.fixture(scope="module")
def toy(node_bundle):
    """The toy bundle: volume, temperature; a bolus, an infusion, a setting; age, sex."""
    return Predictor.load(node_bundle)


@pytest.fixture(scope="module")
def codes(toy, tmp_path_factory):
    """Its codes."""
    file = tmp_path_factory.mktemp("codes") / "codes.json"
    file.write_text(json.dumps({"models": {"toy_node": TOY}}))
    return read_codes(str(file), {"toy_node": toy})["toy_node"]


def volume(name, day, value):
    """A volume of the toy."""
    return observation(name, day, value, code=concept("volume"))


def given(code, **changes):
    """A treatment that lasts."""
    base = administration("x", 2, 1, medicationCodeableConcept=concept(code), effectivePeriod=PERIOD)
    return {key: value for key, value in base.items() if key != "effectiveDateTime"} | changes


def read(toy, codes, *resources, **how):
    """A record of the patient, two volumes and more."""
    entries = [PATIENT, volume("a", 1, 20), volume("b", 11, 22), *resources]
    return read_record([(f"entry[{n}]", "", one) for n, one in enumerate(entries)], codes, toy, **how)


def test_times_count_in_seconds_from_the_first_event(toy, codes):
    record = read(toy, codes)
    assert record.index == datetime(2024, 3, 1, 8, tzinfo=UTC) and record.document.time_unit == "s"
    assert [one.t for one in record.document.observations] == [0, 864000]
    assert record.twin(toy).past.clock == 10
    zero = datetime(2024, 2, 29, 8, tzinfo=UTC)
    later = read(toy, codes, index=zero, now=datetime(2024, 3, 12, 8, tzinfo=UTC))
    assert [one.t for one in later.document.observations] == [86400, 950400] and later.twin(toy).begin == 12


def test_covariates_of_the_patient(toy, codes):
    static = read(toy, codes).document.static
    assert static["sex"] == "f" and static["age"].unit == "a"
    assert static["age"].value == pytest.approx(64.07, abs=0.01)  # 3 February 1960 to 1 March 2024
    year_alone = read_record(
        [("p", "", PATIENT | {"birthDate": "1960", "gender": "other"}), ("o", "", volume("a", 1, 20))], codes, toy
    )
    assert dict(year_alone.document.static) == {}
    assert {one["at"] for one in year_alone.ignored} == {"p.birthDate", "p.gender"}


def test_rates_and_levels(toy, codes):
    record = read(
        toy,
        codes,
        given("drip", dosage={"rateRatio": RATE}),
        given("pump", id="y", dosage={"dose": quantity(0.5, "1")}),
        given("drip", id="z", status="in-progress", effectivePeriod={"start": PERIOD["end"]}, dosage={
            "rateQuantity": quantity(4, "mg/h")
        }),
    )  # fmt: skip
    assert not record.refused
    drip, pump, going = record.document.treatments
    assert (drip.t, drip.t_end, drip.rate, drip.unit) == (86400, 86400 + 2 * 3600, 5, "mg/h")
    assert (pump.level, pump.unit, pump.t_end) == (0.5, "1", drip.t_end)
    assert (going.t, going.t_end, going.rate) == (drip.t_end, None, 4)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"dosage": {"dose": quantity(10, "mg")}}, "no dose or rate is told"),
        ({"effectivePeriod": {"start": PERIOD["start"]}}, "no end is told"),
        ({"effectivePeriod": {"start": PERIOD["end"], "end": PERIOD["start"]}}, "the end is not after the begin"),
        (
            {"effectivePeriod": {"start": "9999-01-01T00:00:00.000001Z", "end": "9999-01-01T00:00:00.000002Z"}},
            "the end is not after the begin",
        ),
        ({"dosage": {"rateRatio": RATE | {"denominator": quantity(0, "h")}}}, "no dose or rate is told"),
    ],
)
def test_an_infusion_that_is_not_told_whole(toy, codes, changes, why):
    record = read(toy, codes, given("drip", **{"dosage": {"rateRatio": RATE}, **changes}))
    assert record.refused == [("missing_required", f"entry[3]: {why}")]


def test_a_medication_that_is_not_here(toy, codes):
    drug = {"resourceType": "Medication", "code": concept("drip")}  # without an id nothing can refer to it
    dose = given("drip", dosage={"rateRatio": RATE})
    del dose["medicationCodeableConcept"]
    for reference in ({}, {"reference": ""}, {"reference": "Medication/9"}, {"reference": "#"}):
        record = read(toy, codes, drug, dose | {"medicationReference": reference})
        assert record.refused == [("missing_required", "entry[4]: its medication is not here")]
        assert not record.document.treatments


def test_two_medications_of_one_id(toy, codes):
    drugs = [{"resourceType": "Medication", "id": "m", "code": concept(code)} for code in ("drip", "chemo")]
    dose = given("drip", dosage={"rateRatio": RATE}, medicationReference={"reference": "Medication/m"})
    del dose["medicationCodeableConcept"]
    record = read(toy, codes, *drugs, dose)
    assert record.refused == [("conflicting_input", "entry[5]: its codes stand for several treatments")]


@pytest.mark.parametrize("died", [{"deceasedBoolean": True}, {"deceasedDateTime": "2024-03-20"}])
def test_nothing_is_forecast_of_the_dead(toy, codes, died):
    entries = [("p", "", PATIENT | died), ("a", "", volume("a", 1, 20)), ("b", "", volume("b", 11, 22))]
    assert read_record(entries, codes, toy).refused == [("conflicting_input", "p: the patient has died")]
    alive = [("p", "", PATIENT | {"deceasedBoolean": False}), *entries[1:]]
    assert not read_record(alive, codes, toy).refused


def test_ratios():
    assert rate_of(None, RATE) == (5, "mg/h")
    assert rate_of(None, RATE | {"denominator": quantity(1, "10.h")}) == (10, "mg/(10.h)")
    assert rate_of(None, RATE | {"denominator": {"value": 2, "unit": "h"}}) == (5, None)
    assert rate_of(None, RATE | {"denominator": quantity(1e-320, "h"), "numerator": quantity(1e300, "mg")}) is None


def test_plans_that_last(toy, codes):
    start = datetime(2024, 3, 11, 8, tzinfo=UTC)
    record = read(toy, codes)
    drip = request("r", (), code="drip", dosageInstruction=[
        {
            "timing": {"repeat": {"boundsPeriod": {"start": "2024-03-11T20:00:00Z", "end": "2024-03-12T08:00:00Z"}}},
            "doseAndRate": [{"rateRatio": RATE}],
        }
    ])  # fmt: skip
    told = {"name": "p", "start": start, "query": Asked(every=1, until=9), "time_unit": "d"}
    plan = request_plan([("r", drip)], record, toy, **told)
    (dose,) = plan.document.treatments
    assert (dose.t, dose.t_end, dose.rate, dose.unit) == (0.5, 1, 5, "mg/h")
    answer = record.twin(toy).forecast(plan.document)
    assert not any(reason in answer["reasons"] for reason in ("unknown_treatment", "unit_unknown"))
    open_end = json.loads(json.dumps(drip))
    del open_end["dosageInstruction"][0]["timing"]["repeat"]["boundsPeriod"]["end"]
    (dose,) = request_plan([("r", open_end)], record, toy, **told).document.treatments
    assert dose.treatment == UNREAD
    with pytest.raises(DocumentError, match="too many doses"):
        many = request("r", (), code="chemo", dosageInstruction=[
            {
                "timing": {"repeat": {"boundsPeriod": {"start": told_in(start)}, "period": 1, "periodUnit": "s",
                                      "count": 900}},
                "doseAndRate": [{"doseQuantity": quantity(1, "mg")}],
            }
        ])  # fmt: skip
        request_plan([("a", many), ("b", many)], record, toy, **told)
    assert isinstance(plan.document, PlanDocument)


def wrong(**changes):
    """A file with one group of the tumour model's changed."""
    return {"models": {"lung_tumour": CODES["models"]["lung_tumour"] | changes}}


FILES = {
    "no JSON": "{",
    "an unknown model": {"models": {"heart": {}}},
    "an unknown channel": wrong(observations={"volume": ["a|b"]}),
    "an unknown covariate": wrong(statics={"age": {"element": "birthDate"}}),
    "an unknown level": wrong(statics={"stage": {"codes": ["a|b"], "levels": {"a|c": "V"}}}),
    "an age of a covariate with levels": wrong(statics={"stage": {"element": "birthDate"}}),
    "an unknown field": wrong(colour={}),
    "a code of two treatments": wrong(treatments={"chemotherapy": ["a|b"], "radiotherapy": ["a|b"]}),
    "a code of a variable and a covariate": wrong(observations={"tumour_volume": [f"{SITE}|stage"]}),
    "two sources of a covariate": wrong(statics={"stage": {"codes": ["a|b"], "element": "gender"}}),
    "a watch of an unknown channel": wrong(
        watch=[{"event": {"channel": "x", "above": 1, "unit": "1", "alarm": 0.5}, "indicator": "warning"}]
    ),
    "a watch without alarm": wrong(
        watch=[{"event": {"channel": "tumour_volume", "above": 1, "unit": "cm3"}, "indicator": "warning"}]
    ),
}


@pytest.fixture(scope="module")
def tumour():
    """The released tumour bundle."""
    return {"lung_tumour": Predictor.load(BUNDLE)}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_codes_that_is_wrong(tumour, tmp_path, name):
    file = tmp_path / "codes.json"
    file.write_text(FILES[name] if isinstance(FILES[name], str) else json.dumps(FILES[name]))
    with pytest.raises(ConfigError) as caught:
        read_codes(str(file), tumour)
    assert "codes.json" in str(caught.value)


def test_a_file_of_codes_that_is_missing(tumour):
    with pytest.raises(ConfigError, match="no such file"):
        read_codes("nowhere.json", tumour)


def test_a_signature_brings_its_own_codes(tumour, copy_of, rehash):
    folder = copy_of(BUNDLE)
    content = json.loads((folder / "signature.json").read_text())
    content["channels"]["observations"][0]["code"] = "LOINC:12345-6"
    content["channels"]["treatments"][0]["code"] = "HOUSE:1"  # a vocabulary that FHIR has no name for
    (folder / "signature.json").write_text(json.dumps(content))
    rehash(folder)
    codes = read_codes("", {"lung_tumour": Predictor.load(folder)})["lung_tumour"]
    assert codes.observations == {"http://loinc.org|12345-6": "tumour_volume"} and codes.treatments == {}
    assert read_codes("", tumour)["lung_tumour"].observations == {}
