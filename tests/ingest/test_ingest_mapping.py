"""Mappings: what is contradictory or misspelt is refused before any file is read, in one line that helps."""

import time
from pathlib import Path

import pytest
import yaml
from ingest_cases import LONG, VISITS

from neurotwin.errors import IngestError, NeurotwinError, UnitError
from neurotwin.ingest.mapping_file import load_mapping, parse_mapping
from neurotwin.ingest.yaml_file import parse_yaml, read_yaml
from neurotwin.paths import conf_dir


def set_at(content, path, value):
    """Set a value deep inside; ``None`` removes the key."""
    *way, last = path
    for step in way:
        content = content[step]
    if value is None:
        del content[last]
    else:
        content[last] = value


TABLE = ("tables", 0)
LONG_FAULTS = {
    "unknown key at the top": (("time_unt",), "d", "unknown key 'time_unt' .did you mean 'time_unit'"),
    "unknown key in a variable": (
        ("variables", 0, "plausibel"),
        [0, 1],
        "unknown key 'plausibel' .did you mean 'plausible'",
    ),
    "unknown key in a table": ((*TABLE, "subjects"), "id", "unknown key 'subjects' .did you mean 'subject'"),
    "unknown key in a time": ((*TABLE, "time", "units"), "d", "unknown key 'units' .did you mean 'unit'"),
    "unknown key in a column": ((*TABLE, "variables", 0, "code"), "GLU", "unknown key 'code' .did you mean 'codes'"),
    "no name": (("name",), None, "Field required.*name"),
    "no split key": (("split_key",), None, "Field required.*split_key"),
    "no word on pseudonyms": (("pseudonymise",), None, "Field required.*pseudonymise"),
    "no index event": (("index",), None, "Field required.*index"),
    "pseudonyms of another kind": (("pseudonymise",), "md5", "'none' or 'hmac'"),
    "layout": ((*TABLE, "layout"), "wide", "tag 'wide'"),
    "number for text": ((*TABLE, "subject"), 7, "valid string"),
    "text for number": ((*TABLE, "variables", 0, "molar_mass"), "180", "valid number"),
    "molar mass of zero": ((*TABLE, "variables", 0, "molar_mass"), 0, "greater than 0"),
    "text for a list": ((*TABLE, "variables", 0, "codes"), "GLU", "valid array"),
    "no code": ((*TABLE, "variables", 0, "codes"), [], "at least 1"),
    "a name in capitals": (("variables", 0, "name"), "Glucose", "pattern"),
    "two variables of one name": (("variables", 1, "name"), "glucose", "names must differ"),
    "a variable from nowhere": (
        (*TABLE, "variables", 0, "variable"),
        "glucos",
        "'glucos' is not in the schema .*'glucose'",
    ),
    "a variable that no table gives": (
        (*TABLE, "variables", 0, "variable"),
        "creatinine",
        "variable glucose comes from no table",
    ),
    "one code for two": ((*TABLE, "variables", 1, "codes"), ["GLU"], "stands for two variables"),
    "no unit anywhere": ((*TABLE, "unit"), None, "glucose needs a unit or a column with its unit"),
    "words without a unit": ((*TABLE, "variables", 0, "values"), {"neg": 0}, "values need a unit"),
    "no time": ((*TABLE, "time"), None, "needs its time column"),
    "time without a unit": ((*TABLE, "time"), {"column": "day"}, "either a unit .* or a format"),
    "time with unit and format": ((*TABLE, "time", "format"), "%Y-%m-%d", "either a unit .* or a format"),
    "a format without a year": ((*TABLE, "time"), {"column": "day", "format": "%d.%m"}, "year, month and day"),
    "a format of two-digit years": ((*TABLE, "time"), {"column": "day", "format": "%d.%m.%y"}, "%y, which depends"),
    "a format of the place": ((*TABLE, "time"), {"column": "day", "format": "%x"}, "%x, which depends"),
    "dates without an index event": (
        (*TABLE, "time"),
        {"column": "day", "format": "%Y-%m-%d"},
        "index.at to first or column",
    ),
    "an index column that no table has": (("index", "at"), "column", "names its index column"),
    "an index column not asked for": ((*TABLE, "index"), {"column": "day", "unit": "d"}, "names its index column"),
    "between of the other kind": ((*TABLE, "time", "between"), ["2000-01-01", "2001-01-01"], "between must be numbers"),
    "a date that is none": (
        (*TABLE, "time"),
        {"column": "day", "format": "%Y-%m-%d", "between": ["2000-01-01", "2000-02-30"]},
        "'2000-02-30' is not a date",
    ),
    "replicates unknown": (("replicates",), ["glucos"], "replicates 'glucos' is not in the schema"),
    "a path for a file": ((*TABLE, "file"), "../data.csv", "pattern"),
    "an absolute path": ((*TABLE, "file"), "/etc/passwd", "pattern"),
    "an encoding not known": ((*TABLE, "encoding"), "utf-16", "'utf-8', 'latin-1' or 'cp1252'"),
    "a range that falls": (("variables", 0, "plausible"), [5, 1], "must rise"),
    "a log of negatives": (("variables", 1, "plausible"), [-1, 5], "modelled as ln"),
    "not finite": (
        (*TABLE, "variables", 0),
        {"variable": "glucose", "codes": ["G"], "unit": "mg/dL", "values": {"x": float("inf")}},
        "finite",
    ),
}

VISITS_FAULTS = {
    "a bolus with an end": (
        (*TABLE, "treatments", 2, "stop"),
        "never",
        "shot has the kind bolus, so stop must be left out",
    ),
    "an infusion without an end": (
        (*TABLE, "treatments", 0, "stop"),
        None,
        "drug has the kind infusion, so stop must be a column",
    ),
    "a treatment without a unit": ((*TABLE, "treatments", 2, "unit"), None, "shot needs a unit"),
    "a treatment of nothing": ((*TABLE, "treatments", 2, "column"), None, "either a column or an amount"),
    "a treatment twice told": ((*TABLE, "treatments", 2, "amount"), 5, "either a column or an amount"),
    "a treatment from nowhere": (
        (*TABLE, "treatments", 2, "treatment"),
        "shots",
        "'shots' is not in the schema .*'shot'",
    ),
    "a start that is none": ((*TABLE, "treatments", 2, "start"), "begin", "'row' or 'index'"),
    "a typing error in a start": (
        (*TABLE, "treatments", 2, "start"),
        {"colum": "x", "unit": "d"},
        "'colum' .*'column'",
    ),
    "dates beside numbers": (
        (*TABLE, "treatments", 2, "start"),
        {"column": "x", "format": "%Y-%m-%d"},
        "all numbers or all dates",
    ),
    "a number without a unit": ((*TABLE, "statics", 0, "unit"), None, "age needs a unit"),
    "levels of a number": ((*TABLE, "statics", 0, "levels"), {"old": "f"}, "takes no levels"),
    "a unit of levels": ((*TABLE, "statics", 1, "unit"), "1", "takes neither unit nor values"),
    "a level not declared": ((*TABLE, "statics", 1, "levels"), {"F": "w"}, "level of sex 'w' is not in the schema"),
    "one level": (("statics", 1, "levels"), ["f"], "at least two"),
    "a static that no table gives": ((*TABLE, "statics"), [], "static age comes from no table"),
    "a second table without a file": (("tables",), VISITS["tables"] * 2, "each needs its file"),
    "two tables of one file": (("tables",), [VISITS["tables"][0] | {"file": "a.csv"}] * 2, "same file"),
    "no table": (("tables",), [], "at least 1"),
    "a table of nothing": (
        ("tables",),
        [*VISITS["tables"], {"layout": "visits", "subject": "id", "file": "b.csv"}],
        "each needs its file",
    ),
}


@pytest.mark.parametrize(("path", "value", "message"), LONG_FAULTS.values(), ids=LONG_FAULTS)
def test_faults_of_a_long_mapping(long, path, value, message):
    set_at(long, path, value)
    with pytest.raises(NeurotwinError, match=message) as caught:
        parse_mapping(long)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize(("path", "value", "message"), VISITS_FAULTS.values(), ids=VISITS_FAULTS)
def test_faults_of_a_visits_mapping(visits, path, value, message):
    set_at(visits, path, value)
    with pytest.raises(NeurotwinError, match=message):
        parse_mapping(visits)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("variables", 0, "unit"), "mgdl", "unknown unit 'mgdl'.*glucose"),
        (("time_unit",), "day", "unknown unit 'day'|cannot convert"),
        ((*TABLE, "time", "unit"), "kg", "cannot convert 'kg' to 'd'.*column day"),
        ((*TABLE, "variables", 0, "unit"), "mol/kg", "cannot convert 'mol/kg' to 'mg/dL'"),
        ((*TABLE, "variables", 3, "unit"), "ML", "unknown unit 'ML'"),
        ((*TABLE, "variables", 3, "unit"), "mmol/L", "molar_mass"),
        ((*TABLE, "units"), {"K/uL": "thousands"}, "unknown unit 'thousands'"),
    ],
)
def test_units_are_checked_before_any_file_is_read(long, path, value, message):
    set_at(long, path, value)
    with pytest.raises(UnitError, match=message):
        parse_mapping(long)


def test_a_table_must_give_something(visits):
    visits["tables"][0]["file"] = "a.csv"
    visits["tables"].append({"layout": "visits", "subject": "id", "file": "b.csv"})
    with pytest.raises(IngestError, match="a table that gives nothing"):
        parse_mapping(visits)


def test_other_than_plain_data_is_refused():
    for content in ({"name": object()}, ["name"], None, "text", 5, {"name": {1: 2}}):
        with pytest.raises(IngestError):
            parse_mapping(content)


def test_mappings_are_found_by_path_and_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pbcseq").mkdir()  # such as a cohort of that name
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(LONG))
    assert load_mapping(path) == load_mapping(str(path)) == load_mapping(LONG) == load_mapping(load_mapping(LONG))
    assert load_mapping("pbcseq").name == "pbcseq"
    with pytest.raises(IngestError, match="no mapping 'pbcsec' .did you mean 'pbcseq'"):
        load_mapping("pbcsec")
    with pytest.raises(IngestError, match="no mapping file here"):
        load_mapping(tmp_path / "none.yaml")


@pytest.mark.parametrize("path", sorted((conf_dir() / "source").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_mapping_that_comes_along_is_sound(path: Path):
    mapping = load_mapping(path)
    assert mapping.name == path.stem and mapping.about["source"] and mapping.about["licence"]


YAML_FAULTS = {
    "alias": ("a: &x [1]\nb: *x\n", "anchor or alias.*line 1"),
    "anchor": ("a: 1\nb: &x 2\n", "anchor or alias.*line 2"),
    "bomb": (
        "a: &a [x,x]\n"
        + "".join(f"{c}: &{c} [*{p},*{p}]\n" for p, c in zip("abcdefghijk", "bcdefghijkl", strict=True)),
        "anchor or alias",
    ),
    "tag": ("a: !!python/object/apply:os.system [ls]\n", "a tag"),
    "own tag": ("a: !x 1\n", "a tag"),
    "a key twice": ("a: 1\nb: 2\na: 3\n", "'a' stands twice.*line 3"),
    "a key deep inside twice": ("a: [{b: 1, b: 2}]\n", "'b' stands twice"),
    "a number as key": ("a: {1: x}\n", "a key that is not text.*line 1.*quotes"),
    "a list as key": ("? [a]\n: 1\n", "a key that is not text"),
    "nothing as key": ("~: 1\n", "a key that is not text"),
    "not YAML": ("a: [1\nb: 2\n", "not YAML.*line"),
    "a tab": ("a:\n\t- 1\n", "not YAML"),
    "control character": ("a: \x07\n", "not YAML"),
    "deep": ("[" * 10_000 + "]" * 10_000, "nested too deeply"),
    "two documents": ("a: 1\n---\nb: 2\n", "not YAML"),
}


@pytest.mark.parametrize(("text", "message"), YAML_FAULTS.values(), ids=YAML_FAULTS)
def test_hostile_yaml_gets_one_line_soon(text, message):
    begin = time.perf_counter()
    with pytest.raises(IngestError, match=message) as caught:
        parse_yaml(text)
    assert time.perf_counter() - begin < 2 and "\n" not in str(caught.value)


def test_yaml_files_are_capped_and_utf8(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_bytes(b"a: J\xf6rg\n")
    with pytest.raises(IngestError, match="not UTF-8"):
        read_yaml(path)
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(IngestError, match="this large"):
        read_yaml(path)
    with pytest.raises(IngestError, match="no mapping file"):
        read_yaml(tmp_path)


def test_yaml_words_stay_words():
    text = "{a: no, b: 007, c: 2024-01-01, d: 1e5, e: true, f: null, g: 12:30, h: -1.5, i: [.inf, 3], j: 1_000, k: }"
    assert parse_yaml(text) == {
        "a": "no",
        "b": "007",
        "c": "2024-01-01",
        "d": 1e5,
        "e": True,
        "f": None,
        "g": "12:30",
        "h": -1.5,
        "i": [float("inf"), 3],
        "j": "1_000",
        "k": None,
    }
