"""From where runs go on: points, generations, branches; and trackers that may fail."""

import builtins
import json
import logging
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from neurotwin import compose
from neurotwin.disk import draft_path
from neurotwin.errors import ConfigError, ExtraMissingError, IntegrityError
from neurotwin.recipes import load_run, recipe_of
from neurotwin.train import main
from neurotwin.training import Mlflow, ResumePoints, read_checkpoint, train, write_checkpoint
from neurotwin.training.branch import Parent
from neurotwin.training.means import EpochMeans
from neurotwin.training.resume import newest
from neurotwin.training.run_folder import LAST, PREVIOUS, read_setting
from neurotwin.training.tracking import GuardedTracker

ROOT = Path(__file__).parents[2]


def spoil(path):
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)


def step_of(path):
    return read_checkpoint(path)["global_step"]


def test_the_last_two_points_are_kept(trained):
    checkpoints = trained / "checkpoints"
    assert (step_of(checkpoints / LAST), step_of(checkpoints / PREVIOUS)) == (6, 3)
    assert newest(trained) == checkpoints / LAST


def test_a_damaged_point_gives_way_to_the_one_before_and_one_line_tells(copied, arguments, caplog):
    spoil(copied / "checkpoints" / LAST)
    with caplog.at_level(logging.WARNING):
        assert newest(copied) == copied / "checkpoints" / PREVIOUS
    assert len(caplog.messages) == 1 and "does not match its hash" in caplog.messages[0]
    assert "previous.safetensors" in caplog.messages[0]
    assert (copied / "checkpoints" / f"damaged.{LAST}").exists()
    assert main(arguments(copied, "resume=true", epochs=3)) == 0
    assert step_of(copied / "checkpoints" / LAST) == 9


def test_a_kill_between_two_renames_costs_nothing(copied, caplog):
    last = copied / "checkpoints" / LAST
    last.replace(copied / "checkpoints" / PREVIOUS)
    assert step_of(newest(copied)) == 6 and not caplog.messages


def test_two_damaged_points_are_refused_and_none_is_none(copied, tmp_path):
    for name in (LAST, PREVIOUS):
        spoil(copied / "checkpoints" / name)
    with pytest.raises(IntegrityError):
        newest(copied)
    assert newest(tmp_path / "nothing") is None


def test_to_resume_where_there_is_nothing_says_so_and_begins(arguments, tmp_path, caplog):
    assert main(arguments(tmp_path / "run", "resume=true", epochs=1)) == 0
    assert [text for text in caplog.messages if "the run begins anew" in text]


def test_what_was_half_written_is_removed_when_the_next_run_begins(copied, arguments):
    drafts = [draft_path(copied / name) for name in ("data.json", "checkpoints/last.safetensors")]
    for draft in drafts:
        draft.write_text("half")
    assert main(arguments(copied, "resume=true", epochs=2)) == 0
    assert not any(draft.exists() for draft in drafts) and (copied / ".lock").exists()


@pytest.mark.parametrize("change", ["seed=2", "data.min_visits=3", "data.batch_size=8"])
def test_other_batches_are_not_resumed(copied, arguments, capsys, change):
    assert main(arguments(copied, "resume=true", change, epochs=3)) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "was started with another" in told and "branch_from" in told


def test_a_stopped_run_stays_stopped(arguments, tmp_path):
    given = arguments(tmp_path / "run", "callbacks.early_stopping.patience=1", "optimizer.lr=1e-12", epochs=9)
    assert main(given) == 0
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found["epochs"] < 9
    assert main([*given, "resume=true"]) == 0
    again = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert {**again, "seconds": 0} == {**found, "seconds": 0}


def test_the_best_is_known_in_a_folder_that_was_moved(trained, arguments, tmp_path):
    moved = Path(shutil.copytree(trained, tmp_path / "moved"))
    before = step_of(moved / "checkpoints" / "best.safetensors")
    content = read_checkpoint(moved / "checkpoints" / LAST)
    name = next(name for name in content["callbacks"] if name.startswith("Checkpoints"))
    content["callbacks"][name]["best_model_score"] = torch.tensor(-1e9)  # nothing that comes can be better
    content["callbacks"][name]["best_k_models"] = {
        path: torch.tensor(-1e9) for path in content["callbacks"][name]["best_k_models"]
    }
    content["callbacks"][name]["kth_value"] = torch.tensor(-1e9)
    write_checkpoint(moved / "checkpoints" / LAST, content)
    assert main(arguments(moved, "resume=true", epochs=3)) == 0
    assert step_of(moved / "checkpoints" / "best.safetensors") == before


def test_a_branch_begins_with_its_parent_s_weights_and_scaling(trained, arguments, tmp_path):
    from toys import toy_cohort

    toy_cohort(50, seed=5).save(tmp_path / "cohort")
    folder = tmp_path / "branch"
    given = [*arguments(folder, f"branch_from={trained}", epochs=1), f"data.cohort={tmp_path / 'cohort'}"]
    assert main([*given, "optimizer.lr=1e-12"]) == 0
    parent = json.loads((folder / "data.json").read_text())["parent"]
    assert parent["run"] == str(trained) and len(parent["sha256"]) == 64
    assert read_setting(folder)[1] == read_setting(trained)[1]
    one, other = load_run(trained)[0].state_dict(), load_run(folder)[0].state_dict()
    assert all(torch.allclose(value, other[name], atol=1e-6) for name, value in one.items())
    assert main([*given, "resume=true", "trainer.max_epochs=2"]) == 0


def test_a_branch_that_does_not_fit_is_refused(trained, arguments, tmp_path, capsys):
    for more, words in (
        ([f"branch_from={trained}", "model.hidden=9"], "weights do not fit the model"),
        ([f"branch_from={tmp_path}"], "no trained run to branch from"),
    ):
        assert main(arguments(tmp_path / "branch", *more)) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and words in told
    assert not (tmp_path / "branch").exists()
    parent = Parent(None, {f"w{number}": torch.zeros(1) for number in range(99)}, {"run": "there"})
    with pytest.raises(ConfigError, match="101 of 101 weights"):
        parent.give(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("wrong", [{"every_seconds": -1}, {"every_steps": 0}])
def test_points_at_impossible_times_are_refused(tmp_path, wrong):
    with pytest.raises(ConfigError):
        ResumePoints(tmp_path, **wrong)


def test_means_go_on_where_they_were():
    whole, first, second = EpochMeans(), EpochMeans(), EpochMeans()
    for means in (whole, first):
        means.add("loss", 1.1, 3)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for means in (whole, second):
        means.add("loss", 0.7, 2)
    assert whole.means() == second.means() == {"loss": (1.1 + 0.7) / 5}
    assert whole.together().means() == whole.means()


class Tracker(CSVLogger):
    def __init__(self, folder, call):
        super().__init__(folder)
        self.call, self.got = call, []

    def log_metrics(self, metrics, step=None):
        self.call()
        self.got.append((metrics, step))


def test_a_guard_hands_on_in_order_and_outside_of_the_training_s_thread(tmp_path):
    threads = []
    guard = GuardedTracker(tracker := Tracker(tmp_path, lambda: threads.append(threading.current_thread())))
    for step in range(20):
        guard.log_metrics({"a": float(step)}, step)
    guard.finalize("success")
    assert tracker.got == [({"a": float(step)}, step) for step in range(20)]
    assert threading.main_thread() not in threads


def test_a_hanging_tracker_is_left_behind_and_a_failing_one_told_once(tmp_path, caplog):
    never = threading.Event()
    hanging = GuardedTracker(Tracker(tmp_path, lambda: never.wait(20)), patience=0.05)
    failing = GuardedTracker(Tracker(tmp_path, lambda: 1 / 0))
    begun = time.monotonic()
    for guard in (hanging, failing):
        for step in range(3000):
            guard.log_metrics({}, step)
        guard.finalize("success")
    assert time.monotonic() - begun < 10
    never.set()
    told = "\n".join(caplog.messages)
    assert "does not answer" in told and told.count("failed (ZeroDivisionError)") == 1


def test_mlflow_that_is_not_installed_is_told_with_its_remedy(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *args, **more):
        if name.split(".")[0] == "mlflow":
            raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ExtraMissingError, match="mlflow is not installed"):
        Mlflow(f"sqlite:///{tmp_path}/mlflow.db")


def test_a_second_fit_of_a_whole_run_keeps_its_metrics(copied, arguments):
    before = json.loads((copied / "metrics.json").read_text())
    found = train(recipe_of(compose.compose("train", [*arguments(copied), "resume=true"])))
    assert {**found, "seconds": 0} == {**before, "seconds": 0}


def test_the_slurm_script_is_sound():
    script = ROOT / "docs" / "examples" / "train.sbatch"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    text = script.read_text()
    assert "trainer=ddp" in text and "resume=true" in text and "-eq 75" in text
