"""Several processes: metric and weights of one process with the same batches, and none that waits for ever."""

import json
import os
import subprocess
import sys

import lightning.pytorch as pl
import pytest
import torch
from toys import QUIET, SIZES, toy_cohort
from training_processes import LONG_AGO, Training, arguments_of, together

from neurotwin import compose
from neurotwin.data import CohortData
from neurotwin.errors import ConfigError
from neurotwin.train import main
from neurotwin.training import read_checkpoint

TOLERANCE = 1e-4
UNEVEN = 37
"""Training subjects: batches of 4 leave one over, so that one process of two has none of the last batch."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed") / "cohort"
    toy_cohort(62).save(folder)
    return folder


class BlowUp(pl.Callback):
    """Some subjects get an amount that no solve survives."""

    def __init__(self, subjects):
        self.subjects = subjects

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        batch.history.jump[torch.isin(batch.subject, torch.tensor(self.subjects)), 0] = torch.inf


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def weights_of(folder):
    return read_checkpoint(folder / "checkpoints" / "last.safetensors")["state_dict"]


def largest_difference(one, other):
    return max(float((value - other[name]).abs().max()) for name, value in one.items() if value.numel())


def trained_both_ways(cohort, tmp_path, *more, callbacks=(), one=()):
    """The same batches of 4 in one process and in two."""
    how = {"epochs": 2}
    given = (f"data.limit={UNEVEN}", *more, "model.dropout=0")
    single = Training(
        arguments_of(cohort, tmp_path / "one", *given, *one, **how), tmp_path / "err.one", callbacks=callbacks
    )
    assert single.code() == 0, single.stderr.read_text()
    both = together(
        2, arguments_of(cohort, tmp_path / "two", *given, "data.batch_size=2", **how), tmp_path / "err", callbacks
    )
    assert [process.code() for process in both] == [0, 0], both[0].stderr.read_text() + both[1].stderr.read_text()
    return tmp_path / "one", tmp_path / "two"


def assert_alike(one, two):
    mine, theirs = metrics_of(one), metrics_of(two)
    assert theirs["best_validation_loss"] == pytest.approx(mine["best_validation_loss"], abs=TOLERANCE)
    assert (theirs["steps"], theirs["failed_subjects"]) == (mine["steps"], mine["failed_subjects"])
    assert largest_difference(weights_of(one), weights_of(two)) < TOLERANCE


def test_two_processes_are_as_one_with_the_same_batches(cohort, tmp_path):
    one, two = trained_both_ways(cohort, tmp_path)
    assert metrics_of(one)["steps"] % 2 == 0 and metrics_of(one)["failed_subjects"] == 0
    assert_alike(one, two)
    assert json.loads((two / "data.json").read_text())["step"] == 4


def test_subjects_that_blow_up_in_one_process_are_counted_in_all(cohort, tmp_path):
    """With batches of two subjects each, the part of a process is all bad."""
    more = ["data.limit=12", "data.batch_size=2"]
    bad = [BlowUp([3])]
    given = [
        *more,
        "model.dropout=0",
    ][:3]
    single = Training(arguments_of(cohort, tmp_path / "one", *given, epochs=1), tmp_path / "err.one", callbacks=bad)
    assert single.code() == 0, single.stderr.read_text()
    given[1] = "data.batch_size=1"
    both = together(2, arguments_of(cohort, tmp_path / "two", *given, epochs=1), tmp_path / "err", bad)
    assert [process.code() for process in both] == [0, 0], both[0].stderr.read_text()
    assert metrics_of(tmp_path / "one")["failed_subjects"] == 1
    assert_alike(tmp_path / "one", tmp_path / "two")


@pytest.mark.full
def test_too_many_that_blow_up_stop_all_processes(cohort, tmp_path):
    bad = [BlowUp(list(range(0, 62, 3)))]
    both = together(2, arguments_of(cohort, tmp_path / "two", epochs=1), tmp_path / "err", bad)
    assert [process.code() for process in both] == [2, 2]
    assert "had a loss that is not finite" in both[0].stderr.read_text()


@pytest.mark.full
def test_the_command_starts_its_processes_itself_and_torchrun_does(cohort, tmp_path):
    shared = [f"data.cohort={cohort}", "data.batch_size=2", "trainer.max_epochs=2", *SIZES, "callbacks.progress=null"]
    shared += ["trainer=ddp", "trainer.accelerator=cpu", "solver@model.solver=euler", "model.solver.max_step=20"]
    command = [
        sys.executable,
        "-m",
        "neurotwin",
        "train",
        *shared,
        "trainer.devices=2",
        f"paths.output_dir={tmp_path / 'own'}",
    ]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "-m", "neurotwin.train"]
    torchrun += [*shared, f"paths.output_dir={tmp_path / 'torchrun'}"]
    for arguments in (command, torchrun):
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("trained in") == 1 and "Warning" not in done.stderr
    one = Training(arguments_of(cohort, tmp_path / "one", "model.dropout=0", epochs=2), tmp_path / "err")
    assert one.code() == 0
    for name in ("own", "torchrun"):
        assert_alike(tmp_path / "one", tmp_path / name)


def test_a_sweep_of_several_processes_is_refused_and_names_the_verb_that_can(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["neurotwin"])
    sweep = ["-m", "data.cohort=nowhere", "trainer=ddp", "seed=1,2", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    with pytest.raises(SystemExit) as caught:
        main(sweep)
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "neurotwin sweep" in told


def small(cohort, folder, *more):
    return arguments_of(cohort, folder, "data.limit=12", *more, epochs=1)


@pytest.mark.parametrize("more", [["trainer.accumulate_grad_batches=2"], ["trainer.precision=bf16-mixed"]])
def test_accumulation_and_half_precision_by_configuration(cohort, tmp_path, more):
    assert main(small(cohort, tmp_path / "run", *more)) == 0
    found = metrics_of(tmp_path / "run")
    assert found["steps"] == (2 if "accumulate" in more[0] else 3) and found["best_validation_loss"] < 100


@pytest.mark.full
@pytest.mark.parametrize("model", ["gru", "neural_ode"])
def test_a_compiled_model_learns_the_same(cohort, tmp_path, model):
    """In processes of their own: the compiler warns, and warnings are errors here."""
    given = [
        f"data.cohort={cohort}",
        "data.limit=12",
        "trainer.max_epochs=1",
        f"model={model}",
        "model.hidden=8",
        *QUIET,
    ]
    for name in ("false", "true"):
        more = [
            f"compile={name}",
            f"paths.output_dir={tmp_path / name}",
            f"callbacks.resume_points.every_seconds={LONG_AGO}",
        ]
        training = Training([*given, *more], tmp_path / f"err.{name}")
        assert training.code(400) == 0, training.stderr.read_text()
    assert largest_difference(weights_of(tmp_path / "false"), weights_of(tmp_path / "true")) < TOLERANCE
    assert list(weights_of(tmp_path / "false")) == list(weights_of(tmp_path / "true"))


@pytest.mark.full
def test_a_compiler_that_is_not_there_is_told(cohort, tmp_path):
    command = [sys.executable, "-m", "neurotwin.train", *small(cohort, tmp_path / "run", "compile=true")]
    blind = {**os.environ, "CXX": "/nowhere/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=blind)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "torch.compile does not work here" in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("more", [["trainer=default", "trainer.devices=4"], ["trainer=ddp", "trainer.devices=4"]])
def test_several_devices_that_are_not_there_are_refused(cohort, tmp_path, capsys, more):
    given = [item for item in small(cohort, tmp_path / "run") if item not in QUIET[:1]]
    assert main([*given, *more]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "4 devices were asked for" in told and "trainer.accelerator=cpu" in told
    assert not (tmp_path / "run").exists()


def test_processes_get_shares_of_the_same_batches(cohort):
    from neurotwin.data import EpisodeBatches

    part = CohortData(cohort, limit=UNEVEN).train_part()
    how = {"seed": (1, 0, 0), "batch_size": 4, "max_step": 1.0, "min_visits": 2, "max_horizon": float("inf")}
    whole, shares = EpisodeBatches(part, **how), [EpisodeBatches(part, **how, share=(rank, 3)) for rank in range(3)]
    assert {len(item) for item in (whole, *shares)} == {10}
    for index in range(len(whole)):
        batch, parts = whole[index], [share[index] for share in shares]
        for rank, mine in enumerate(parts):
            assert torch.equal(mine.subject, batch.subject[rank::3]) and torch.equal(mine.value, batch.value[rank::3])
    assert len(parts[1].subject) == 0


def test_the_configuration_takes_as_many_as_torchrun_began(monkeypatch):
    assert compose.compose("train", ["data.cohort=x", "trainer=ddp"])["trainer"]["devices"] == "auto"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    found = compose.compose("train", ["data.cohort=x", "trainer=ddp"])["trainer"]
    assert (found["devices"], found["num_nodes"]) == (4, 2)
    with pytest.raises(ConfigError):
        compose.compose("train", ["trainer=dpp"])
