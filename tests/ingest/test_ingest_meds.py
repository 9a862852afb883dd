"""MEDS: the samples, what a mapping may name, dtype drift, bad files, and the road there and back."""

import copy
import csv
import json
import os
import re
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neurotwin.cohort import Cohort
from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import Reason
from neurotwin.ingest.csv import ingest_csv
from neurotwin.ingest.mapping_file import parse_mapping
from neurotwin.ingest.meds import MedsReader, ingest_meds
from neurotwin.ingest.meds import columns as meds_columns
from neurotwin.ingest.meds import table as meds_table
from neurotwin.ingest.yaml_file import parse_yaml, read_yaml
from neurotwin.paths import conf_dir

pytest.importorskip("meds", reason="extra ehr")
SAMPLES = Path(os.environ.get("NEUROTWIN_SAMPLES", Path(__file__).parents[3] / "shared" / "data"))
FORMAT = "%Y-%m-%d %H:%M:%S.%f"
WARD = {
    "name": "ward",
    "time_unit": "h",
    "index": {"event": "first measurement", "at": "first"},
    "split_key": "ward",
    "pseudonymise": "none",
    "not_after": "2030-01-01",
    "variables": [{"name": "glucose", "unit": "mg/dL", "plausible": [10, 2000]}],
    "treatments": [{"name": "insulin", "unit": "[IU]", "kind": "bolus"}],
    "statics": [{"name": "height", "unit": "cm"}],
    "tables": [
        {
            "layout": "long",
            "subject": "subject_id",
            "time": {"column": "time", "format": FORMAT},
            "code": "code",
            "value": "value",
            "variables": [{"variable": "glucose", "codes": ["GLU"], "unit": "mg/dL"}],
            "treatments": [{"treatment": "insulin", "column": "value", "when": {"code": ["INS"]}, "unit": "[IU]"}],
            "statics": [{"static": "height", "column": "value", "when": {"code": ["HEIGHT"]}, "unit": "cm"}],
        }
    ],
}
NOON = datetime(2020, 1, 1, 12)
COLUMNS = {"subject_id": pa.int64(), "time": pa.timestamp("us"), "code": pa.string(), "numeric_value": pa.float32()}


@pytest.fixture
def ward():
    return copy.deepcopy(WARD)


def write(path, rows, **types):
    """A parquet file of rows; ``types`` are added to, or stand in place of, those of MEDS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = COLUMNS | types
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in kinds]
    arrays = {name: pa.array(list(one), kind) for (name, kind), one in zip(kinds.items(), columns, strict=True)}
    pq.write_table(pa.table(arrays), path)
    return path


def read(source, mapping, tmp_path):
    output = tmp_path / f"cohort{len(list(tmp_path.iterdir()))}"
    report = ingest_meds(source, mapping, output, progress=False)
    assert report.balanced
    return report, Cohort.load(output, verify=True)


def sample(name):
    if not (SAMPLES / name).is_dir():
        pytest.skip(f"no sample data {name}")
    return SAMPLES / name


def trajectories(cohort):
    """Each measurement by subject, day and name; what comes twice is there once."""
    seen, names = cohort.observations, [one.name for one in cohort.schema.variables]
    rows = zip(cohort.ids[seen.subject].tolist(), seen.time, seen.variable, seen.value, strict=True)
    return sorted((one, round(float(time), 9), names[variable], float(value)) for one, time, variable, value in rows)


def test_the_pilot_has_the_trajectories_of_its_csv(tmp_path):
    report, cohort = read(sample("cross_format_pilot") / "meds", "cross_format_meds", tmp_path)
    assert report.items.totals["measurements"].rejected.total() == 0 and len(cohort) == 36
    names = {one.code.removeprefix("LOINC:"): one.name for one in cohort.schema.variables}
    with (SAMPLES / "cross_format_pilot/csv/measurements.csv").open() as file:
        rows = list(csv.DictReader(file))
    first = {}
    for row in rows:
        day = datetime.fromisoformat(row["time"])
        first[row["person_id"]] = min(first.get(row["person_id"], day), day)
    wanted = {
        (
            row["person_id"],
            round((datetime.fromisoformat(row["time"]) - first[row["person_id"]]).total_seconds() / 86400, 9),
            names[row["loinc"]],
            float(np.float64(str(np.float32(row["value"])))),
        )
        for row in rows
    }
    assert trajectories(cohort) == sorted(wanted) and len(rows) == 4924
    assert report.items.totals["measurements"].merged == len(rows) - len(wanted)
    exact = {float(row["value"]) for row in rows}
    assert {value for *_, value in trajectories(cohort)} <= exact  # no digit was lost by the 32 bits
    assert len(cohort.doses) == 57 and set(cohort.doses.amount) <= {54.0, 81.0}


def test_the_pilot_gives_the_cohort_of_the_csv_reader(tmp_path):
    _, cohort = read(sample("cross_format_pilot") / "meds", "cross_format_meds", tmp_path)
    ingest_csv(SAMPLES / "cross_format_pilot/csv", "cross_format_csv", tmp_path / "csv", progress=False)
    other = Cohort.load(tmp_path / "csv")
    assert trajectories(cohort) == trajectories(other)
    assert dict(zip(cohort.ids, cohort.fold, strict=True)) == dict(zip(other.ids, other.fold, strict=True))
    assert [one.unit for one in cohort.schema.variables] == [one.unit for one in other.schema.variables]
    starts = [
        {(one.ids[s], float(a)) for s, a in zip(one.doses.subject, one.doses.amount, strict=True)}
        for one in (cohort, other)
    ]
    assert starts[0] == starts[1]


def test_the_example_balances_and_every_row_is_in_one_table(tmp_path):
    report, cohort = read(sample("meds/example"), "meds_example", tmp_path)
    files = Counter()
    for one in report.files:
        files[one.path.split()[0]] += one.read
    assert dict(files) == {
        "data/held_out/0.parquet": 11, "data/train/0.parquet": 30, "data/train/1.parquet": 14,
        "data/tuning/0.parquet": 7,
    }  # fmt: skip
    assert report.items.totals["measurements"].accepted == 32 and report.items.totals["statics"].accepted == 12
    assert len(cohort) == 6 and np.isfinite(cohort.statics).all() and cohort.observations.time.min() == 0
    assert not report.totals.rejected


def test_a_value_is_written_as_short_as_its_own_bits_allow():
    numbers = np.array([53.98, 0.1, 1e-7, 16777216, -0.5, 1 / 3], np.float32)
    texts = meds_columns.as_text(pa.array(numbers)).to_pylist()
    assert texts[:2] == ["53.98", "0.1"] and [np.float32(one) for one in texts] == numbers.tolist()
    assert meds_columns.as_text(pa.array([1 / 3])).to_pylist() == [repr(1 / 3)]
    assert meds_columns.as_text(pa.array([2**53 + 1])).to_pylist() == [str(2**53 + 1)]
    assert meds_columns.as_text(pa.array([Decimal("1.50")])).to_pylist() == ["1.50"]


def test_times_of_every_kind_read_alike():
    kinds = [pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")]
    texts = {meds_columns.as_text(pa.array([NOON], kind)).to_pylist()[0] for kind in kinds}
    assert texts == {"2020-01-01 12:00:00.000000"}
    zoned = meds_columns.as_text(pa.array([NOON], pa.timestamp("us", "UTC")).cast(pa.timestamp("us", "Europe/Paris")))
    assert zoned.to_pylist() == ["2020-01-01 12:00:00.000000Z"]
    assert meds_columns.as_text(pa.array([NOON.date()], pa.date32())).to_pylist() == ["2020-01-01"]


def test_static_rows_unsorted_subjects_and_text_values(tmp_path, ward):
    rows = [
        (2, NOON, "GLU", 90.0, None),
        (1, NOON, "GLU", None, "<20"),
        (2, None, "HEIGHT", 171.5, None),
        (1, NOON.replace(hour=11), "GLU", 100.0, "about a hundred"),
        (2, NOON.replace(hour=10), "GLU", 80.0, None),
        (1, None, "GLU", 85.0, None),
        (1, NOON, "NOTE", None, "x" * 5000),
        (1, NOON, "INS", 4.0, None),
        (None, NOON, "GLU", 90.0, None),
        (1, NOON, None, 90.0, None),
        (1, NOON, "  ", 90.0, None),
        (1, NOON.replace(year=2031), "GLU", 90.0, None),
        (1, NOON.replace(hour=13), "GLU", float("nan"), None),
        (1, NOON.replace(hour=14), "GLU", None, "x" * 5000),
        (1, NOON.replace(hour=15), "GLU", None, None),
    ]  # fmt: skip
    report, cohort = read(write(tmp_path / "a.parquet", rows, text_value=pa.large_string()), ward, tmp_path)
    account = report.files[0]
    assert (account.read, account.accepted, account.out_of_scope) == (15, 6, 1)
    assert dict(account.rejected) == {
        "time_missing": 1, "subject_missing": 1, "code_missing": 2, "time_in_future": 1, "value_not_finite": 1,
        "value_not_a_number": 1, "value_missing": 1,
    }  # fmt: skip
    assert cohort.ids.tolist() == ["1", "2"] and cohort.statics[:, 0].tolist()[1] == 171.5
    assert cohort.observations.value.tolist() == [100.0, 20.0, 80.0, 90.0]
    assert cohort.observations.censor.tolist() == [0, -1, 0, 0] and cohort.doses.amount.tolist() == [4.0]
    assert account.places[Reason.VALUE_NOT_FINITE] == [(13, 4)]


def test_codes_in_parts_name_the_analyte_and_its_unit(tmp_path, ward):
    ward["tables"][0] |= {"code": "code.1-2", "unit": "code.3"}
    ward["tables"][0]["variables"] = [{"variable": "glucose", "codes": ["LAB//50931"], "molar_mass": 180.156}]
    rows = [(1, NOON, "LAB//50931//mg/dL", 90.0), (1, NOON.replace(hour=13), "LAB//50931//mmol/L", 5.0)]
    rows += [(1, NOON.replace(hour=14), "LAB//50931", 90.0), (1, NOON, "LAB", 90.0)]
    report, cohort = read(write(tmp_path / "a.parquet", rows), ward, tmp_path)
    assert cohort.observations.value == pytest.approx([90.0, 90.078])
    assert dict(report.totals.rejected) == {"unit_missing": 1} and report.totals.out_of_scope == 1


def test_a_row_belongs_to_the_first_table_that_it_fits():
    routes = meds_table.CodeRoutes(["LAB//*", "LAB//1*", "A*B"])
    codes = pa.array(["LAB//1", "LAB//", "AxB", "AB", "ABx", None, " ", "L[AB]"])
    table, fault = routes.route(codes)
    assert table.tolist() == [0, 0, 2, 2, 2, 2, 2, 2]
    missing = fault[5]
    assert fault.tolist() == [0, 0, 0, 0, -2, missing, missing, -2] and missing > 0
    assert routes.route(codes.dictionary_encode())[0].tolist() == table.tolist()


def test_shards_of_drifting_types_are_one_data_set(tmp_path, ward):
    data = tmp_path / "set" / "data"
    write(data / "a.parquet", [(1, NOON, "GLU", 53.98)])
    write(data / "b.parquet", [(2, NOON, "GLU", 53.98)], subject_id=pa.int32(), numeric_value=pa.float64())
    write(data / "c/d.parquet", [("003", NOON, "GLU", 54)], subject_id=pa.string(), numeric_value=pa.int16())
    write(data / "e.parquet", [(4, NOON, "GLU", 53.98)], time=pa.timestamp("ns"), code=pa.large_string())
    dictionary = pa.dictionary(pa.int8(), pa.string())
    write(data / "f.parquet", [(5, NOON, "GLU", 53.98)], time=pa.timestamp("s"), code=dictionary)
    write(data / "g.parquet", [(6, NOON, "GLU", 53.98)], time=pa.timestamp("us", "UTC"))
    write(data / "h.parquet", [(7, None, "GLU", None)], time=pa.null(), numeric_value=pa.null())
    write(data / "i.parquet", [])
    report, cohort = read(tmp_path / "set", ward, tmp_path)
    assert cohort.ids.tolist() == ["003", "1", "2", "4", "5"]
    assert sorted(set(cohort.observations.value)) == [53.98, 54.0]
    assert dict(report.totals.rejected) == {"time_zone_mixed": 1, "time_missing": 1}
    assert [one.path for one in report.files][2] == "data/c/d.parquet"


WRONG = {
    "float ids": ({"subject_id": pa.float64()}, (1.0, NOON, "GLU", 1.0), "'subject_id' is of the type double.*int64"),
    "text times": ({"time": pa.string()}, (1, "2020", "GLU", 1.0), "'time' is of the type string.*timestamp"),
    "number codes": ({"code": pa.int64()}, (1, NOON, 7, 1.0), "'code' is of the type int64"),
    "text numbers": ({"numeric_value": pa.string()}, (1, NOON, "GLU", "1"), "'numeric_value' is of the type string"),
    "lists": ({"code": pa.list_(pa.string())}, (1, NOON, ["GLU"], 1.0), "'code' is of the type list"),
}


@pytest.mark.parametrize(("types", "row", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_schema_is_refused(tmp_path, ward, types, row, message):
    path = write(tmp_path / "a.parquet", [row], **types)
    refused(path, ward, message, tmp_path)


def refused(source, mapping, message, tmp_path):
    with pytest.raises(IngestError, match=message) as caught:
        ingest_meds(source, mapping, tmp_path / "cohort", progress=False)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    assert not (tmp_path / "cohort").exists() and not list(tmp_path.glob(".cohort*"))


def test_a_missing_or_repeated_column_is_refused(tmp_path, ward):
    pq.write_table(pa.table({"subject_id": [1], "code": ["GLU"]}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", ward, "no column 'time'", tmp_path)
    good = write(tmp_path / "b.parquet", [(1, NOON, "GLU", 1.0)])
    ward["tables"][0]["value"] = "numeric_valeu"
    refused(good, ward, "no column 'numeric_valeu' .did you mean 'numeric_value'", tmp_path)
    twice = pa.table([[1], [1], ["GLU"], [NOON]], names=["subject_id", "subject_id", "code", "time"])
    pq.write_table(twice, tmp_path / "c.parquet")
    refused(tmp_path / "c.parquet", ward, "two columns have one name", tmp_path)


def test_a_damaged_file_is_refused_wherever_it_is_cut(tmp_path, ward):
    whole = write(tmp_path / "whole.parquet", [(n, NOON, "GLU", 90.0) for n in range(2000)]).read_bytes()
    for content in (b"", b"PAR1", whole[:100], whole[: len(whole) // 2], whole[:-1], b"<html>" * 100, whole[4:]):
        path = tmp_path / "cut.parquet"
        path.write_bytes(content)
        refused(path, ward, "not a readable parquet file", tmp_path)
    rng = np.random.default_rng(3)
    for _ in range(60):  # changed bytes: an error in one line, or a balanced account
        changed = bytearray(whole)
        for at in rng.integers(4, len(whole) - 8, 3):
            changed[at] ^= int(rng.integers(1, 255))
        path.write_bytes(bytes(changed))
        try:
            read(path, ward, tmp_path)
        except IngestError as error:
            assert "\n" not in str(error)


def test_text_that_is_none_is_no_id_and_no_code(tmp_path, ward):
    names = pa.array([b"GLU", b"\xff\xfe", b"GLU"], pa.binary()).view(pa.string())
    table = pa.table({
        "subject_id": pa.array(["a", "b", "c" * 2000]), "time": [NOON] * 3, "code": names, "numeric_value": [1e2] * 3,
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    report, cohort = read(tmp_path / "a.parquet", ward, tmp_path)
    assert cohort.ids.tolist() == ["a"]
    assert dict(report.totals.rejected) == {"subject_unreadable": 1} and report.totals.out_of_scope == 1


def test_a_large_text_kept_once_does_not_fill_the_memory(tmp_path, ward):
    encoded = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, np.int32)), ["x" * 1_000_000])
    table = pa.table({
        "subject_id": np.arange(200_000), "time": pa.array([NOON] * 200_000), "code": ["GLU"] * 200_000,
        "numeric_value": pa.array([90.0] * 100_000 + [None] * 100_000), "text_value": encoded,
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 10_000_000
    report, _ = read(tmp_path / "a.parquet", ward, tmp_path)
    assert dict(report.totals.rejected) == {"value_not_a_number": 100_000}


def test_places_that_lead_elsewhere_are_refused(tmp_path, ward):
    good = write(tmp_path / "good.parquet", [(1, NOON, "GLU", 90.0)])
    refused(tmp_path / "nothing", ward, "no MEDS data set here", tmp_path)
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", ward, "no MEDS data set here", tmp_path)
    (tmp_path / "link.parquet").symlink_to(good)
    refused(tmp_path / "link.parquet", ward, "no MEDS data set here", tmp_path)
    data = tmp_path / "set" / "data"
    data.mkdir(parents=True)
    refused(tmp_path / "set", ward, "no parquet file, 0 records", tmp_path)
    (data / "link.parquet").symlink_to(good)
    refused(tmp_path / "set", ward, "symbolic link", tmp_path)
    (data / "link.parquet").unlink()
    (data / "up").symlink_to(tmp_path)
    refused(tmp_path / "set", ward, "symbolic link", tmp_path)
    (data / "up").unlink()
    os.mkfifo(data / "pipe.parquet")
    refused(tmp_path / "set", ward, "no regular file", tmp_path)
    (data / "pipe.parquet").unlink()
    write(data.joinpath(*"abcdefghij") / "a.parquet", [(1, NOON, "GLU", 90.0)])
    refused(tmp_path / "set", ward, "folders too deep", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"meds_version": "0.2.1"}', "another version of MEDS"),
        ("[" * 100_000, "not a readable dataset.json"),
        ("[]", "not a readable dataset.json"),
        (" " * 2_000_000 + "{}", "not a readable dataset.json"),
    ],
)
def test_the_version_is_looked_at(tmp_path, ward, content, message):
    write(tmp_path / "set/data/a.parquet", [(1, NOON, "GLU", 90.0)])
    path = tmp_path / "set/metadata/dataset.json"
    path.parent.mkdir()
    path.write_text('{"meds_version": "0.4.1"}')
    read(tmp_path / "set", ward, tmp_path)
    path.write_text(content)
    refused(tmp_path / "set", ward, message, tmp_path)


def test_tables_are_told_apart_by_code_and_not_by_file(tmp_path, ward):
    ward["tables"][0]["file"] = "a*"
    refused(write(tmp_path / "a.parquet", [(1, NOON, "GLU", 90.0)]), ward, "names a file", tmp_path)


def test_columns_not_named_are_not_read(tmp_path, ward):
    rows = [(1, NOON, "GLU", 90.0, "canary")]
    path = write(tmp_path / "a.parquet", rows, name=pa.string())
    plan = parse_mapping(ward)
    (table,) = MedsReader().tables(path, plan, tmp_path, lambda _: None)
    (batch,) = table.batches()
    assert "canary" not in json.dumps({name: column.to_pylist() for name, column in batch.columns.items()})
    assert table.columns_ignored == 1 and table.position("value") == 4 and len(table.sha256) == 64


def test_changed_cells_never_break_the_account(tmp_path, ward):
    rng = np.random.default_rng(5)
    ids = [1, 2, 2**53 + 1, -(2**63), None]
    times = [NOON, None, datetime(1, 1, 1), datetime(9999, 12, 31), datetime(1970, 1, 1), datetime(2100, 1, 1)]
    codes = ["GLU", "INS", "HEIGHT", "", None, "=cmd|", "GLU//", "ä", "\0"]
    numbers = [90.0, 0.0, -1.0, 1e38, float("inf"), float("nan"), None]
    texts = ["<5", ">500", "1+", "neg", "5,6", "1,200", "1e400", "--", None, None, None]
    draws = [(options, rng.integers(len(options), size=3000)) for options in (ids, times, codes, numbers, texts)]
    rows = [tuple(options[which[n]] for options, which in draws) for n in range(3000)]
    rows.append((9, NOON, "GLU", 90.0, None))
    report, cohort = read(write(tmp_path / "a.parquet", rows, text_value=pa.large_string()), ward, tmp_path)
    assert report.totals.read == 3001 and str(2**53 + 1) in cohort.ids and len(report.totals.rejected) >= 6


def test_the_page_shows_the_mapping_and_its_numbers(tmp_path):
    page = (Path(__file__).parents[2] / "docs/ingest_meds.md").read_text()
    shown = parse_yaml(re.search(r"```yaml\n(.*?)```", page, re.DOTALL).group(1))
    assert shown["tables"] == read_yaml(conf_dir() / "source/meds_example.yaml")["tables"]
    report, cohort = read(sample("meds/example"), "meds_example", tmp_path)
    told = re.search(r"Of its (\d+) rows (\d+) are accepted and (\d+), .* scope: (\d+) measurements and (\d+)", page)
    totals, items = report.totals, report.items.totals
    counts = (totals.read, totals.accepted, totals.out_of_scope)
    assert tuple(map(int, told.groups())) == (*counts, items["measurements"].accepted, items["statics"].accepted)


SPLITS = {"train": [0, 1, 2], "tuning": [3], "held_out": [4]}


def with_splits(tmp_path, *pairs, **types):
    """A data set of one measurement of the subjects 1 to 4, and of the splits of some of them."""
    write(tmp_path / "set/data/a.parquet", [(n, NOON, "GLU", 90.0) for n in (1, 2, 3, 4)])
    kinds = {"subject_id": pa.int64(), "split": pa.string()} | types
    (tmp_path / "set/metadata").mkdir()
    columns = [pa.array(list(one), kind) for one, kind in zip(zip(*pairs, strict=True), kinds.values(), strict=True)]
    pq.write_table(pa.table(columns, names=list(kinds)), tmp_path / "set/metadata/subject_splits.parquet")
    return tmp_path / "set"


def test_the_data_set_s_splits_may_be_the_folds(tmp_path, ward):
    ward["tables"][0]["fold"] = {"column": "split", "folds": SPLITS}
    source = with_splits(tmp_path, (4, "held_out"), (2, "tuning"), (1, "train"), (99, "train"))
    report, cohort = read(source, ward, tmp_path)
    folds = dict(zip(cohort.ids.tolist(), cohort.fold.tolist(), strict=True))
    assert folds.pop("1") in (0, 1, 2) and folds == {"2": 3, "4": 4}
    assert report.totals.rejected == {"fold_missing": 1}


def test_splits_that_cannot_be_used_are_refused(tmp_path, ward):
    ward["tables"][0]["fold"] = {"column": "split", "folds": SPLITS}
    (tmp_path / "twice").mkdir()
    source = with_splits(tmp_path / "twice", (1, "train"), (1, "held_out"))
    refused(source, ward, "a subject in two lines", tmp_path)
    (source / "metadata/subject_splits.parquet").write_bytes(b"PAR1")
    refused(source, ward, "not a readable parquet file", tmp_path)
    (source / "metadata/subject_splits.parquet").unlink()
    refused(source, ward, "no splits", tmp_path)
    refused(source / "data/a.parquet", ward, "no splits", tmp_path)


def test_a_column_of_the_file_goes_before_the_data_set_s_splits(tmp_path, ward):
    ward["tables"][0]["fold"] = {"column": "split", "folds": SPLITS}
    write(tmp_path / "a.parquet", [(1, NOON, "GLU", 90.0, "tuning")], split=pa.string())
    assert read(tmp_path / "a.parquet", ward, tmp_path)[1].fold.tolist() == [3]
