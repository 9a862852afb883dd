"""Runs: whole, resumed, refused; and records that no model may be told."""

import dataclasses
import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from toy_bundles import BUNDLES, make_cohort

from neurotwin.cohort import Cohort
from neurotwin.errors import CohortError, ConfigError, DocumentError, IntegrityError, OutputInUseError, ResourceError
from neurotwin.events import Doses, Observations
from neurotwin.follow_up import FollowUp
from neurotwin.schema import Outcome, Schema, Static, Treatment, Variable
from neurotwin.score import Scorer, make_job, parts_of, score_cohort
from neurotwin.score.answers import columns_of
from neurotwin.score.folder import RunFolder, read_summary, write_part

GRU = BUNDLES / "toy_gru@0.1.0"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """40 subjects on disk."""
    folder = tmp_path_factory.mktemp("small") / "cohort"
    make_cohort(40).save(folder, shard_size=20)
    return folder


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    """A job, and the folder of its run."""
    job, folder = make_job(GRU, small, part_size=10), tmp_path_factory.mktemp("finished") / "out"
    score_cohort(job, folder, workers=1)
    return job, folder


def rows_of(folder):
    return {row["subject"]: row for path in folder.glob("part-*") for row in pq.read_table(path).to_pylist()}


def test_everybody_is_answered_once(finished, small):
    _, folder = finished
    assert sorted(rows_of(folder)) == sorted(Cohort.load(small).ids)
    summary = read_summary(folder)
    assert sum(summary.values()) == 40 and summary["quarantined"] == 0
    assert not list(folder.glob(".*.draft"))


def test_done_is_done(finished):
    job, folder = finished
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    again = score_cohort(job, folder, workers=1)
    assert (again.fresh, again.subjects) == (0, read_summary(folder))
    assert before == {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def test_a_part_that_was_damaged_or_lost_is_made_again(finished, tmp_path, monkeypatch):
    job, folder = finished
    import shutil

    copy = shutil.copytree(folder, tmp_path / "copy")
    whole = {path.name: path.read_bytes() for path in copy.glob("part-*")}
    (copy / "part-00001.parquet").write_bytes(b"PAR1")
    (copy / "part-00002.parquet").unlink()
    (copy / "ledger.jsonl").write_text((copy / "ledger.jsonl").read_text() + '{"number": 3, "sha')
    (copy / ".part-00003.parquet.1.x.draft").write_text("half")
    assert score_cohort(job, copy, workers=1).fresh == 20
    assert whole == {path.name: path.read_bytes() for path in copy.glob("part-*")} and not list(copy.glob(".*.draft"))
    for line in (copy / "ledger.jsonl").read_text().splitlines():
        json.loads(line)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("after", {"after": (5.0,)}),
        ("plan", {"plan": "recorded"}),
        ("cut", {"cut": 50.0}),
        ("bundle", {"bundle": str(BUNDLES / "toy_node@0.1.0")}),
        ("cohort", {"cohort_sha256": "0" * 64}),
    ],
)
def test_another_run_is_refused(finished, key, change):
    job, folder = finished
    other = dataclasses.replace(job, **change)
    if "bundle" in change:
        other = dataclasses.replace(other, bundle_sha256=make_job(change["bundle"], job.cohort).bundle_sha256)
    with pytest.raises(ConfigError, match=f"a run with another {key}"), RunFolder.hold(folder, other):
        pass


def test_a_second_run_at_once_is_refused(finished):
    job, folder = finished
    with RunFolder.hold(folder, job), pytest.raises(OutputInUseError, match="another run writes there"):
        score_cohort(job, folder, workers=1)


def test_a_folder_with_something_else_is_refused(finished, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="something else"):
        score_cohort(finished[0], tmp_path, workers=1)
    (tmp_path / ".lock").write_text("")  # as a training run leaves it
    with pytest.raises(ConfigError, match="something else"):
        score_cohort(finished[0], tmp_path, workers=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):
        score_cohort(finished[0], tmp_path / "file", workers=1)


def test_a_bundle_that_was_changed_is_refused(small, finished):
    job = dataclasses.replace(finished[0], bundle_sha256="0" * 64)
    with pytest.raises(IntegrityError, match="this worker's bundle has sha256"):
        Scorer.load(job)


@pytest.mark.skipif(os.name != "posix", reason="a file size limit stands for a full disk")
def test_a_full_disk_is_told(tmp_path, monkeypatch):
    import errno

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="whole parts are kept"):
        write_part(tmp_path, "part-00000.parquet", {"t": np.zeros(3)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("after", ["0", "-5", "x", "30,nan", "30 fortnights", "5000", "30,"])
def test_times_that_cannot_be_asked_about(after, small):
    with pytest.raises(ConfigError, match="--after"):
        make_job(GRU, small, after=after)


def test_times_in_another_unit(small):
    assert make_job(GRU, small, after="2,1 wk").after == (7.0, 14.0)
    assert make_job(GRU, small).after == (30.0, 90.0)


def test_a_plan_that_cannot_be_read(small, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text('{"name": "x"}')
    for plan in (str(path), str(tmp_path / "none.json")):
        with pytest.raises(DocumentError):
            make_job(GRU, small, plan=plan)


def scored(cohort, folder, **asked):
    """Rows by subject, and the quarantine, of a cohort with another schema or with records that are damaged."""
    cohort.save(folder)
    job = make_job(GRU, folder, after="30", **asked)
    scorer = Scorer.load(job)
    found = scorer.score(parts_of(folder, 1000)[0])
    columns = columns_of(found.answers, scorer.predictor)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {row["subject"]: row for row in reversed(rows)}, dict(found.quarantined), scorer


def test_a_number_that_is_not_one_is_quarantined(tmp_path):
    cohort = make_cohort(12)
    value, amount = cohort.observations.value.copy(), cohort.doses.amount.copy()
    value[np.flatnonzero(cohort.observations.subject == 3)[1]] = np.nan
    amount[np.flatnonzero(cohort.doses.subject == 7)[0]] = np.inf
    cohort = dataclasses.replace(
        cohort,
        observations=dataclasses.replace(cohort.observations, value=value),
        doses=dataclasses.replace(cohort.doses, amount=amount),
    )
    rows, quarantined, _ = scored(cohort, tmp_path / "c")
    assert quarantined == dict.fromkeys(("s3", "s7"), "a number in its record is not finite")
    assert sorted(rows) == sorted(set(cohort.ids) - {"s3", "s7"})


def test_who_is_no_longer_followed_at_the_cut_is_quarantined(tmp_path):
    toy = make_cohort(12)
    schema = toy.schema.model_copy(update={"outcomes": (Outcome(name="death"),)})
    early = toy.observations.take((toy.observations.time <= 90) | (toy.observations.subject > 3))
    given = toy.doses.take((toy.doses.time <= 90) | (toy.doses.subject > 3))
    follow_up = FollowUp.of(np.where(np.arange(12) > 3, 300.0, 90.0), np.where(np.arange(12) > 3, -1, 0))
    cohort = Cohort.build(schema, toy.ids.tolist(), toy.statics, early, given, split_key="f", follow_up=follow_up)
    rows, quarantined, _ = scored(cohort, tmp_path / "c", cut=100.0)
    assert quarantined == dict.fromkeys(("s0", "s1", "s2", "s3"), "its follow-up ended before the cut")
    assert len(rows) == 8


def test_other_units_are_converted_and_unknown_channels_noted(tmp_path):
    toy = make_cohort(12)
    schema = Schema(
        name="elsewhere",
        time_unit="h",
        variables=(
            Variable(name="albumin", unit="g/L"),
            Variable(name="temperature", unit="Cel"),
            Variable(name="volume", unit="mL"),
        ),
        treatments=(
            Treatment(name="radium", unit="Gy", kind="bolus"),
            Treatment(name="chemo", unit="mg", kind="bolus"),
        ),
        statics=(Static(name="sex", levels=("x", "m", "f")), Static(name="age", unit="a")),
    )
    seen = toy.observations
    observations = Observations.of(seen.subject, seen.time * 24, np.where(seen.variable == 0, 2, 1), seen.value)
    chemo = toy.doses.take(toy.doses.treatment == 0)
    doses = Doses.of(np.r_[chemo.subject, 5], np.r_[chemo.time * 24, 48.0], np.nan, np.r_[np.ones(len(chemo)), 0],
                     np.r_[chemo.amount, 2.0])  # fmt: skip
    statics = np.stack([np.where(toy.statics[:, 1] == 0, 2, 1), toy.statics[:, 0]], axis=1)
    statics[6, 0] = 0  # a level that the bundle does not know
    ids = toy.ids.tolist()
    mine, _, scorer = scored(Cohort.build(schema, ids, statics, observations, doses, split_key="e"), tmp_path / "mine")
    plain = Cohort.build(toy.schema, ids, toy.statics, toy.observations, chemo, split_key="e")
    theirs, _, _ = scored(plain, tmp_path / "theirs")
    assert scorer.matching.ignored == ("albumin",)
    assert mine["s5"]["reasons"] == "unknown_treatment" and mine["s6"]["reasons"].split()[0] == "implausible_input"
    for name in set(ids) - {"s5", "s6"}:
        assert mine[name]["status"] == theirs[name]["status"]
        assert mine[name]["t"] == pytest.approx(theirs[name]["t"], nan_ok=True)
        assert mine[name]["median"] == pytest.approx(theirs[name]["median"], rel=1e-5, nan_ok=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"time_unit": "1"}, "time unit"),
        ({"variables": (Variable(name="albumin", unit="g/L"),)}, "none of the bundle's variables"),
        ({"variables": (Variable(name="volume", unit="kg"),)}, "volume in kg"),
        ({"treatments": (Treatment(name="chemo", unit="mg", kind="setting"),)}, "chemo is a setting"),
        ({"statics": (Static(name="sex", unit="1"),)}, "covariate sex of another type"),
    ],
)
def test_a_cohort_that_does_not_fit_is_refused(change, told, tmp_path):
    plain = {"time_unit": "d", "variables": (Variable(name="volume", unit="cm3"),), "treatments": (), "statics": ()}
    schema = Schema(name="other", **{**plain, **change})
    nothing = Observations.of([], [], [], [])
    Cohort.build(schema, ["a"], np.zeros((1, len(schema.statics))), nothing, Doses.of(), split_key="x").save(tmp_path)
    with pytest.raises(CohortError, match=told):
        Scorer.load(make_job(GRU, tmp_path))
