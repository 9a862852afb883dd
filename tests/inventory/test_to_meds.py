"""A cohort as a MEDS data set: valid for the standard's own checks, and the same cohort again when it is read back."""

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow.parquet as pq
import pytest
from toys import toy_cohort

from neurotwin.cohort import Cohort
from neurotwin.errors import CohortError
from neurotwin.ingest.meds import ingest_meds
from neurotwin.inventory.to_meds import read_epoch, subject_numbers, to_meds
from neurotwin.verbs.cohort import write_meds

meds = pytest.importorskip("meds", reason="extra ehr")


@pytest.fixture(scope="module")
def cohort():
    """A toy cohort in the order of its ids, with all that a code may say: censoring, post-dose, ongoing, missing."""
    made = toy_cohort(40)
    seen, doses, statics = made.observations, made.doses, made.statics.copy()
    censor = np.where(np.arange(len(seen)) % 7 == 0, -1, np.where(np.arange(len(seen)) % 11 == 0, 1, 0))
    ongoing = doses.end.copy()
    ongoing[np.flatnonzero(~doses.is_bolus)[::3]] = np.inf
    statics[3, 0] = statics[5, 1] = np.nan
    made = replace(
        made,
        statics=statics,
        observations=replace(seen, censor=censor.astype(np.int8), post_dose=np.arange(len(seen)) % 5 == 0),
        doses=replace(doses, end=ongoing),
    )
    made = made.take(np.argsort(made.ids))
    fields = {"split_key": "toy", "fold": made.fold, "provenance": made.provenance}
    return Cohort.build(made.schema, made.ids.tolist(), made.statics, made.observations, made.doses, **fields)


def tables(folder):
    return {path.relative_to(folder).as_posix(): pq.read_table(path) for path in folder.glob("data/*/*.parquet")}


def test_the_data_set_is_valid(cohort, tmp_path):
    done = to_meds(cohort, tmp_path / "meds")
    shards = tables(done.folder)
    assert sorted(shards) == ["data/held_out/0.parquet", "data/train/0.parquet", "data/tuning/0.parquet"]
    assert sum(len(one) for one in shards.values()) == done.events
    for table in shards.values():
        meds.DataSchema.validate(table)
        subject = table["subject_id"].to_numpy()
        time = table["time"].fill_null(datetime(1, 1, 1)).cast("int64").to_numpy()
        assert len(np.unique(subject)) == (np.diff(subject) != 0).sum() + 1  # contiguous
        assert all((np.diff(time[subject == one]) >= 0).all() for one in np.unique(subject))
    codes = pq.read_table(done.folder / meds.code_metadata_filepath)
    meds.CodeMetadataSchema.validate(codes)
    used = {code for table in shards.values() for code in table["code"].to_pylist()}
    assert set(codes["code"].to_pylist()) == used
    units = dict(zip(codes["code"].to_pylist(), codes["unit"].to_pylist(), strict=True))
    assert units["size"] == units["size//below"] == "mm" and units["drip//start"] == "mg/d" and units["sex//f"] is None
    told = json.loads((done.folder / meds.dataset_metadata_filepath).read_text())
    assert told["meds_version"].startswith("0.4") and told["dataset_name"] == "toy"


def test_the_splits_are_the_folds(cohort, tmp_path):
    done = to_meds(cohort, tmp_path / "meds")
    table = pq.read_table(done.folder / meds.subject_splits_filepath)
    meds.SubjectSplitSchema.validate(table)
    splits = dict(zip(table["subject_id"].to_pylist(), table["split"].to_pylist(), strict=True))
    wanted = ["train", "train", "train", meds.tuning_split, meds.held_out_split]
    assert splits == {int(one): wanted[fold] for one, fold in zip(subject_numbers(cohort), cohort.fold, strict=True)}
    for name, shard in tables(done.folder).items():
        assert {splits[one] for one in shard["subject_id"].to_pylist()} == {name.split("/")[1]}


@pytest.mark.parametrize("epoch", ["2000-01-01", "2150-06-30T12:00"])
def test_there_and_back(cohort, tmp_path, epoch):
    to_meds(cohort, tmp_path / "meds", epoch=read_epoch(epoch))
    report = ingest_meds(tmp_path / "meds", tmp_path / "meds/metadata/mapping.yaml", tmp_path / "back", progress=False)
    assert report.balanced and not report.totals.rejected and not report.totals.merged
    back = Cohort.load(tmp_path / "back")
    assert back.schema == cohort.schema
    assert back.ids.tolist() == cohort.ids.tolist() and back.fold.tolist() == cohort.fold.tolist()
    assert np.array_equal(back.statics, cohort.statics, equal_nan=True)
    for name in ("observations", "doses"):
        for key, column in vars(getattr(cohort, name)).items():
            other = getattr(getattr(back, name), key)
            if key in ("time", "end"):  # microseconds
                assert np.allclose(other, column, rtol=0, atol=1e-11, equal_nan=True), (name, key)
            else:
                assert np.array_equal(other, column), (name, key)


def test_replicates_and_ids_that_are_no_numbers_come_back(cohort, tmp_path):
    seen = cohort.observations
    twice = seen.concatenate(seen, replace(seen, value=seen.value * 1.25))
    made = Cohort.build(
        cohort.schema, [f"s{one}" for one in cohort.ids], cohort.statics, twice, cohort.doses, split_key="toy"
    )
    to_meds(made, tmp_path / "meds")
    assert json.loads((tmp_path / "meds/metadata/mapping.yaml").read_text())["replicates"] == ["size", "level"]
    assert subject_numbers(made).tolist() == list(range(1, 41))
    report = ingest_meds(tmp_path / "meds", tmp_path / "meds/metadata/mapping.yaml", tmp_path / "back", progress=False)
    back = Cohort.load(tmp_path / "back")
    assert not report.totals.rejected and len(back.observations) == len(twice)
    assert set(back.ids) == set(made.ids)


def test_nothing_is_left_where_it_cannot_be_done(cohort, tmp_path):
    with pytest.raises(CohortError, match="leave the calendar.*another epoch"):
        to_meds(cohort, tmp_path / "meds", epoch=datetime(1850, 1, 1))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").write_text("mine")
    with pytest.raises(CohortError, match="there already"):
        to_meds(cohort, tmp_path / "full")
    with pytest.raises(CohortError, match="no date"):
        read_epoch("yesterday")
    assert [one.name for one in tmp_path.iterdir()] == ["full"]
    (tmp_path / "file").write_text("")
    cohort.save(tmp_path / "cohort")
    with pytest.raises(CohortError, match="check the path"):
        write_meds(tmp_path / "cohort", tmp_path / "file" / "meds", "2000-01-01")


def test_the_same_cohort_gives_the_same_bytes(cohort, tmp_path, capsys):
    cohort.save(tmp_path / "cohort")
    for name in "ab":
        write_meds(tmp_path / "cohort", tmp_path / name, "2000-01-01")
    assert "40 subjects" in capsys.readouterr().err
    files = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in "ab"]
    assert files[0] == files[1]


def test_the_folds_of_pseudonyms_come_back(cohort, tmp_path):
    """They were told by ids that nobody knows any more."""
    folds = (cohort.fold + 1) % 5
    made = replace(cohort, fold=folds.astype(np.int8))
    to_meds(made, tmp_path / "meds")
    ingest_meds(tmp_path / "meds", tmp_path / "meds/metadata/mapping.yaml", tmp_path / "back", progress=False)
    assert Cohort.load(tmp_path / "back").fold.tolist() == folds.tolist() != cohort.fold.tolist()
