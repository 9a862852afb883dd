"""Who a subject is and where it belongs: prefixes of ids, folds that a source tells, ages from births."""

import hashlib

import numpy as np
import pytest
from ingest_cases import LONG_HEADER

from neurotwin.cohort import Cohort, fold_of
from neurotwin.errors import IngestError, UnitError
from neurotwin.ingest.csv import ingest_csv
from neurotwin.ingest.mapping_file import parse_mapping

ROW = "{},0,GLU,90,mg/dL\n"


def test_a_prefix_is_no_part_of_an_id(ingest, long):
    long["subject_prefix"] = "p"
    rows = "".join(map(ROW.format, ["p1", "p007", "1", "P2", "p", "pp3", ""]))
    cohort = ingest(LONG_HEADER + rows, long)
    assert cohort.ids.tolist() == ["007", "1", "p3"]
    assert cohort.fold.tolist() == [fold_of("labs", one) for one in ("007", "1", "p3")]
    assert ingest.report.totals.rejected == {"subject_without_prefix": 3, "subject_missing": 1}
    assert ingest.items["measurements"].rejected == {"subject_without_prefix": 3, "subject_missing": 1}


def test_the_same_people_have_the_same_pseudonyms_with_a_prefix_and_without(ingest, long, tmp_path):
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    long["pseudonymise"] = "hmac"
    plain = ingest(LONG_HEADER + ROW.format("1"), long, key_file=key)
    long["subject_prefix"] = "Patient/"
    assert ingest(LONG_HEADER + ROW.format("Patient/1"), long, key_file=key).ids.tolist() == plain.ids.tolist()


def folded(long, **fold):
    long["tables"][0]["fold"] = {"column": "part", **fold}
    return long


def rows(*cells):
    lines = [f"{one},{day},GLU,{90 + day},mg/dL,{part}\n" for day, (one, part) in enumerate(cells)]
    return LONG_HEADER.replace("\n", ",part\n") + "".join(lines)


def test_a_column_may_tell_the_fold(ingest, long):
    cohort = ingest(rows(("a", "4"), ("b", "0"), ("a", ""), ("c", "3"), ("a", "4")), folded(long))
    assert dict(zip(cohort.ids, cohort.fold, strict=True)) == {"a": 4, "b": 0, "c": 3}
    assert len(cohort.observations) == 5


def test_a_split_of_several_folds_is_told_by_the_id(ingest, long):
    ids = [f"s{number}" for number in range(60)]
    mapping = folded(long, folds={"train": [0, 1, 2], "held_out": 4})
    cohort = ingest(rows(*((one, "train" if at % 3 else "held_out") for at, one in enumerate(ids))), mapping)
    for one, fold in zip(cohort.ids, cohort.fold, strict=True):
        number = int(hashlib.sha256(f"labs:{one}".encode()).hexdigest(), 16) % 3
        assert fold == (number if ids.index(one) % 3 else 4)
    assert set(cohort.fold) == {0, 1, 2, 4}


def test_a_subject_without_a_fold_or_with_two_stays_out(ingest, long):
    text = rows(("a", "4"), ("b", ""), ("c", "1"), ("c", "2"), ("d", "5"), ("e", "2"))
    cohort = ingest(text, folded(long))
    assert cohort.ids.tolist() == ["a", "e"]
    expected = {"fold_missing": 2, "fold_conflict": 2}
    assert ingest.items["measurements"].rejected == expected and ingest.report.totals.rejected == expected
    assert "fold_unknown" in ingest.report.files[0].places


def test_a_table_may_tell_nothing_but_folds(long, tmp_path):
    (tmp_path / "labs.csv").write_text(LONG_HEADER + "".join(map(ROW.format, "abc")))
    (tmp_path / "parts.csv").write_text("who,part\na,1\nb,4\nc,nowhere\nd,2\n,2\ne,\n")
    long["tables"][0]["file"] = "labs.csv"
    parts = {"file": "parts.csv", "layout": "visits", "subject": "who", "fold": {"column": "part"}}
    long["tables"].append(parts)
    report = ingest_csv(tmp_path, long, tmp_path / "cohort", progress=False)
    cohort = Cohort.load(tmp_path / "cohort")
    assert dict(zip(cohort.ids, cohort.fold, strict=True)) == {"a": 1, "b": 4}
    told = report.files[1]
    assert report.balanced and (told.accepted, told.out_of_scope) == (3, 1)
    assert told.rejected == {"fold_unknown": 1, "subject_missing": 1}
    assert report.files[0].rejected == {"fold_missing": 1}


@pytest.mark.parametrize("folds", [{"train": 5}, {"train": -1}, {"train": []}, {"train": "0"}])
def test_folds_that_are_none_are_refused(long, folds):
    with pytest.raises(IngestError):
        parse_mapping(folded(long, folds=folds))


PEOPLE = "id,born,sex\na,1950-07-01,F\nb,1960,M\nc,2020-01-01,F\nd,,M\ne,1880-01-01,F\nf,1950-01-01,F\nf,1950-01-02,F\n"


@pytest.fixture
def born(tmp_path):
    """A folder and a mapping whose static covariate `age` comes from a birth."""
    (tmp_path / "people.csv").write_text(PEOPLE)
    lines = [f"{one},{day}-07-01,90\n" for one in "abcdef" for day in (2010, 2011)]
    (tmp_path / "labs.csv").write_text("id,taken,glu\n" + "".join(lines))
    birth = {"column": "born", "format": ["%Y-%m-%d", "%Y"], "between": ["1850-01-01", "2100-01-01"], "age": "age"}
    date = {"column": "taken", "format": "%Y-%m-%d"}
    variables = [{"variable": "glucose", "column": "glu", "unit": "mg/dL"}]
    return tmp_path, {
        "name": "born", "time_unit": "d", "index": {"event": "first", "at": "first"}, "split_key": "born",
        "pseudonymise": "none", "variables": [{"name": "glucose", "unit": "mg/dL"}],
        "statics": [{"name": "age", "unit": "a", "plausible": [0, 120]}, {"name": "sex", "levels": ["F", "M"]}],
        "tables": [
            {"file": "labs.csv", "layout": "visits", "subject": "id", "time": date, "variables": variables},
            {"file": "people.csv", "layout": "visits", "subject": "id", "birth": birth,
             "statics": [{"static": "sex", "column": "sex"}]},
        ],
    }  # fmt: skip


def test_an_age_comes_from_the_birth(born):
    folder, mapping = born
    report = ingest_csv(folder, mapping, folder / "cohort", progress=False)
    cohort = Cohort.load(folder / "cohort")
    ages = dict(zip(cohort.ids, cohort.statics[:, 0], strict=True))
    # A year of UCUM has 365.25 days; of "1960" the first day counts. Before their birth c has no measurement.
    assert ages["a"] == pytest.approx(21915 / 365.25, rel=1e-12)
    assert ages["b"] == pytest.approx(18444 / 365.25, rel=1e-12)
    assert [one for one in "cdef" if one in ages and np.isfinite(ages[one])] == []
    account = report.items.by_name["age"]
    assert report.balanced and account.as_dict() == {
        "read": 5, "accepted": 2, "merged": 0, "out_of_scope": 0,
        "rejected": {"duplicate_conflict": 1, "implausible": 1, "index_missing": 1},
    }  # fmt: skip


def test_an_age_in_another_unit(born):
    folder, mapping = born
    mapping["statics"][0] = {"name": "age", "unit": "mo", "plausible": [0, 1440]}
    ingest_csv(folder, mapping, folder / "cohort", progress=False)
    assert np.nanmin(Cohort.load(folder / "cohort").statics[:, 0]) == pytest.approx(18444 / 365.25 * 12, rel=1e-12)


def test_an_age_that_cannot_be_is_refused(born):
    _, mapping = born
    mapping["tables"][1]["statics"].append({"static": "age", "column": "age", "unit": "a"})
    with pytest.raises(IngestError, match="no column gives it"):
        parse_mapping(mapping)
    mapping["tables"][1]["statics"].pop()
    mapping["tables"][1]["birth"]["age"] = "sex"
    with pytest.raises(IngestError, match="sex is the age that a birth tells"):
        parse_mapping(mapping)
    mapping["tables"][1]["birth"]["age"] = "age"
    mapping["statics"][0]["unit"] = "kg"
    with pytest.raises(UnitError, match="cannot convert"):
        parse_mapping(mapping)


def test_a_row_without_anything_is_out_of_scope_though_it_may_tell_the_index(ingest, visits):
    visits["index"] = {"event": "admission", "at": "column"}
    visits["tables"][0]["index"] = {"column": "admitted", "unit": "d"}
    header = "id,day,glu,prot,rate,until,arm,shot,age,sex,admitted\n"
    text = header + "a,1,90,,,,,,,,0\na,2,,,,,,,,,\nb,1,,,,,,,,,\nc,1,80,,,,,,,,\nd,,,,,,,,,,5\n"
    cohort = ingest(text, visits)
    account = ingest.report.totals
    assert cohort.ids.tolist() == ["a"]
    assert (account.accepted, account.out_of_scope, dict(account.rejected)) == (2, 2, {"index_missing": 1})


def test_a_row_that_is_there_for_the_index_alone_must_tell_it(long, tmp_path):
    (tmp_path / "labs.csv").write_text(LONG_HEADER + ROW.format("a"))
    (tmp_path / "index.csv").write_text("who,admitted\na,0\nb,\n")
    long["index"] = {"event": "admission", "at": "column"}
    long["tables"][0]["file"] = "labs.csv"
    index = {"column": "admitted", "unit": "d"}
    long["tables"].append({"file": "index.csv", "layout": "visits", "subject": "who", "index": index})
    report = ingest_csv(tmp_path, long, tmp_path / "cohort", progress=False)
    assert report.balanced and report.files[1].rejected == {"index_missing": 1} and report.files[1].accepted == 1


def test_an_age_keeps_nobody_whose_fold_is_not_known(born):
    folder, mapping = born
    mapping["index"] = {"event": "admission", "at": "column"}
    table = mapping["tables"][1]
    table |= {"index": {"column": "in", "format": "%Y-%m-%d"}, "fold": {"column": "part"}}
    (folder / "people.csv").write_text(
        "id,born,sex,in,part\na,1950-07-01,F,2010-01-01,2\nb,1960,M,2010-01-01,\nc,1960,M,2010-01-01,1\n"
        "c,1960,M,2010-01-01,2\n"
    )
    report = ingest_csv(folder, mapping, folder / "cohort", progress=False)
    cohort = Cohort.load(folder / "cohort")
    assert report.balanced and cohort.ids.tolist() == ["a"] and cohort.fold.tolist() == [2]
    assert report.items.by_name["age"].rejected == {"fold_missing": 1, "fold_conflict": 1}
