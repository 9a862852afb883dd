"""Rows of OMOP tables: each is accounted for, and neither units, codes nor limits are guessed."""

import copy

import numpy as np
import pytest
from omop_cases import GOOD, HEADER, MAPPING, Ward, row

from neurotwin.errors import IngestError
from neurotwin.ingest.omop import OmopReader


@pytest.fixture
def mapping():
    return copy.deepcopy(MAPPING)


@pytest.fixture
def ward(tmp_path):
    return Ward(tmp_path)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"unit_concept_id": "0"}, "unit_missing"),
        ({"unit_concept_id": ""}, "unit_missing"),
        ({"unit_concept_id": "8840"}, "unit_unknown"),
        ({"measurement_concept_id": "0"}, "code_missing"),
        ({"value_as_number": ""}, "value_missing"),
        ({"value_as_number": "", "operator_concept_id": "4171756"}, "value_missing"),
        ({"operator_concept_id": "4170000"}, "value_not_a_number"),
        ({"measurement_datetime": "", "measurement_date": ""}, "time_missing"),
        ({"person_id": ""}, "subject_missing"),
    ],
)
def test_what_is_rejected(cells, reason, ward, mapping):
    ward["MEASUREMENT.csv"] = HEADER + GOOD + row(2, **cells)
    assert ward.rejected(mapping) == {reason: 1}


def test_a_concepts_number_is_never_a_factor(ward, mapping):
    """8876 is also a UCUM unit, namely eight thousand and some: no concept may be taken for it."""
    mapping["variables"][0] = {"name": "pressure", "unit": "1"}
    mapping["tables"][0]["units"] = {"9999": "1"}
    for unit in ("unit_concept_id", "unit"):
        mapping["tables"][0]["unit"] = unit
        ward["MEASUREMENT.csv"] = HEADER + row(1, unit_concept_id="9999") + row(2, unit_source_value="")
        assert ward.rejected(mapping) == {"unit_unknown": 1}


def test_an_operator_makes_a_limit(ward, mapping):
    operators = {"4171756": -1, "4171754": -1, "4172704": 1, "4171755": 1, "4172703": 0, "0": 0, "": 0, "4172704.0": 1}
    ward["MEASUREMENT.csv"] = HEADER + "".join(
        row(number, operator_concept_id=one) for number, one in enumerate(operators, start=1)
    )
    ward.read(mapping)
    assert ward.cohort.observations.censor.tolist() == list(operators.values())
    mapping["tables"][0]["value"] = "value_as_number"
    with pytest.raises(IngestError, match="without its operator"):
        ward.read(mapping)


def test_codes_and_units_by_name(ward, mapping):
    table = mapping["tables"][0]
    table |= {"unit": "unit", "units": {}, "code": "concept"}
    table["variables"][0]["codes"] = ["LOINC:8480-6", "source:SYS", "OMOP:77"]
    ward["concept.tsv"] = (
        "CONCEPT_ID\tconcept_name\tVOCABULARY_ID\tconcept_code\n"
        '3004249\tA "stray quote\tLOINC\t8480-6\n8876\tmillimetre\tUCUM\tmm[Hg]\nragged\n'
    )
    ward["MEASUREMENT.csv"] = (
        HEADER
        + row(1, unit_source_value="")
        + row(2, measurement_concept_id="0", measurement_source_value="SYS", unit_concept_id="0")
        + row(3, measurement_concept_id="77", unit_concept_id="8876.0", unit_source_value="")
        + row(4, measurement_concept_id="78")
        + row(5, measurement_concept_id="0", measurement_source_value="")
    )
    account = ward.read(mapping).files[0]
    assert (account.accepted, account.out_of_scope, dict(account.rejected)) == (3, 1, {"code_missing": 1})
    table["code"], table["variables"][0]["codes"] = "code", ["3004249", "source:SYS"]
    assert ward.read(mapping).files[0].accepted == 2


def test_strangers_ragged_rows_and_dates_without_moments(ward, mapping):
    mapping["statics"] = [{"name": "sex", "levels": ["f", "m"]}]
    levels = {"8532": "f", "8507": "m"}
    mapping["tables"].append(
        {
            "table": "PERSON",
            "layout": "visits",
            "subject": "person_id",
            "birth": {"column": "birth", "format": "%Y-%m-%d"},
            "statics": [{"static": "sex", "column": "gender_concept_id", "levels": levels}],
        }
    )
    ward["Person.csv"] = "person_id,gender_concept_id,year_of_birth,month_of_birth\n1,8532,2020,1\n2,8507,2020,3\n"
    ward["MEASUREMENT.csv"] = (
        HEADER
        + row(1, measurement_datetime="")
        + row(2, person_id="3")
        + row(3, person_id="01")
        + row(4).replace(",8876,", ",8876,,")
        + row(5, person_id="2")
    )
    report = ward.read(mapping)
    assert report.files[0].rejected == {"subject_unknown": 2, "field_count": 1, "before_birth": 1}
    assert report.files[0].places["subject_unknown"][0].line == 3
    assert report.files[0].places["field_count"][0].line == 5
    assert ward.cohort.observations.time.tolist() == [0.0]


def test_a_period_that_ends_before_it_begins(ward, mapping):
    mapping["treatments"] = [{"name": "drug", "unit": "1", "kind": "setting"}]
    stop = {"column": "end", "format": "%Y-%m-%d"}
    mapping["tables"].append(
        {
            "table": "DRUG_EXPOSURE",
            "layout": "visits",
            "subject": "person_id",
            "time": {"column": "time", "format": "%Y-%m-%d"},
            "treatments": [{"treatment": "drug", "amount": 1, "unit": "1", "stop": stop}],
        }
    )
    ward["MEASUREMENT.csv"] = HEADER + GOOD
    ward["DRUG_EXPOSURE.csv"] = (
        "person_id,drug_exposure_start_date,drug_exposure_end_date\n"
        "1,2020-01-02,2020-01-05\n1,2020-01-05,2020-01-02\n1,2020-01-06,2020-01-06\n1,2020-01-07,\n"
    )
    rejected = ward.read(mapping).files[1].rejected
    assert rejected == {"stop_not_after_start": 2, "stop_missing": 1} and len(ward.cohort.doses) == 1


def test_a_visit_may_be_the_index_event(ward, mapping):
    mapping["index"] = {"event": "admission", "at": "column"}
    formats = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]
    mapping["tables"].append(
        {
            "table": "VISIT_OCCURRENCE",
            "layout": "visits",
            "subject": "person_id",
            "drop": {"visit_concept_id": ["9202"]},
            "index": {"column": "time", "format": formats},
        }
    )
    ward["MEASUREMENT.csv"] = HEADER + row(1) + row(2, person_id="2") + row(3, person_id="3")
    ward["VISIT_OCCURRENCE.csv"] = (
        "person_id,visit_concept_id,visit_start_date,visit_start_datetime,visit_end_date\n"
        "1,9201,2020-01-01,2020-01-01 10:00:00,2020-01-05\n1,9202,2020-01-07,,\n2,9201,2020-01-02,,2020-01-01\n"
    )
    measurements, visits = ward.read(mapping).files
    assert visits.rejected == {"stop_not_after_start": 1} and visits.out_of_scope == 1
    assert measurements.rejected == {"index_missing": 2} and ward.cohort.observations.time.tolist() == [1.0]


NASTY = """
    <0.5 >500 5;6 1,200 inf nan 1e400 -- neg 0 -1 4172704 4170000 8876.0 NULL 1970-01-01 2020-02-30 2020-01-02 007 1E5
    9007199254740993 9999-12-31 24:00:00 =cmd|'/C \ufeff \u00b5mol/L ML concept:8876 source: 8876
""".split()  # 1,200 is two fields: the row has one too many


@pytest.mark.parametrize("rows", [500, pytest.param(20_000, marks=pytest.mark.full)])
def test_whatever_stands_in_a_row_it_is_counted_once(rows, ward, mapping):
    rng = np.random.default_rng(rows)
    table = mapping["tables"][0]
    table |= {"unit": "unit", "code": "code", "missing": ["NULL"]}
    table["variables"][0]["codes"] = ["3004249", "source:8480-6"]
    mapping["tables"].append({"table": "PERSON", "layout": "visits", "subject": "person_id"})
    mapping["tables"][1]["birth"] = {"column": "birth", "format": "%Y-%m-%d"}
    ward["PERSON.csv"] = "person_id,year_of_birth,day_of_birth\n1,1950,\n2,,3\n007,19x,1\n1E5,2021,\n"
    lines = []
    for number in range(rows):
        cells = row(1 + number % 27).strip().split(",")
        for at in rng.integers(0, len(cells), rng.integers(0, 4)):
            cells[at] = str(rng.choice([*NASTY, ""]))
        cells += ["more"] * int(rng.random() < 0.02)
        lines.append(",".join(cells) + "\n")
    ward["MEASUREMENT.csv"] = HEADER + GOOD + "".join(lines)
    account = ward.read(mapping).files[0]
    assert account.balanced and account.read == rows + 1 and account.rejected["field_count"] > 0
    observed = ward.cohort.observations
    assert ((observed.value >= 10) & (observed.value <= 300)).all() and set(ward.cohort.ids) <= {"1", "2", "007", "1E5"}


def test_nobody_need_have_died(ward, mapping):
    death = {"column": "time", "format": "%Y-%m-%d"}
    mapping["tables"].append({"table": "DEATH", "layout": "visits", "subject": "person_id", "death": death})
    ward["MEASUREMENT.csv"] = HEADER + GOOD
    ward["DEATH.csv"] = "person_id,death_date,death_datetime\n"
    assert ward.read(mapping).files[1].read == 0
    ward["MEASUREMENT.csv"] = HEADER
    with pytest.raises(IngestError, match="0 records"):
        ward.read(mapping)


def test_columns_and_tables_are_named_clearly(ward, mapping):
    ward["MEASUREMENT.csv"] = HEADER + GOOD
    for key, name, message in [
        ("table", "MESUREMENT", "did you mean 'measurement'|MEASUREMENT"),
        ("table", "OBSERVATION", "no table OBSERVATION"),
        ("code", "measurement_concept", "did you mean 'measurement_concept_id'"),
        ("code", "birth", "no column 'birth'"),
    ]:
        wrong = copy.deepcopy(mapping)
        wrong["tables"][0][key] = name
        with pytest.raises(IngestError, match=message):
            ward.read(wrong)
    ward["MEASUREMENT.csv"] = HEADER.replace("measurement_id", "Person_ID") + GOOD
    with pytest.raises(IngestError, match="two columns have one name"):
        ward.read(mapping)


def test_only_named_columns_leave_the_reader(ward, mapping, tmp_path):
    from neurotwin.ingest.mapping_file import parse_mapping

    ward["MEASUREMENT.csv"] = HEADER + GOOD
    parsed = parse_mapping(mapping)
    (table,) = OmopReader().tables(ward.folder, parsed, tmp_path, lambda size: None)
    (batch,) = table.batches()
    assert set(batch.columns) == set(parsed.tables[0].columns)
    assert table.position("value") == 7 and table.position("time") == 5 and table.columns_ignored == 3


@pytest.mark.parametrize(
    ("person", "days"),
    [("1,1950,7,2,1950-07-03 10:00:00", 25384.0), ("1,1950,7,2,", 25385 + 10 / 24), ("1,1950,,,", 25567 + 10 / 24)],
)
def test_an_age_comes_from_what_is_known_of_the_birth(person, days, ward, mapping):
    """The first measurement is on 2020-01-01 at 10 o'clock."""
    mapping["statics"] = [{"name": "age", "unit": "a", "plausible": [0, 120]}]
    birth = {"column": "birth", "format": ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d"], "age": "age"}
    mapping["tables"].append({"table": "PERSON", "layout": "visits", "subject": "person_id", "birth": birth})
    ward["MEASUREMENT.csv"] = HEADER + row(0)
    ward["PERSON.csv"] = f"person_id,year_of_birth,month_of_birth,day_of_birth,birth_datetime\n{person}\n"
    report = ward.read(mapping)
    assert ward.cohort.statics.tolist() == [[pytest.approx(days / 365.25, rel=1e-12)]]
    assert report.items.by_name["age"].accepted == report.files[1].accepted == 1
