"""Sweeps of real trainings: the best as an experiment, trackers, several ranks, latency; and Hydra's own launchers."""

import json
import os
import subprocess
import sys

import pytest
from sweep_cases import RATE
from toys import QUIET, SIZES

from neurotwin import train
from neurotwin.sweep.results import read_results
from neurotwin.sweep.run_sweep import read_card, run_sweep


@pytest.fixture
def small(sweep_cohort):
    """Overrides of a small training."""
    few = ["data.batch_size=16", "trainer.max_epochs=2"]
    return [f"data.cohort={sweep_cohort}", *few, *SIZES, *(item for item in QUIET if "progress" not in item)]


@pytest.fixture
def sweep_of(small, tmp_path, told):
    """Function: more overrides -> a sweep of real trainings in tmp_path/sweep."""

    def run(*more, **options):
        return run_sweep([*small, *more], folder=tmp_path / "sweep", tell=told.append, **options)

    return run


def test_the_best_trial_is_an_experiment_that_trains_to_the_same_loss(sweep_of, tmp_path):
    done = sweep_of(RATE, "model=neural_flow,neural_ode", "solver@model.solver=midpoint", trials=1)
    assert train.main([f"experiment={done.experiment}", f"paths.output_dir={tmp_path / 'again'}"]) == 0
    again = json.loads((tmp_path / "again/metrics.json").read_text())
    assert again["best_validation_loss"] == pytest.approx(done.best[1], rel=1e-6)


@pytest.mark.full
def test_each_trial_is_a_run_of_its_own_for_wandb(sweep_of, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    done = sweep_of(RATE, "logger=[csv,wandb]", trials=3, jobs=2)
    assert done.told == "3 complete"
    kept = [list((tmp_path / f"sweep/trials/{number:04d}/wandb").glob("offline-run-*/*.wandb")) for number in range(3)]
    assert [len(files) for files in kept] == [1, 1, 1]


@pytest.mark.full
def test_a_trial_of_several_ranks_is_one_trial(sweep_of, tmp_path):
    ranks = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    done = sweep_of(RATE, *ranks, trials=2)
    assert not done.interrupted and done.told == "2 complete"
    assert sorted(path.name for path in (tmp_path / "sweep/trials").iterdir()) == ["0000", "0001"]


@pytest.mark.full
def test_latency_is_measured_on_the_exported_graphs(sweep_of):
    objectives = ["hparams_search.pruner=null", "+hparams_search.objectives.latency=minimize"]
    done = sweep_of(RATE, "hparams_search.sampler=nsga2", *objectives, trials=1)
    card = read_card(done.folder)
    trial = read_results(card["storage"], card["name"]).trials[0]
    told = json.loads((done.folder / "trials/0000/latency.json").read_text())
    assert trial.values == [done.best[1], told["p50_ms"]] and 0.1 < told["p50_ms"] < 1000


@pytest.mark.full
@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_hydras_own_sweeps_go_on_working(launcher, small, tmp_path):
    chosen = [] if launcher == "basic" else [f"hydra/launcher={launcher}"]
    place = [f"hydra.sweep.dir={tmp_path / 'multirun'}", f"paths.output_dir={tmp_path}/${{hydra:job.num}}"]
    words = ["-m", *small, "callbacks.progress=null", "optimizer.lr=1e-3,3e-3", *chosen, *place]
    done = subprocess.run(
        [sys.executable, "-m", "neurotwin.train", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    losses = [
        json.loads((tmp_path / f"{number}/metrics.json").read_text())["best_validation_loss"] for number in (0, 1)
    ]
    assert losses[0] != losses[1]
