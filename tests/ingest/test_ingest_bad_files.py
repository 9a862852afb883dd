"""Bad files: each gets one clear line, or its bad rows are counted with their reason and the good ones are kept."""

import json
import os
import subprocess
import sys

import pytest
from ingest_cases import GOOD_LONG, GOOD_VISIT, LONG_HEADER, VISITS_HEADER

from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import Reason
from neurotwin.ingest.csv import ingest_csv

HEAD, GOOD = LONG_HEADER.encode(), GOOD_LONG.encode()

FILES = {
    "empty": (b"", "empty, 0 records"),
    "only a byte order mark": (b"\xef\xbb\xbf", "empty, 0 records"),
    "only line ends": (b"\n\r\n\n", "empty, 0 records"),
    "header only": (HEAD, "without rows, 0 records"),
    "header without its line end": (HEAD.strip(), "without rows, 0 records"),
    "header and blank lines": (HEAD + b"\n\n", "without rows, 0 records"),
    "utf-16": ((LONG_HEADER + GOOD_LONG).encode("utf-16"), "UTF-16 text.*utf-8"),
    "utf-16 without a mark": ((LONG_HEADER + GOOD_LONG).encode("utf-16-le"), "NUL byte.*line 1.*utf-8"),
    "utf-32": ((LONG_HEADER + GOOD_LONG).encode("utf-32"), "UTF-16 text|NUL byte"),
    "latin-1": (HEAD + GOOD + "Jörg,0,GLU,9,mg/dL\n".encode("latin-1"), "do not decode.*line 3.*utf-8"),
    "half a character at the end": (HEAD + GOOD + b"\xc3", "do not decode"),
    "a surrogate": (HEAD + b"\xed\xa0\x80,0,GLU,90,mg/dL\n", "do not decode"),
    "nul": (HEAD + GOOD + b"a\0,0,GLU,90,mg/dL\n", "NUL byte.*line 3"),
    "zip": (b"PK\x03\x04 and more", "zip archive"),
    "gzip": (b"\x1f\x8b\x08 and more", "gzip"),
    "parquet": (b"PAR1 and more", "parquet"),
    "excel": (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel"),
    "duplicate header": (b"id,day,test,value,unit,day\n" + GOOD, "two columns have one name.*columns 2 and 6"),
    "duplicate header after blanks": (b"id,day,test,value,unit, day \n" + GOOD, "two columns have one name"),
    "no header": (GOOD + GOOD, "no column 'id'"),
    "header of another delimiter": (HEAD.replace(b",", b";") + GOOD, "no column 'id'"),
    "a column is missing": (b"id,day,test,value\n" + GOOD, "no column 'unit'"),
    "a column is misspelt": (b"id,day,test,valeu,unit\n" + GOOD, "no column 'value'.*mean 'valeu'"),
    "header in other case": (b"ID,day,test,value,unit\n" + GOOD, "no column 'id'"),
    "unclosed quote in the header": (b'id,"day,test,value,unit\n' + GOOD, "quoted field does not end.*line 1"),
    "malformed header": (b'"id"x,day,test,value,unit\n' + GOOD, "header cannot be read"),
    "unclosed quote": (HEAD + GOOD + b'a,0,"GLU,90,mg/dL\n' + GOOD, "quoted field does not end on its line.*line 3"),
    "unclosed quote at the end": (HEAD + GOOD + b'a,0,GLU,"90', "quoted field does not end on its line.*line 3"),
    "two stray quotes": (HEAD + b'a,0,"GLU,1,mg/dL\nb,0,GLU,2,mg/dL\nc,0,"GLU,3,mg/dL\n', "does not end.*line 2"),
    "a quote over more than a field's limit": (HEAD + b'a,0,"' + b"x\n" * 100_000 + b'"\n', "does not end.*line 2"),
    "a line of 3 MB": (HEAD + b"a" * 3_000_000, "line is too long"),
    "every row has one field more": (
        HEAD + GOOD.replace(b"\n", b",\n") * 3,
        r"no measurement accepted of 3 rows \(field_count 3",
    ),
    "nothing in scope": (HEAD + GOOD.replace(b"GLU", b"ABC"), "no measurement accepted.*out of scope"),
    "nothing plausible": (HEAD + b"a,0,GLU,5000,mg/dL\n", "implausible 1"),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_unusable_files_get_one_line(tmp_path, long, content, message):
    path, output = tmp_path / "data.csv", tmp_path / "cohort"
    path.write_bytes(content)
    with pytest.raises(IngestError, match=message) as caught:
        ingest_csv(path, long, output)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    assert "007" not in str(caught.value)
    assert [one.name for one in tmp_path.iterdir()] == ["data.csv"]


LONG_ROWS = {
    "a field more": ("a,0,GLU,90,mg/dL,", "field_count"),
    "a field less": ("a,0,GLU,90", "field_count"),
    "blanks": ("   ", "field_count"),
    "a comma in a number": ("a,0,GLU,1,200,mg/dL", "field_count"),
    "text after a quote": ('a,0,GLU,"90"5,mg/dL', "row_unreadable"),
    "a huge field": (f"a,0,GLU,{'9' * 140_000},mg/dL", "row_unreadable"),
    "no id": (",0,GLU,90,mg/dL", "subject_missing"),
    "blank id": ("  ,0,GLU,90,mg/dL", "subject_missing"),
    "long id": (f"{'a' * 201},0,GLU,90,mg/dL", "subject_unreadable"),
    "control character in the id": ("a\x1bb,0,GLU,90,mg/dL", "subject_unreadable"),
    "no time": ("a,,GLU,90,mg/dL", "time_missing"),
    "missing time": ("a,.,GLU,90,mg/dL", "time_missing"),
    "time is a word": ("a,monday,GLU,90,mg/dL", "time_unreadable"),
    "time is a date": ("a,2024-01-01,GLU,90,mg/dL", "time_unreadable"),
    "time is infinite": ("a,inf,GLU,90,mg/dL", "time_unreadable"),
    "censored time": ("a,<3,GLU,90,mg/dL", "time_unreadable"),
    "time of epoch seconds": ("a,1700000000,GLU,90,mg/dL", "time_implausible"),
    "time before the index event": ("a,-0.5,GLU,90,mg/dL", "before_index"),
    "no code": ("a,0,,90,mg/dL", "code_missing"),
    "no value": ("a,0,GLU,,mg/dL", "value_missing"),
    "missing value": ("a,0,GLU,.,mg/dL", "value_missing"),
    "decimal comma": ('a,0,GLU,"5,6",mg/dL', "value_not_a_number"),
    "thousands": ('a,0,GLU,"1,200",mg/dL', "value_not_a_number"),
    "dashes": ("a,0,GLU,--,mg/dL", "value_not_a_number"),
    "a word": ("a,0,GLU,neg,mg/dL", "value_not_a_number"),
    "a plus behind": ("a,0,GLU,1+,mg/dL", "value_not_a_number"),
    "two signs": ("a,0,GLU,+-90,mg/dL", "value_not_a_number"),
    "only a sign": ("a,0,GLU,<,mg/dL", "value_not_a_number"),
    "two limits": ("a,0,GLU,<<90,mg/dL", "value_not_a_number"),
    "a range": ("a,0,GLU,90-100,mg/dL", "value_not_a_number"),
    "hexadecimal": ("a,0,GLU,0x5A,mg/dL", "value_not_a_number"),
    "underscore": ("a,0,GLU,9_0,mg/dL", "value_not_a_number"),
    "a blank inside": ("a,0,GLU,9 0,mg/dL", "value_not_a_number"),
    "arabic digits": ("a,0,GLU,٩٠,mg/dL", "value_not_a_number"),
    "value with its unit": ("a,0,GLU,90mg/dL,mg/dL", "value_not_a_number"),
    "a formula": ("a,0,GLU,=90,mg/dL", "value_not_a_number"),
    "true": ("a,0,GLU,true,mg/dL", "value_not_a_number"),
    "overflow": ("a,0,GLU,1e400,mg/dL", "value_not_finite"),
    "infinite": ("a,0,GLU,inf,mg/dL", "value_not_finite"),
    "minus infinite": ("a,0,GLU,-Infinity,mg/dL", "value_not_finite"),
    "nan": ("a,0,GLU,NaN,mg/dL", "value_not_finite"),
    "underflow to zero": ("a,0,VOL,1e-400,mL", "value_not_finite"),
    "overflow by its unit": ("a,0,VOL,1e308,L", "value_not_finite"),
    "underflow by its unit": ("a,0,VOL,1e-323,uL", "value_not_finite"),
    "a unit of nothing": ("a,0,VOL,1,10*-999.mL", "unit_unknown"),
    "no unit": ("a,0,GLU,90,", "unit_missing"),
    "missing unit": ("a,0,GLU,90,.", "unit_missing"),
    "mg%": ("a,0,GLU,90,mg%", "unit_incompatible"),
    "a unit that is none": ("a,0,GLU,90,pints of beer", "unit_unknown"),
    "an annotation": ("a,0,GLU,90,{score}", "unit_unknown"),
    "micro sign": ("a,0,CREA,90,µmol/L", "unit_unknown"),
    "a unit to keep a parser busy": ("a,0,GLU,90,10*99999999/L", "unit_unknown"),
    "nested parentheses": (f"a,0,GLU,90,{'(' * 39}", "unit_unknown"),
    "a long unit": (f"a,0,GLU,90,{'g' * 5000}", "unit_unknown"),
    "a unit of another dimension": ("a,0,GLU,90,kg", "unit_incompatible"),
    "amount of substance without a molar mass": ("a,0,VOL,90,mmol/L", "unit_incompatible"),
    "a millilitre in capitals": ("a,0,VOL,90,ML", "unit_unknown"),
    "implausibly high": ("a,0,GLU,2001,mg/dL", "implausible"),
    "implausible limit": ("a,0,GLU,>3000,mg/dL", "implausible"),
    "creatinine in umol/L called mg/dL": ("a,0,CREA,88,mg/dL", "implausible"),
    "glucose in mmol/L called mg/dL": ("a,0,GLU,5.5,mg/dL", "implausible"),
    "fahrenheit called Celsius": ("a,0,TEMP,98.6,Cel", "implausible"),
    "zero on a log scale": ("a,0,CREA,0,mg/dL", "implausible"),
    "below zero": ("a,0,CREA,-1,mg/dL", "implausible"),
}


@pytest.mark.parametrize(("row", "reason"), LONG_ROWS.values(), ids=LONG_ROWS)
def test_bad_rows_are_counted_with_their_reason(ingest, long, row, reason):
    cohort = ingest(LONG_HEADER + GOOD_LONG + row + "\n" + "b,1,CREA,1.5,mg/dL\n", long)
    assert cohort.observations.value.tolist() == [90, 1.5]
    account = ingest.report.files[0]
    assert (account.read, account.accepted, dict(account.rejected)) == (3, 2, {reason: 1})
    assert [place.line for place in account.places[Reason(reason)]] == [3]


VISIT_ROWS = {
    "all cells bad": ("p,1,x,5e9,,,,,,", "value_not_a_number", 2),
    "value and its unit": ("p,1,90 mg/dL,,,,,,,", "value_not_a_number", 1),
    "infusion without an end": ("p,1,,,5,,,,,", "stop_missing", 0),
    "infusion that ends first": ("p,1,,,5,0.5,,,,", "stop_not_after_start", 0),
    "infusion of no length": ("p,1,,,5,1,,,,", "stop_not_after_start", 0),
    "infusion with an unreadable end": ("p,1,,,5,later,,,,", "time_unreadable", 0),
    "infusion before the index event": ("p,-2,,,5,-1,,,,", "before_index", 0),
    "bolus before the index event": ("p,-2,,,,,,0.1,,", "before_index", 0),
    "a negative rate": ("p,1,,,-5,2,,,,", "implausible", 0),
    "a censored amount": ("p,1,,,,,,<0.5,,", "value_not_a_number", 0),
    "an amount in another unit": ("p,1,,,,,,500,,", "implausible", 0),
    "an arm that is not declared": ("p,1,,,,,B,,,", "value_not_a_number", 0),
    "a level that is not declared": ("p,,,,,,,,,X", "level_unknown", 0),
    "an age of 300": ("p,,,,,,,,300,", "implausible", 0),
    "a censored age": ("p,,,,,,,,>89,", "value_not_a_number", 0),
}


@pytest.mark.parametrize(("row", "reason", "cells"), VISIT_ROWS.values(), ids=VISIT_ROWS)
def test_bad_visits_are_counted_with_their_reason(ingest, visits, row, reason, cells):
    cohort = ingest(VISITS_HEADER + GOOD_VISIT + row + "\n", visits)
    assert cohort.observations.value.tolist() == [90, 70] and not len(cohort.doses)
    account = ingest.report.files[0]
    assert (account.read, account.accepted, dict(account.rejected)) == (2, 1, {reason: 1})
    assert ingest.items["measurements"].rejected.total() == cells


def test_a_row_with_one_good_cell_is_accepted_and_its_bad_cell_counted(ingest, visits):
    ingest(VISITS_HEADER + "p,0,90,bad,,,,,,\n", visits)
    assert ingest.report.totals.accepted == 1
    assert dict(ingest.items["measurements"].rejected) == {"value_not_a_number": 1}
    assert ingest.report.as_dict()["files"][0]["places"] == {"value_not_a_number": [{"line": 2, "column": 4}]}


DATES = {
    "another order": "03/01/2024",
    "two digits": "24-01-03",
    "a month only": "2024-03",
    "no such day": "2023-02-29",
    "24:00": "2024-01-03 24:00",
    "a zone": "2024-01-03T00:00Z",
    "words behind": "2024-01-03x",
    "excel": "45294",
    "epoch seconds": "1700000000",
    "arabic digits": "٢٠٢٤-01-03",
}


NO_DATES = ("1970-01-01", "0001-01-01", "9999-12-31", "1900-01-01", "1899-12-30", "2290-01-01")


@pytest.mark.parametrize(
    ("text", "reason"),
    [*((one, "time_unreadable") for one in DATES.values()), *((one, "time_implausible") for one in NO_DATES)],
)
def test_bad_dates(ingest, long, text, reason):
    long["index"]["at"], long["shifted"] = "first", True
    long["tables"][0]["time"] = {"column": "day", "format": "%Y-%m-%d"}
    ingest(LONG_HEADER + f"a,2024-01-02,GLU,90,mg/dL\na,{text},GLU,91,mg/dL\na,2199-12-31,GLU,92,mg/dL\n", long)
    assert dict(ingest.report.totals.rejected) == {reason: 1} and ingest.report.totals.accepted == 2


@pytest.mark.parametrize("text", ["2024-01-01 23:59:60", "2024-01-01 24:00:00", "2024-01-01"])
def test_bad_clock_times(ingest, long, text):
    long["index"]["at"] = "first"
    long["tables"][0]["time"] = {"column": "day", "format": "%Y-%m-%d %H:%M:%S"}
    ingest(LONG_HEADER + f"a,2024-01-02 00:00:00,GLU,90,mg/dL\na,{text},GLU,91,mg/dL\n", long)
    assert dict(ingest.report.totals.rejected) == {"time_unreadable": 1}


def test_naive_and_zoned_times_do_not_mix(ingest, long):
    long["index"]["at"] = "first"
    long["tables"][0]["time"] = {"column": "day", "format": "%Y-%m-%dT%H:%M:%S%z"}
    ingest(LONG_HEADER + "a,2024-01-01T00:00:00Z,GLU,90,mg/dL\na,2024-01-01T05:00:00,GLU,91,mg/dL\n", long)
    assert dict(ingest.report.totals.rejected) == {"time_zone_mixed": 1}


def test_a_unit_that_drifts_in_the_file_is_converted_row_by_row(ingest, long):
    cohort = ingest(LONG_HEADER + "a,0,GLU,90,mg/dL\na,1,GLU,5,mmol/L\na,2,GLU,90,mgdl\na,3,GLU,90,MG/DL\n", long)
    assert cohort.observations.value.tolist() == pytest.approx([90, 90.078, 90])
    assert dict(ingest.report.totals.rejected) == {"unit_unknown": 1}


def test_many_units_do_not_cost_time(ingest, long):
    text = LONG_HEADER + GOOD_LONG + "".join(f"a,{n / 1000},GLU,90,zz{n}\n" for n in range(5000))
    ingest(text, long)
    assert dict(ingest.report.totals.rejected) == {"unit_unknown": 5000}


def test_a_pipe_or_a_folder_or_nothing_is_refused(tmp_path, long):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "none.csv"):
        with pytest.raises(IngestError, match="no such file|no regular file"):
            ingest_csv(tmp_path / name, long, tmp_path / "cohort")
    with pytest.raises(IngestError, match="without a file name"):
        ingest_csv(tmp_path, long, tmp_path / "cohort")


def test_no_patient_value_reaches_report_or_error(ingest, visits, long):
    bad = "canary1,canary2,canary3,canary4,canary5\n"
    ingest(LONG_HEADER + GOOD_LONG + bad + "canary1,0,GLU,canary4,canary5\ncanary1,0,GLU,90,canary5\ncanary\n", long)
    assert "canary" not in json.dumps(ingest.report.as_dict())
    with pytest.raises(IngestError) as caught:
        ingest(bad * 3, long)
    assert "canary" not in str(caught.value)


def test_a_killed_ingest_leaves_nothing_that_looks_like_a_cohort(tmp_path, long):
    source, mapping = tmp_path / "d.csv", tmp_path / "m.json.yaml"
    source.write_text(LONG_HEADER + GOOD_LONG)
    mapping.write_text(json.dumps(long))
    code = (
        "import os, sys; from pathlib import Path; import neurotwin.ingest.build as build\n"
        "from neurotwin.ingest.csv import ingest_csv\n"
        "build.IngestReport.write = lambda *_: os.kill(os.getpid(), 9)\n"
        "ingest_csv(*(Path(one) for one in sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, source, mapping, tmp_path / "cohort"], capture_output=True, check=False
    )
    assert done.returncode == -9 and not (tmp_path / "cohort").exists()
    first = ingest_csv(source, mapping, tmp_path / "cohort")
    assert first.sha256 == ingest_csv(source, mapping, tmp_path / "again").sha256
