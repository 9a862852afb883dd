"""Good files: what is written in them is what the cohort holds."""

import hashlib
import io
import json

import numpy as np
import pytest
from ingest_cases import GOOD_LONG, GOOD_VISIT, LONG_HEADER, VISITS_HEADER
from rich.console import Console

from neurotwin.cohort import Cohort, fold_of
from neurotwin.errors import IngestError
from neurotwin.ingest.csv import ingest_csv
from neurotwin.ingest.report import print_summary


def rows(cohort):
    seen = cohort.observations
    names = [variable.name for variable in cohort.schema.variables]
    return [
        (str(cohort.ids[s]), float(t), names[v], round(float(x), 9), int(c))
        for s, t, v, x, c in zip(seen.subject, seen.time, seen.variable, seen.value, seen.censor, strict=True)
    ]


def test_long_rows_become_observations_in_the_declared_unit(ingest, long):
    text = LONG_HEADER + "b,1.5,GLU,5.0,mmol/L\na,0,GLU,90,mg/dL\na,2,TEMP,98.6,[degF]\na,0,CREA,88.4,umol/L\n"
    found = rows(ingest(text, long))
    assert [row[:3] for row in found] == [
        ("a", 0.0, "glucose"),
        ("a", 0.0, "creatinine"),
        ("a", 2.0, "temperature"),
        ("b", 1.5, "glucose"),
    ]
    assert [row[3] for row in found] == pytest.approx([90, 0.99998, 37.0, 90.078], rel=1e-5)
    units = {(one["name"], one["from"]): one["count"] for one in ingest.report.as_dict()["units"]}
    assert units[("glucose", "mmol/L")] == 1 and units[("temperature", "[degF]")] == 1


@pytest.mark.parametrize(
    ("text", "value", "censor"),
    [
        ("<0.5", 0.5, -1),
        ("< 0.5", 0.5, -1),
        ("<=0.5", 0.5, -1),
        (">12", 12, 1),
        (">= 12", 12, 1),
        ("≥12", 12, 1),
        ("1e1", 10, 0),
        ("+2.50", 2.5, 0),
        (".5", 0.5, 0),
        ("3.", 3, 0),
    ],
)
def test_values_and_censored_values(ingest, long, text, value, censor):
    cohort = ingest(LONG_HEADER + f"a,0,CREA,{text},mg/dL\n", long)
    assert rows(cohort) == [("a", 0.0, "creatinine", value, censor)]


@pytest.mark.parametrize("name", ["007", "NA", "1E5", "9007199254740993", "=cmd|' /C calc'!A0", "ÄÖ-1", "inf", "nan"])
def test_ids_stay_text(ingest, long, name):
    cohort = ingest(LONG_HEADER + f"{name},0,GLU,90,mg/dL\n", long)
    assert cohort.ids.tolist() == [name]
    assert cohort.fold[0] == fold_of("labs", name)


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_and_byte_order_mark(ingest, long, ending, mark, last):
    text = (LONG_HEADER + GOOD_LONG + "b,1,GLU,91,mg/dL\n").replace("\n", ending)
    text = text if last else text.removesuffix(ending)
    assert [row[3] for row in rows(ingest(mark + text.encode(), long))] == [90, 91]


def test_blocks_do_not_cut_rows(ingest, long, monkeypatch):
    monkeypatch.setattr("neurotwin.ingest.delimited.BLOCK", 7)
    text = (LONG_HEADER + "".join(f"ä{n},{n},GLU,{90 + n},mg/dL\n" for n in range(20))).replace("\n", "\r\n")
    cohort = ingest(text, long)
    assert len(cohort) == 20 and ingest.report.totals.accepted == 20
    assert ingest.report.files[0].sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_places_name_physical_lines(ingest, long, monkeypatch):
    monkeypatch.setattr("neurotwin.ingest.delimited.BLOCK", 16)
    text = LONG_HEADER + "\n" + GOOD_LONG + "\n\na,1,GLU,x,mg/dL\na,1,GLU\n"
    ingest(text, long)
    places = ingest.report.as_dict()["files"][0]["places"]
    assert places == {"value_not_a_number": [{"line": 6, "column": 4}], "field_count": [{"line": 7, "column": 0}]}


def test_visits_rows_and_cells(ingest, visits):
    text = VISITS_HEADER + (
        "p,0,90,neg,2,3,A,0.5,61,F\n"  # all is there
        "p,1,95,NA,,,A,,61,F\n"  # protein missing, the rest again
        "q,0,,71,,,P,,NA,M\n"  # placebo, age unknown
        "q,2,,,,,P,,,\n"  # nothing measured
    )
    cohort = ingest(text, visits)
    assert [row[:4] for row in rows(cohort)] == [
        ("p", 0, "glucose", 90),
        ("p", 0, "protein", 0),
        ("p", 1, "glucose", 95),
        ("q", 0, "protein", 71),
    ]
    doses = cohort.doses
    assert doses.subject.tolist() == [0, 0, 0]
    given = {
        name: (a, b, c)
        for name, a, b, c in zip(doses.treatment.tolist(), doses.time, doses.end, doses.amount, strict=True)
    }
    assert given[0] == (0, 3, pytest.approx(48))
    assert given[1] == (0, np.inf, 1)
    assert given[2][0] == 0 and np.isnan(given[2][1]) and given[2][2] == pytest.approx(500)
    np.testing.assert_array_equal(cohort.statics, [[61, 0], [np.nan, 1]])
    report = ingest.report.as_dict()
    assert report["totals"] == {"read": 4, "accepted": 3, "merged": 0, "out_of_scope": 1, "rejected": {}}
    assert (report["measurements"]["read"], report["measurements"]["accepted"], report["measurements"]["empty"]) == (
        4,
        4,
        4,
    )
    assert report["treatments"] == report["treatments"] | {"read": 6, "accepted": 3, "merged": 1, "out_of_scope": 2}
    assert report["statics"] == report["statics"] | {"read": 5, "accepted": 3, "merged": 2}


def test_codes_that_are_not_mapped_and_dropped_rows_are_out_of_scope(ingest, long):
    long["tables"][0]["drop"] = {"unit": ["LOCF"]}
    ingest(LONG_HEADER + GOOD_LONG + "a,0,XYZ,1,mg\na,1,GLU,5,LOCF\n", long)
    assert ingest.report.totals.out_of_scope == 2
    assert ingest.items["measurements"].out_of_scope == 1


def test_exact_duplicates_merge_and_conflicts_are_both_rejected(ingest, long):
    text = LONG_HEADER + (
        "a,0,GLU,90,mg/dL\na,0,GLU,90.0,mg/dL\na,0,GLUC,0.9,g/L\n"  # the same three times
        "a,1,GLU,90,mg/dL\na,1,GLU,91,mg/dL\na,1,GLU,90,mg/dL\n"  # a contradiction
        "a,2,GLU,90,mg/dL\na,2,GLU,<90,mg/dL\n"  # one censored: a contradiction as well
    )
    cohort = ingest(text, long)
    assert rows(cohort) == [("a", 0.0, "glucose", 90.0, 0)]
    total = ingest.report.totals
    assert (total.accepted, total.merged, dict(total.rejected)) == (1, 2, {"duplicate_conflict": 5})


def test_replicates_are_all_kept(ingest, long):
    long["replicates"] = ["glucose"]
    text = LONG_HEADER + "a,0,GLU,90,mg/dL\na,0,GLU,95,mg/dL\na,0,GLU,95,mg/dL\na,0,CREA,1,mg/dL\na,0,CREA,2,mg/dL\n"
    assert [row[3] for row in rows(ingest(text, long))] == [90, 95]
    assert ingest.report.totals.merged == 1 and ingest.report.totals.rejected.total() == 2
    first, (header, *lines) = ingest.report.sha256, text.splitlines(keepends=True)
    ingest(header + "".join(reversed(lines)), long)
    assert ingest.report.sha256 == first


def test_contradicting_statics_and_doses_are_rejected(ingest, visits):
    text = VISITS_HEADER + "p,0,90,,2,3,A,,61,F\np,0,,70,2,4,P,,62,F\n"
    cohort = ingest(text, visits)
    assert np.isnan(cohort.statics[0, 0]) and cohort.statics[0, 1] == 0
    assert len(cohort.doses) == 0
    assert dict(ingest.items["treatments"].rejected) == {"duplicate_conflict": 4}
    assert dict(ingest.items["statics"].rejected) == {"duplicate_conflict": 2}


def test_same_input_in_any_order_gives_the_same_cohort(ingest, long):
    lines = [f"{s},{t},{c},{v},mg/dL\n" for s in "cab" for t in (2, 0, 1) for c, v in (("GLU", 90 + t), ("CREA", 1))]
    lines += [lines[0], "a,1,GLU,77,mg/dL\n"]
    first = ingest(LONG_HEADER + "".join(lines), long)
    one = ingest.report.sha256
    ingest(LONG_HEADER + "".join(lines), long)
    again = ingest.report.sha256
    ingest(LONG_HEADER + "".join(reversed(lines)), long)
    assert one == again == ingest.report.sha256
    assert first.ids.tolist() == ["a", "b", "c"]


def test_dates_count_from_the_first_measurement(ingest, long):
    long["index"]["at"], long["shifted"] = "first", True
    long["tables"][0]["time"] = {"column": "day", "format": "%Y-%m-%d %H:%M"}
    text = (
        LONG_HEADER
        + "a,2150-03-31 12:00,GLU,90,mg/dL\na,2150-03-30 00:00,GLU,91,mg/dL\nb,2024-03-31 02:30,GLU,92,mg/dL\n"
    )
    assert [row[:2] for row in rows(ingest(text, long))] == [("a", 0.0), ("a", 1.5), ("b", 0.0)]


def test_dates_with_zones_are_compared_in_one(ingest, long):
    long["index"]["at"] = "first"
    long["tables"][0]["time"] = {"column": "day", "format": "%Y-%m-%dT%H:%M:%S%z"}
    text = LONG_HEADER + "a,2024-01-01T00:00:00+0000,GLU,90,mg/dL\na,2024-01-01T00:00:00-0600,GLU,91,mg/dL\n"
    assert [row[1] for row in rows(ingest(text, long))] == [0.0, 0.25]


def test_several_formats_are_read_where_just_one_fits(ingest, long):
    long["index"]["at"] = "first"
    long["tables"][0]["time"] = {"column": "day", "format": ["%Y-%m-%dT%H:%M", "%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y"]}
    days = ("2024-01-01", "2024-01-02T12:00", "13/01/2024", "02/03/2024", "03/03/2024")
    text = LONG_HEADER + "".join(f"a,{day},GLU,90,mg/dL\n" for day in days)
    assert ingest(text, long).observations.time.tolist() == [0, 1.5, 12, 62]
    assert dict(ingest.report.totals.rejected) == {"time_unreadable": 1}  # February or March


def pilot(folder, shape):
    """Three tables as trials have them: people with their index date, measurements and dose periods by date."""
    folder.mkdir()
    (folder / "persons.csv").write_text("id,sex,born,rfstdtc\n1,F,1951,2014-01-02\n2,M,1946,2014-05-22\n3,M,,\n")
    (folder / "labs_a.csv").write_text("id,time,test,value,unit\n1,2013-12-26,AST,20,U/L\n1,2014-01-03,AST,21,U/L\n")
    (folder / "labs_b.csv").write_text("id,time,test,value,unit\n2,2014-05-22,AST,30,U/L\n3,2014-05-22,AST,31,U/L\n")
    (folder / "doses.csv").write_text(
        "id,drug,dose,unit,begin,end\n1,PLACEBO,0,mg,2014-01-02,2014-01-16\n2,XAN,54,mg,2014-05-01,2014-06-01\n"
        "2,XAN,81,mg,2014-06-02,\n"
    )
    day = {"format": "%Y-%m-%d"}
    return {
        "name": "pilot",
        "time_unit": "d",
        "split_key": "pilot",
        "pseudonymise": "none",
        "before_index": shape,
        "index": {"event": "first dose", "at": "column"},
        "variables": [{"name": "ast", "unit": "U/L", "plausible": [1, 10000]}],
        "treatments": [{"name": "xanomeline", "unit": "mg", "kind": "setting"}],
        "statics": [{"name": "sex", "levels": ["f", "m"]}],
        "tables": [
            {
                "file": "persons.csv",
                "layout": "visits",
                "subject": "id",
                "index": {"column": "rfstdtc"} | day,
                "statics": [{"static": "sex", "column": "sex", "levels": {"F": "f", "M": "m"}}],
            },
            {
                "file": "labs_*.csv",
                "layout": "long",
                "subject": "id",
                "time": {"column": "time"} | day,
                "code": "test",
                "value": "value",
                "unit": "unit",
                "variables": [{"variable": "ast", "codes": ["AST"]}],
            },
            {
                "file": "doses.csv",
                "layout": "visits",
                "subject": "id",
                "treatments": [
                    {
                        "treatment": "xanomeline",
                        "column": "dose",
                        "unit_column": "unit",
                        "when": {"drug": ["XAN"]},
                        "start": {"column": "begin"} | day,
                        "stop": {"column": "end", "empty": "ongoing"} | day,
                    }
                ],
            },
        ],
    }


def test_several_tables_with_an_index_date(ingest, tmp_path):
    mapping = pilot(tmp_path / "pilot", "reject")
    cohort = ingest.source(tmp_path / "pilot", mapping)
    assert rows(cohort) == [("1", 1.0, "ast", 21, 0), ("2", 0.0, "ast", 30, 0)]
    assert cohort.doses.time.tolist() == [-21, 11] and cohort.doses.end.tolist() == [10, np.inf]
    files = {one["path"]: one for one in ingest.report.as_dict()["files"]}
    assert files["labs_a.csv"]["rejected"] == {"before_index": 1} and files["labs_b.csv"]["rejected"] == {
        "index_missing": 1
    }
    assert files["doses.csv"]["out_of_scope"] == 1 and files["persons.csv"]["accepted"] == 3
    assert ingest.report.subjects == {"read": 3, "kept": 3, "without_observations": 1}
    cohort = ingest.source(tmp_path / "pilot", mapping | {"before_index": "keep"})
    assert cohort.observations.time.tolist() == [-7, 1, 0]


def test_an_index_date_told_twice_differently_rejects_the_subject(ingest, tmp_path):
    mapping = pilot(tmp_path / "pilot", "reject")
    with (tmp_path / "pilot/persons.csv").open("a") as file:
        file.write("2,M,1946,2014-05-23\n")
    ingest.source(tmp_path / "pilot", mapping)
    assert ingest.items["measurements"].rejected["index_conflict"] == 1
    assert ingest.items["treatments"].rejected["index_conflict"] == 2


def test_folders_are_checked(ingest, tmp_path, long):
    mapping = pilot(tmp_path / "pilot", "reject")
    with pytest.raises(IngestError, match="table without a file"):
        ingest.source(tmp_path / "pilot", long)
    with pytest.raises(IngestError, match="one file for a mapping of several tables"):
        ingest.source(tmp_path / "pilot/doses.csv", mapping)
    (tmp_path / "pilot/doses.csv").rename(tmp_path / "doses.csv")
    with pytest.raises(IngestError, match="no file 'doses.csv'"):
        ingest.source(tmp_path / "pilot", mapping)
    (tmp_path / "pilot/doses.csv").symlink_to(tmp_path / "doses.csv")
    with pytest.raises(IngestError, match="symbolic link"):
        ingest.source(tmp_path / "pilot", mapping)


def key_file(folder, size=32, mode=0o600):
    path = folder / f"key-{size}-{mode}"
    path.write_bytes(bytes(range(size)))
    path.chmod(mode)
    return path


def test_pseudonyms_hide_ids_and_keep_folds(ingest, tmp_path, long):
    text = LONG_HEADER + "".join(f"canary{n},0,GLU,9{n},mg/dL\n" for n in range(6))
    plain = ingest(text, long)
    hidden = ingest(text, long | {"pseudonymise": "hmac"}, key_file=key_file(tmp_path))
    sums = dict(zip(plain.observations.value, plain.fold, strict=True))
    assert (
        dict(zip(hidden.observations.value[np.argsort(hidden.observations.subject)], hidden.fold, strict=True)) == sums
    )
    assert all(len(one) == 64 for one in hidden.ids) and not any("canary" in one for one in hidden.ids)
    assert all(b"canary" not in path.read_bytes() for path in ingest.output.rglob("*") if path.is_file())


def test_keys_are_checked(ingest, tmp_path, long):
    text, hidden = LONG_HEADER + GOOD_LONG, long | {"pseudonymise": "hmac"}
    for mapping, key, message in [
        (hidden, None, "no key"),
        (long, key_file(tmp_path), "no pseudonyms"),
        (hidden, tmp_path / "none", "no key file"),
        (hidden, key_file(tmp_path, 31), "31 bytes"),
        (hidden, key_file(tmp_path, 40, 0o644), "others may read"),
    ]:
        with pytest.raises(IngestError, match=message):
            ingest(text, mapping, key_file=key)
    inside = tmp_path / "c"
    inside.mkdir()
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(IngestError, match="lies in the cohort|there already"):
        ingest_csv(tmp_path / "d.csv", hidden, inside, key_file=key_file(inside))


def test_output_is_whole_or_not_there(tmp_path, long, monkeypatch):
    source, output = tmp_path / "d.csv", tmp_path / "out/cohort"
    source.write_text(LONG_HEADER + GOOD_LONG)

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("neurotwin.ingest.report.IngestReport.write", fail)
        with pytest.raises(Exception, match="NT-4000 the disk is full") as caught:
            ingest_csv(source, long, output)
    assert caught.value.exit_code == 4 and not list(output.parent.iterdir())
    output.mkdir()
    ingest_csv(source, long, output)
    held = ["cohort.json", "ingest_report.html", "ingest_report.json", "shards"]
    assert sorted(one.name for one in output.iterdir()) == held
    before = (output / "cohort.json").read_bytes()
    with pytest.raises(IngestError, match="there already"):
        ingest_csv(source, long, output)
    assert (output / "cohort.json").read_bytes() == before
    assert json.loads((output / "ingest_report.json").read_text())["cohort_sha256"] == json.loads(before)["sha256"]
    assert [one.name for one in output.parent.iterdir()] == ["cohort"]


def test_only_named_columns_are_kept(ingest, visits):
    text = VISITS_HEADER.replace("id,", "name,id,").strip() + ",note\n" + "canary," + GOOD_VISIT.strip() + ",canary\n"
    ingest(text, visits)
    assert ingest.report.files[0].columns_ignored == 2
    assert all(b"canary" not in path.read_bytes() for path in ingest.output.rglob("*") if path.is_file())


def test_other_dialects(ingest, visits):
    visits["tables"][0] |= {"delimiter": ";", "decimal": ",", "encoding": "latin-1", "multiline": True}
    text = VISITS_HEADER.replace(",", ";") + 'Jörg;0,5;90,25;"70";;;;;;\n"a\nb";0;1;1;;;;;;\nc;0;1.000,5;;;;;;;\n'
    cohort = ingest(text.encode("latin-1"), visits)
    assert rows(cohort) == [("Jörg", 0.5, "glucose", 90.25, 0), ("Jörg", 0.5, "protein", 70, 0)]
    assert dict(ingest.report.totals.rejected) == {"subject_unreadable": 1, "value_not_a_number": 1}


def test_flags_tell_copied_signals_and_hour_twins(ingest, visits, long):
    text = VISITS_HEADER + "".join(f"p{n},{n},{n + 20},{n + 20},,,,,,\n" for n in range(50))
    ingest(text, visits)
    assert ingest.report.flags == [
        {"what": "two variables have the same values", "share": 1.0, "variables": ["glucose", "protein"]}
    ]
    times = [float(n) for n in range(40)] + [n + 1 / 24 for n in range(10)]
    ingest(LONG_HEADER + "".join(f"a,{t!r},GLU,{90 + int(t)},mg/dL\n" for t in times), long)
    assert [flag["what"] for flag in ingest.report.flags] == ["values come again exactly one hour later"]
    out = io.StringIO()
    print_summary(ingest.report, Console(file=out, width=120))
    assert "look at: values come again" in out.getvalue() and "50" in out.getvalue()


def test_summary_names_reasons(ingest, long):
    ingest(LONG_HEADER + GOOD_LONG + "a,0,GLU,x,mg/dL\n", long, name="[bold]x.csv")
    out = io.StringIO()
    print_summary(ingest.report, Console(file=out, width=120))
    assert "value_not_a_number 1" in out.getvalue() and "[bold]x.csv" in out.getvalue()


def test_cohort_remembers_where_it_came_from(ingest, long):
    ingest(LONG_HEADER + GOOD_LONG, long)
    origin = Cohort.load(ingest.output).provenance
    assert origin["kind"] == "ingest csv" and origin["index_event"] == "admission" and origin["split_key"] == "labs"
    assert origin["files"][0]["sha256"] == hashlib.sha256((LONG_HEADER + GOOD_LONG).encode()).hexdigest()


@pytest.mark.parametrize("unit", ["8876", "2", "10", "0", "2.5", "1/2", "1.1", "1000", "9529"])
def test_a_number_alone_is_no_unit(ingest, long, unit):
    """UCUM reads it as a factor: 8876 mL would be a concept of OMOP gone astray."""
    text = LONG_HEADER + GOOD_LONG + f"1,0,VOL,3,{unit}\n1,0,TEMP,37,{unit}\n"
    ingest(text, long)
    assert ingest.items["measurements"].rejected == {"unit_unknown": 2}


@pytest.mark.parametrize(
    ("unit", "target", "value"),
    [("10*3/uL", "10*9/L", 3.0), ("10*9/L", "10*9/L", 3.0), ("%", "1", 0.03), ("1", "%", 300.0), ("10*6", "1", 3e6)],
)
def test_what_ucum_writes_with_numbers_stays_a_unit(ingest, long, unit, target, value):
    long["variables"][3] = {"name": "volume", "unit": target}
    cohort = ingest(LONG_HEADER + f"1,0,VOL,3,{unit}\n", long)
    assert cohort.observations.value.tolist() == pytest.approx([value], rel=1e-12)
