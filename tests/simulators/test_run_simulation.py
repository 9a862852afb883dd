"""run_simulation: the same bytes whatever the workers, restarts and accidents."""

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock
from simulator_cases import ROOT, configured
from test_simulate import equal

from neurotwin.cohort import Cohort
from neurotwin.disk import draft_path
from neurotwin.errors import CohortError, OutputInUseError, ResourceError, SimulationError
from neurotwin.simulators import run_simulation as module
from neurotwin.simulators.population import Published
from neurotwin.simulators.run_simulation import run_simulation
from neurotwin.simulators.simulate import simulate
from neurotwin.solvers import TorchEngine

PARTS = (configured("simulator", "geng_nsclc"), Published(), configured("protocol", "daily_confounded"))


def run(output, n_subjects=50, seed=3, shard_size=10, **more):
    return run_simulation(
        *PARTS, n_subjects=n_subjects, seed=seed, output=output, shard_size=shard_size, progress=False, **more
    )


def content(folder):
    """Every file below a folder, hashed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "cohort"
    return run(folder), content(folder), folder


def test_the_cohort_is_that_of_simulate(whole):
    report, files, folder = whole
    assert report.n_subjects == 50 and report.shards_made == 5 and not any(report.rejected.values())
    assert len(files) == 16 and not (folder / ".simulation").exists()
    assert equal(Cohort.load(folder, verify=True), simulate(*PARTS, n_subjects=50, seed=3))


def test_two_workers_leave_the_same_bytes(whole, tmp_path):
    report = run(tmp_path / "cohort", workers=2)
    assert report.sha256 == whole[0].sha256 and content(tmp_path / "cohort") == whole[1]


def test_another_seed_leaves_other_bytes(whole, tmp_path):
    assert run(tmp_path / "cohort", seed=4).sha256 != whole[0].sha256


def test_a_finished_cohort_is_left_as_it_is(whole):
    report, files, folder = whole
    again = run(folder)
    assert again == report._replace(shards_made=0) and content(folder) == files
    with pytest.raises(CohortError, match="another cohort"):
        run(folder, seed=4)
    assert content(folder) == files


def interrupted(folder, after=2, monkeypatch=None):
    """A run that fails after some shards."""
    made = []

    def failing(*arguments):
        if len(made) == after:
            raise KeyboardInterrupt
        made.append(arguments)
        return original(*arguments)

    original = module._make_shard
    monkeypatch.setattr(module, "_make_shard", failing)
    with pytest.raises(KeyboardInterrupt):
        run(folder)
    monkeypatch.setattr(module, "_make_shard", original)
    assert not (folder / "cohort.json").exists()


def test_an_interrupted_run_is_completed(whole, tmp_path, monkeypatch):
    folder = tmp_path / "cohort"
    interrupted(folder, 2, monkeypatch)
    report = run(folder)
    assert report.shards_made == 3 and report.sha256 == whole[0].sha256 and content(folder) == whole[1]


@pytest.mark.parametrize("damage", ["torn file", "no note", "left draft", "lost shard"])
def test_what_is_not_whole_is_made_again(whole, tmp_path, monkeypatch, damage):
    folder = tmp_path / "cohort"
    interrupted(folder, 2, monkeypatch)
    if damage == "torn file":
        path = folder / "shards" / "00001" / "doses.parquet"
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "no note":
        (folder / ".simulation" / "00001.json").unlink()
    elif damage == "left draft":
        shutil.copytree(folder / "shards" / "00001", draft_path(folder / "shards" / "00002"))
    else:
        shutil.rmtree(folder / "shards" / "00001")
    report = run(folder)
    assert report.shards_made == (3 if damage == "left draft" else 4) and content(folder) == whole[1]


def test_an_unfinished_run_of_other_settings_is_not_touched(tmp_path, monkeypatch):
    folder = tmp_path / "cohort"
    interrupted(folder, 2, monkeypatch)
    before = content(folder)
    with pytest.raises(CohortError, match="unfinished simulation with other settings"):
        run(folder, seed=4)
    assert content(folder) == before


def test_shards_of_unknown_origin_are_not_touched(tmp_path):
    (tmp_path / "shards" / "00000").mkdir(parents=True)
    (tmp_path / "shards" / "00000" / "mine.txt").write_text("precious")
    with pytest.raises(CohortError, match="unknown origin"):
        run(tmp_path)
    assert list(content(tmp_path)) == ["shards/00000/mine.txt"]


def test_a_folder_that_another_run_holds_is_refused(tmp_path):
    (tmp_path / ".simulation").mkdir()
    with FileLock(tmp_path / ".simulation" / "lock"), pytest.raises(OutputInUseError, match="another run"):
        run(tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CohortError, match="not a directory"):
        run(tmp_path / "file" / "cohort")


SCRIPT = """
import sys
from neurotwin.compose import build, compose
from neurotwin.simulators.run_simulation import run_simulation
if __name__ == "__main__":
    config = compose("simulate")
    parts = [build(config[name], name) for name in ("simulator", "population", "protocol")]
    run_simulation(*parts, n_subjects=300, seed=3, output=sys.argv[1], shard_size=3, workers=2, progress=False)
"""


@pytest.mark.fault
def test_a_killed_run_is_completed_to_the_same_bytes(tmp_path, tally):
    script, folder = tmp_path / "script.py", tmp_path / "killed"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen([sys.executable, str(script), str(folder)], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list((folder / ".simulation").glob("0*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(list((folder / ".simulation").glob("0*.json")))
    # A hundred shards: the run cannot end between the look and the kill.
    assert 3 <= kept < 100
    # The lock goes with its holder, and the workers go with their parent: the folder is free at once.
    report = run(folder, n_subjects=300, shard_size=3)
    assert 0 < report.shards_made <= 97
    reference = tmp_path / "reference"
    run(reference, n_subjects=300, shard_size=3)
    assert content(folder) == content(reference)
    tally("kill -9 of a simulation", tried=1)


@pytest.mark.fault
def test_a_full_disk_keeps_whole_shards(whole, tmp_path, tally):
    """A limit on the size of files stands for the full disk."""
    folder = tmp_path / "cohort"
    largest = max(path.stat().st_size for path in whole[2].rglob("*.parquet"))
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 1, before[1]))
        with pytest.raises(ResourceError, match="disk is full"):
            run(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not (folder / "cohort.json").exists()
    assert run(folder).sha256 == whole[0].sha256 and content(folder) == whole[1]
    tally("disk full in a simulation", tried=1)


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("workers is 0", {"workers": 0}),
        ("shard_size is 0", {"shard_size": 0}),
        ("workers is 1.5", {"workers": 1.5}),
        ("n_subjects is -3", {"n_subjects": -3}),
    ],
)
def test_numbers_out_of_range_leave_no_folder(tmp_path, what, more):
    with pytest.raises(SimulationError, match=what):
        run(tmp_path / "cohort", **more)
    assert not (tmp_path / "cohort").exists()


def test_rejected_trajectories_fail_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(
        PARTS[0].__class__, "states", (PARTS[0].states[0]._replace(bounds=(0.0, 20.0)), PARTS[0].states[1])
    )
    with pytest.raises(SimulationError, match="out_of_bounds"):
        run(tmp_path / "cohort")
    assert not (tmp_path / "cohort" / "cohort.json").exists()
    report = run(tmp_path / "more", max_rejected=0.9)
    assert report.rejected["out_of_bounds"] == 50 - report.n_subjects > 0


def test_a_run_that_fails_at_once_leaves_the_folder_free(tmp_path):
    model = replace(PARTS[0], growth_rate=0.01)
    with pytest.raises(SimulationError, match="the population draws it"):
        run_simulation(model, *PARTS[1:], n_subjects=10, seed=1, output=tmp_path / "cohort", progress=False)
    assert not content(tmp_path / "cohort")
    run(tmp_path / "cohort")


def test_progress_goes_to_stderr(tmp_path, capsys):
    run_simulation(*PARTS, n_subjects=20, seed=1, output=tmp_path / "cohort", shard_size=10)
    out, err = capsys.readouterr()
    assert out == "" and "Simulating" in err


def test_another_engine_is_told_and_does_the_same(tmp_path):
    report = run(tmp_path / "cohort", method="rk4", engine=TorchEngine(), workers=2, n_subjects=20)
    made, expected = Cohort.load(report.folder), simulate(*PARTS, n_subjects=20, seed=3, method="rk4")
    assert np.allclose(made.observations.value, expected.observations.value, rtol=1e-9)
    told = made.provenance
    engine = {"dtype": "float64", "device": "cpu", "compiled": False}
    assert told["engine"].items() >= engine.items() and told["engine"]["_target_"].endswith("TorchEngine")
    assert "torch" in told["versions"] and "NumpyEngine" in expected.provenance["engine"]["_target_"]
    with pytest.raises(CohortError, match="another cohort"):
        run(tmp_path / "cohort", method="rk4", n_subjects=20)
