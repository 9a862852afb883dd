"""Any mutation of a good file: every line is accounted for, no traceback, no unit guessed, no value leaked.

Two oracles know nothing of the reader: the lines of the file are counted by hand, and each value in the cohort must
stand on some line together with the unit that it was converted from.
"""

import copy
import json
import re
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_cases import LONG, LONG_HEADER, VISITS, VISITS_HEADER

from neurotwin.cohort import Cohort
from neurotwin.errors import NeurotwinError
from neurotwin.ingest.csv import ingest_csv
from neurotwin.units import conversion

FACTORS = {"mg/dL": 1.0, "mgdl": 1.0, "mg/dl": 1.0, "g/L": 100.0}
MOLAR = {"mmol/L": 0.1, "umol/L": 0.0001}
MASS = {"GLU": 180.156, "GLUC": 180.156, "CREA": 113.12}
LONG_LINES = [
    "canary,0,GLU,90,mg/dL",
    "canary,0.5,GLU,5.1,mmol/L",
    "canary,0,CREA,88,umol/L",
    "b,1,GLUC,0.95,g/L",
    "b,1,XYZ,1,mg/dL",
    "007,2,CREA,<0.5,mg/dL",
    "007,2,CREA,<0.5,mg/dL",
    "007,3,GLU,90,mg/dL",
    "007,3,GLU,91,mg/dL",
    "NA,4,GLU,1,mg/dL",
]
VISIT_LINES = [
    "canary,0,90,70,5,2,A,0.5,61,F",
    "canary,1,91,neg,,,A,,61,F",
    "b,0,,71,,,P,,NA,M",
    "b,2,92,NA,0,,P,,,",
    "c,3,93,1,4,9,A,,30,M",
]
NASTY = [
    "",
    " ",
    "NA",
    ".",
    "-1",
    "1e400",
    "inf",
    "nan",
    "--",
    "neg",
    "<0.5",
    ">500",
    "5,6",
    "1,200",
    '"',
    '"x"',
    "'",
    "=1+1",
    "\x1b",
    "é",
    "mg%",
    "ML",
    "mL",
    "kg",
    "mmol/L",
    "{x}",
    "1/",
    "0",
    "-0",
    "1E5",
    "9" * 30,
    "2024-01-01",
    "\u2028",
    "\x85",
    "\x0b",
    "\ufeff",
    "a" * 300,
]

cells = st.one_of(st.sampled_from(NASTY), st.text(max_size=6), st.floats().map(repr))


@st.composite
def mutated(draw, lines):
    """Lines with some of them changed: a cell replaced, dropped, added or swapped, a row repeated, raw text put in."""
    rows = [line.split(",") for line in lines]
    for _ in range(draw(st.integers(1, 4))):
        row = draw(st.integers(0, len(rows) - 1))
        at = draw(st.integers(0, max(len(rows[row]) - 1, 0)))
        change = draw(
            st.sampled_from(["replace", "replace", "replace", "drop", "add", "swap", "repeat", "remove", "splice"])
        )
        if change == "replace" and rows[row]:
            rows[row][at] = draw(cells)
        elif change == "drop" and rows[row]:
            del rows[row][at]
        elif change == "add":
            rows[row].insert(at, draw(cells))
        elif change == "swap" and rows[row]:
            other = draw(st.integers(0, len(rows[row]) - 1))
            rows[row][at], rows[row][other] = rows[row][other], rows[row][at]
        elif change == "repeat":
            rows.insert(draw(st.integers(0, len(rows))), list(rows[row]))
        elif change == "remove" and len(rows) > 1:
            del rows[row]
        elif change == "splice":
            text = ",".join(rows[row])
            cut = draw(st.integers(0, len(text)))
            rows[row] = (text[:cut] + draw(cells) + text[cut:]).split(",")
    ending = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    return ending.join(",".join(row) for row in rows) + draw(st.sampled_from(["", ending]))


def count_lines(text):
    return sum(1 for line in re.split("\r\n|\r|\n", text) if line)


def check(text, mapping, header, folder):
    """Ingest text and hold the result against what can be told without the reader."""
    output = folder / "cohort"
    shutil.rmtree(output, ignore_errors=True)
    path = folder / "data.csv"
    path.write_bytes((header + text).encode("utf-8", "surrogatepass"))
    try:
        report = ingest_csv(path, mapping, output, progress=False)
    except NeurotwinError as error:
        assert "\n" not in str(error) and "canary" not in str(error) and error.exit_code == 2
        return None
    assert report.balanced and report.totals.read == count_lines(text)
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
    cohort = Cohort.load(output, verify=True)
    assert content["measurements"]["accepted"] == len(cohort.observations)
    assert content["treatments"]["accepted"] == len(cohort.doses)
    assert "canary" not in json.dumps(content)
    return cohort


def factor(unit, mass):
    """How many mg/dL; from a table, or for a mutation that is UCUM nonetheless (g1/L) from the unit library."""
    if unit in FACTORS or unit in MOLAR:
        return FACTORS[unit] if unit in FACTORS else MOLAR[unit] * mass
    return conversion(unit, "mg/dL", mass).factor


def stands_on_a_line(text, subject, time, value):
    """Whether a line tells this subject, time and value in a unit that was declared."""
    for line in re.split("\r\n|\r|\n", text):
        fields = [field.strip().strip('"').strip() for field in line.split(",")]
        if len(fields) != 5 or fields[0] != subject or fields[2] not in MASS:
            continue
        number = re.sub(r"^[<>≤≥]=?\s*", "", fields[3])
        try:
            found = float(number) * factor(fields[4], MASS[fields[2]]), float(fields[1])
        except (ValueError, AttributeError, NeurotwinError):
            continue
        if abs(found[0] - value) <= 1e-6 * abs(value) and found[1] == time:
            return True
    return False


def run_long(text, folder):
    mapping = copy.deepcopy(LONG)
    mapping["variables"] = [one for one in mapping["variables"] if one["name"] in ("glucose", "creatinine")]
    mapping["tables"][0]["variables"] = mapping["tables"][0]["variables"][:2]
    cohort = check(text, mapping, LONG_HEADER, folder)
    if cohort is not None and '"' not in text:
        seen = cohort.observations
        for s, time, value in zip(seen.subject, seen.time, seen.value, strict=True):
            assert stands_on_a_line(text, str(cohort.ids[s]), time, value)


SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}


@settings(max_examples=40, **SLOW)
@given(text=mutated(LONG_LINES))
def test_mutations_of_long_rows(text, tmp_path):
    run_long(text, tmp_path)


@settings(max_examples=40, **SLOW)
@given(text=mutated(VISIT_LINES))
def test_mutations_of_visits(text, tmp_path):
    check(text, VISITS, VISITS_HEADER, tmp_path)


@pytest.mark.full
@settings(max_examples=2500, **SLOW)
@given(text=mutated(LONG_LINES))
def test_many_mutations_of_long_rows(text, tmp_path):
    run_long(text, tmp_path)


@pytest.mark.full
@settings(max_examples=2500, **SLOW)
@given(text=mutated(VISIT_LINES))
def test_many_mutations_of_visits(text, tmp_path):
    check(text, VISITS, VISITS_HEADER, tmp_path)


@settings(max_examples=40, **SLOW)
@given(
    content=st.one_of(
        st.binary(max_size=300), st.text(max_size=200).map(lambda text: (LONG_HEADER + text).encode("utf-8", "replace"))
    )
)
def test_any_bytes_get_an_answer(content, tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    shutil.rmtree(tmp_path / "cohort", ignore_errors=True)
    try:
        report = ingest_csv(path, LONG, tmp_path / "cohort", progress=False)
    except NeurotwinError as error:
        assert "\n" not in str(error)
    else:
        assert report.balanced


def test_the_oracle_can_fail(tmp_path):
    text = "\n".join(LONG_LINES)
    assert check(text, LONG, LONG_HEADER, tmp_path) is not None
    assert stands_on_a_line(text, "canary", 0.5, 5.1 * 18.0156) and not stands_on_a_line(text, "canary", 0.5, 5.1)
    assert count_lines("a\n\nb\r\nc\rd") == 4
