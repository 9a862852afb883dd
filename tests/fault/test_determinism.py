"""The same seed: the same cohort, weights and graphs in fresh processes, whoever loads the data."""

import json
import os
import subprocess
import sys

import pytest
from training_processes import Training, file_hash, result

pytestmark = [pytest.mark.fault, pytest.mark.full]

ROAD = """
import sys
from neurotwin.cli import app

def call(*arguments):
    assert not app(list(arguments), standalone_mode=False), arguments

folder, seed, workers = sys.argv[1:]
call("simulate", "simulator=geng_nsclc", "n_subjects=60", f"seed={seed}", f"output={folder}/cohort")
call("train", f"data.cohort={folder}/cohort", f"paths.output_dir={folder}/run", f"seed={seed}", "trainer=cpu",
     "trainer.max_epochs=2", "model.hidden=8", "model.draws=4", "callbacks.progress=null", "data.batch_size=8",
     f"data.num_workers={workers}", "solver@model.solver=euler", "model.solver.max_step=20")
call("export", f"{folder}/run", "-o", f"{folder}/twin@0.1.0")
"""


def hashes(folder):
    found = json.loads((folder / "cohort" / "cohort.json").read_text())["sha256"]
    graphs = {path.name: file_hash(path) for path in sorted((folder / "twin@0.1.0").glob("*.onnx"))}
    return {"cohort": found, "weights": result(folder / "run")[0], **graphs}


def test_the_same_seed_trains_the_same_weights_whoever_loads_the_data(fault_arguments, left_alone, tmp_path, tally):
    given = fault_arguments(tmp_path / "run", "data.num_workers=2")
    training = Training(given, tmp_path / "stderr", environment={"PYTHONHASHSEED": "7"})
    assert training.code() == 0, training.stderr.read_text()
    same = result(tmp_path / "run") == left_alone[0]
    other = Training(fault_arguments(tmp_path / "other", "seed=2", epochs=1), tmp_path / "stderr")
    assert other.code() == 0
    tally("the same seed, data loaded by workers", tried=1, lost=int(not same))
    assert same and result(tmp_path / "other")[0] != left_alone[0][0]


def test_three_fresh_processes_make_the_same_cohort_weights_and_graphs(tmp_path, tally):
    found = []
    for number, (seed, workers) in enumerate([(3, 0), (3, 2), (3, 0), (4, 0)]):
        folder = tmp_path / str(number)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": str(number * 17)}
        command = [sys.executable, "-c", ROAD, folder, str(seed), str(workers)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
        found.append(hashes(folder))
    *same, other = found
    assert set(same[0]) == {"cohort", "weights", "assimilate.onnx", "forecast.onnx"}
    unlike = sum(one != same[0] for one in same[1:])
    tally("the same seed in three fresh processes", tried=3, lost=unlike)
    assert unlike == 0
    assert all(other[name] != same[0][name] for name in ("cohort", "weights"))
