"""Training runs: what they leave, how they are resumed, what they refuse, and subjects that blow up."""

import csv
import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import lightning.pytorch as pl
import pytest
import torch
import yaml
from toys import toy_cohort

from neurotwin import compose
from neurotwin.data import random_batch
from neurotwin.errors import ConfigError, IntegrityError, OutputInUseError, SolverError
from neurotwin.recipes import load_run, recipe_of
from neurotwin.scaling import Scaling
from neurotwin.train import main
from neurotwin.training import JointGaussian, SurrogateTraining, read_checkpoint, train, warmup_cosine
from neurotwin.training.run_folder import held, read_config, read_setting


def weights(folder, name="last"):
    return read_checkpoint(folder / "checkpoints" / f"{name}.safetensors")["state_dict"]


def same_weights(one, other):
    return list(one) == list(other) and all(torch.equal(value, other[name]) for name, value in one.items())


def losses(log):
    with log.open() as file:
        return [float(row["validation/loss"]) for row in csv.DictReader(file) if row["validation/loss"]]


def told(capsys):
    """What was printed: nothing on stdout, and one line on stderr."""
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1, err
    return err


def test_a_run_leaves_what_is_needed_to_use_it(trained, cohort_folder):
    files = {item.relative_to(trained).as_posix() for item in trained.rglob("*") if item.is_file()}
    assert files == {
        "config.yaml",
        "schema.json",
        "scaling.json",
        "data.json",
        "metrics.json",
        "metrics.csv",
        ".lock",
        "checkpoints/best.safetensors",
        "checkpoints/last.safetensors",
        "checkpoints/previous.safetensors",
    }
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["epochs"] == 2 and metrics["steps"] == 2 * 3 and metrics["failed_subjects"] == 0
    assert metrics["parameters"] == sum(
        value.numel()
        for name, value in weights(trained).items()
        if name.startswith("model.") and "scaler" not in name and not name.endswith("noise")
    )
    schema, scaling, card = read_setting(trained)
    assert (
        schema == toy_cohort(1).schema
        and card["sha256"] == json.loads((cohort_folder / "cohort.json").read_text())["sha256"]
    )
    assert scaling == Scaling.fit(toy_cohort(60).part("train"))
    assert sum(card["subjects"].values()) == 60


def test_the_recorded_configuration_is_resolved_and_composes_the_same_model(trained):
    text = (trained / "config.yaml").read_text()
    assert "${" not in text and "???" not in text
    assert yaml.safe_load(text) == read_config(trained)
    model, config = load_run(trained)
    assert not model.training and config["model"]["memory"] == 3
    assert all(
        torch.equal(value, weights(trained, "best")[f"model.{name}"]) for name, value in model.state_dict().items()
    )


def test_training_moves_the_weights_and_logs_the_losses(trained):
    found = losses(trained / "metrics.csv")
    assert len(found) == 2 and found[0] != found[1]
    best = json.loads((trained / "metrics.json").read_text())["best_validation_loss"]
    assert best == pytest.approx(min(found), rel=1e-5)


def test_the_same_seed_trains_the_same_weights_and_another_does_not(trained, arguments, tmp_path):
    assert main(arguments(tmp_path / "again", "data.num_workers=2")) == 0
    assert main(arguments(tmp_path / "other", "seed=2")) == 0
    assert same_weights(weights(trained), weights(tmp_path / "again"))
    assert not same_weights(weights(trained), weights(tmp_path / "other"))


class Interrupted(Exception):
    pass


class Interrupt(pl.Callback):
    """Ends the process's run, as a kill would, when the given epoch begins."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            raise Interrupted


def interrupted_then_resumed(arguments, epoch):
    recipe = recipe_of(compose.compose("train", arguments))
    recipe.callbacks.append(Interrupt(epoch))
    with pytest.raises(Interrupted):
        train(recipe)
    return train(recipe_of(compose.compose("train", [*arguments, "resume=true"])))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(arguments, tmp_path, dropout):
    more = f"model.dropout={dropout}"
    assert main(arguments(tmp_path / "whole", more, epochs=3)) == 0
    metrics = interrupted_then_resumed(arguments(tmp_path / "parts", more, epochs=3), 1)
    assert metrics["epochs"] == 3 and metrics["steps"] == 9
    one, other = (read_checkpoint(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("whole", "parts"))
    assert same_weights(one["state_dict"], other["state_dict"])
    moments = [
        [state["exp_avg_sq"] for state in item["optimizer_states"][0]["state"].values()] for item in (one, other)
    ]
    assert len(moments[0]) > 10 and all(torch.equal(a, b) for a, b in zip(*moments, strict=True))
    assert one["lr_schedulers"][0]["_last_lr"] == other["lr_schedulers"][0]["_last_lr"]
    assert same_weights(weights(tmp_path / "whole", "best"), weights(tmp_path / "parts", "best"))
    assert losses(tmp_path / "whole" / "metrics.csv") == losses(tmp_path / "parts" / "metrics.1.csv") + losses(
        tmp_path / "parts" / "metrics.csv"
    )


@pytest.mark.parametrize(
    ("change", "named"), [("model.hidden=9", "model"), ("data.rotation=1", "rotation"), ("model=gru", "model")]
)
def test_a_changed_model_or_split_is_not_resumed(copied, arguments, capsys, change, named):
    kept = [item for item in arguments(copied, epochs=3) if not (change == "model=gru" and item.startswith("model."))]
    before = (copied / "config.yaml").read_bytes()
    assert main([*kept, "resume=true", change]) == 2
    assert f"started with another {named}" in told(capsys)
    assert (copied / "config.yaml").read_bytes() == before


def test_a_changed_cohort_is_not_resumed(copied, arguments, tmp_path, capsys):
    toy_cohort(60, seed=1).save(tmp_path / "changed")
    assert main([*arguments(copied, epochs=3), "resume=true", f"data.cohort={tmp_path / 'changed'}"]) == 2
    assert "another cohort and scaling" in told(capsys)


def test_a_second_run_into_the_same_folder_is_refused(copied, arguments, capsys):
    before = {item: item.read_bytes() for item in copied.rglob("*") if item.is_file()}
    assert main(arguments(copied)) == 2
    assert "holds a run already" in told(capsys)
    assert {item: item.read_bytes() for item in copied.rglob("*") if item.is_file()} == before


HOLD = """
import sys
from contextlib import closing
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_another_process_holds_is_refused(tmp_path, arguments, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder / ".lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OutputInUseError), held(folder):
            pass
        assert main(arguments(folder)) == 2
        assert told(capsys).startswith("NT-2900 another run holds the output folder")
        assert [item.name for item in folder.iterdir()] == [".lock"]
        other.stdin.close()
    with held(folder):
        pass


def test_an_output_folder_that_is_a_file_is_refused(tmp_path, arguments, capsys):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        assert main(arguments(path)) == 2
        assert "at the output folder" in told(capsys)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
@pytest.mark.parametrize("use", ["resume", "load"])
def test_a_damaged_checkpoint_is_refused(copied, arguments, capsys, damage, use):
    for name in ("best", "last", "previous"):
        path = copied / "checkpoints" / f"{name}.safetensors"
        raw = bytearray(path.read_bytes())
        raw[-3] ^= 1
        path.write_bytes(raw[: len(raw) // 2] if damage == "truncated" else raw)
    if use == "load":
        with pytest.raises(IntegrityError):
            load_run(copied)
    else:
        assert main(arguments(copied, "resume=true", epochs=3)) == 3
        assert told(capsys).startswith("NT-3200")


def test_weights_of_another_model_or_not_finite_are_refused(copied):
    path = copied / "checkpoints" / "best.safetensors"
    content = read_checkpoint(path)
    from neurotwin.training import write_checkpoint

    name = next(name for name in content["state_dict"] if name.endswith("field.0.weight"))
    whole = content["state_dict"][name]
    for wrong, words in (
        (torch.full_like(whole, torch.nan), "not finite"),
        (whole[:, :-1], "do not fit"),
        (None, "do not fit"),
    ):
        content["state_dict"][name] = wrong
        if wrong is None:
            del content["state_dict"][name]
        write_checkpoint(path, content)
        with pytest.raises(IntegrityError, match=words):
            load_run(copied)


@pytest.mark.parametrize("name", ["config.yaml", "schema.json", "scaling.json", "data.json"])
@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"[1]", b"{"], ids=["empty", "not_utf8", "list", "open"])
def test_a_damaged_run_folder_is_refused(copied, name, raw):
    (copied / name).write_bytes(raw)
    with pytest.raises((IntegrityError, ConfigError)):
        load_run(copied)


def training_module(cohort, **more):
    from toys import toy_model

    torch.manual_seed(0)
    module = SurrogateTraining(toy_model(cohort).train(), JointGaussian(), torch.optim.AdamW, **more)
    module.log = lambda *args, **kwargs: None
    return module


@pytest.fixture(scope="module")
def batch():
    import numpy as np

    return random_batch(
        toy_cohort(20), np.arange(20), np.random.default_rng(0), max_step=1.0, min_visits=2, max_horizon=np.inf
    )


def blown_up(batch, subjects):
    """Some subjects get an amount that no solve survives."""
    jump = batch.history.jump.clone()
    jump[subjects, 0] = torch.inf
    return batch._replace(history=batch.history._replace(jump=jump))


def test_a_subject_that_blows_up_is_left_out_and_counted(batch):
    import numpy as np

    module = training_module(toy_cohort(20))
    loss = module.training_step(blown_up(batch, [4]), 0)
    loss.backward()
    others = batch.take(torch.as_tensor(np.delete(np.arange(20), 4)))
    clean = training_module(toy_cohort(20))
    expected = clean.training_step(others, 0)
    expected.backward()
    assert (module.seen, module.failed, clean.failed) == (20, 1, 0)
    torch.testing.assert_close(loss, expected)
    for one, other in zip(module.parameters(), clean.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_too_many_subjects_that_blow_up_stop_the_run_and_are_named(batch):
    with pytest.raises(SolverError, match="2 of 20 subjects had a loss that is not finite") as caught:
        training_module(toy_cohort(20)).training_step(blown_up(batch, [3, 7]), 0)
    assert str(batch.subject[[3, 7]].tolist()) in str(caught.value)
    module = training_module(toy_cohort(20), max_failed=0.2)
    assert torch.isfinite(module.training_step(blown_up(batch, [3, 7]), 0)) and module.failed == 2


def test_a_batch_in_which_all_blow_up_is_skipped(batch):
    one = batch.take(torch.tensor([5]))
    module = training_module(toy_cohort(20))
    assert module.training_step(blown_up(one, [0]), 0) is None
    assert module.failed == 1


def test_failures_are_still_counted_after_a_resume(batch):
    module, resumed = training_module(toy_cohort(20)), training_module(toy_cohort(20))
    module.training_step(blown_up(batch, [4]), 0)
    content = {}
    module.on_save_checkpoint(content)
    resumed.on_load_checkpoint(content)
    assert (resumed.seen, resumed.failed) == (20, 1)


def test_the_absolute_loss_counts_exact_values_only(batch):
    from toys import toy_model

    from neurotwin.models import Prediction

    prediction = Prediction(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2), None)
    scaler = toy_model(toy_cohort(20)).scaler
    value, mask = scaler.natural(torch.tensor([[[3.0, -2.0]]])), torch.ones(1, 1, 2)
    censor = torch.tensor([[[0.0, 1.0]]])
    plain, weighted = (JointGaussian(weight)(prediction, value, mask, censor, scaler) for weight in (0.0, 0.5))
    torch.testing.assert_close(weighted - plain, torch.tensor([1.5]))


def test_the_absolute_loss_stops_at_the_ends_of_a_scale_and_spares_bernoulli():
    """Of what lies beyond the end of a scale only the end counts; a 0 or 1 asks for no certain median."""
    from head_cases import NAMES, SCHEMA, make_cohort

    from neurotwin.models import Prediction
    from neurotwin.models.observation.scaler import Scaler
    from neurotwin.scaling import Scaling

    scaler, n = Scaler(SCHEMA, Scaling.fit(make_cohort())), len(NAMES)
    prediction = Prediction(torch.full((1, 1, n, 1), 40.0), torch.ones(1, 1, n), None)
    value = torch.tensor([one.plausible[1] if one.head == "ordinal" else 1.0 for one in SCHEMA.variables]).view(1, 1, n)
    value[..., NAMES.index("fraction")] = 0.5
    for name, expected in (("stage", 0.0), ("score", 0.0), ("sign", 0.0), ("level", None)):
        mask = torch.zeros(1, 1, n)
        mask[..., NAMES.index(name)] = 1
        asked = (prediction, value, mask, torch.zeros(1, 1, n), scaler)
        added = float(JointGaussian(1.0)(*asked) - JointGaussian()(*asked))
        assert added == pytest.approx(expected, abs=1e-4) if expected is not None else added > 30


def test_the_learning_rate_rises_then_falls():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = warmup_cosine(optimizer, 100, warmup=0.1, floor=0.02)
    rates = []
    for _ in range(101):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == 1.0 and rates[-1] == pytest.approx(0.02)
    assert all(a < b for a, b in zip(rates[:9], rates[1:10], strict=True)) and all(
        a >= b for a, b in zip(rates[10:], rates[11:], strict=False)
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("how", ["trainer=gpu", "trainer.accelerator=cuda", "trainer.accelerator=gpu"])
def test_without_a_gpu_asking_for_one_is_an_error_never_the_cpu_in_silence(arguments, tmp_path, capsys, how):
    assert main([item for item in arguments(tmp_path / "run") if item != "trainer=cpu"] + [how]) == 2
    assert told(capsys).startswith("NT-2100")
    assert not (tmp_path / "run").exists()


def test_wandb_offline_works_and_two_trials_are_two_runs(arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for trial in (1, 2):
        assert main(arguments(tmp_path / str(trial), "logger=wandb", f"seed={trial}", epochs=1)) == 0
        assert len(list((tmp_path / str(trial)).rglob("*.wandb"))) == 1
        assert sys.modules["wandb"].run is None


@pytest.mark.full
def test_mlflow_in_a_database_and_two_trials_are_two_runs(arguments, tmp_path):
    pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for trial in (1, 2):
        given = arguments(tmp_path / str(trial), "logger=mlflow", f"logger.mlflow.tracking_uri={uri}", epochs=1)
        assert main([*given, f"name=trial{trial}", f"seed={trial}"]) == 0
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        assert database.execute("SELECT name, status FROM runs ORDER BY name").fetchall() == [
            ("trial1", "FINISHED"),
            ("trial2", "FINISHED"),
        ]
        logged = database.execute("SELECT key, COUNT(DISTINCT run_uuid) FROM metrics GROUP BY key").fetchall()
    assert ("validation/loss", 2) in logged


def test_tensorboard_writes_events(arguments, tmp_path):
    assert main(arguments(tmp_path / "run", "logger=tensorboard", epochs=1)) == 0
    assert list((tmp_path / "run" / "tensorboard").rglob("events.out.*"))


def test_a_sweep_leaves_one_run_for_each_trial(arguments, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["neurotwin"])
    folder = tmp_path / "${seed}"
    assert main(["-m", *arguments(folder, epochs=1), "seed=1,2", f"hydra.sweep.dir={tmp_path / 'sweep'}"]) == 0
    assert read_config(tmp_path / "1")["seed"] == 1 and read_config(tmp_path / "2")["seed"] == 2
    assert not same_weights(weights(tmp_path / "1"), weights(tmp_path / "2"))


def test_a_failed_trial_ends_the_sweep_in_one_line_and_keeps_the_finished_ones(
    arguments, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["neurotwin"])
    sweep = [
        "-m",
        *arguments(tmp_path / "${model.memory}", epochs=1),
        "model.memory=3,-9",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    ]
    with pytest.raises(SystemExit) as caught:
        main(sweep)
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "3" / "metrics.json").is_file() and not (tmp_path / "-9").exists()


@pytest.mark.parametrize("debug", ["fdr", "limit", "overfit"])
def test_the_debug_configurations_run(arguments, tmp_path, debug):
    more = ["trainer.max_epochs=2"] if debug == "overfit" else []
    folder = tmp_path / "run"
    given = [
        item
        for item in arguments(folder, f"debug={debug}", *more)
        if not item.startswith("trainer.max_epochs=2") or more
    ]
    assert main(given) == 0
    assert (folder / "metrics.json").is_file()


def test_what_a_model_tells_of_itself_is_in_the_metrics(tmp_path, arguments, monkeypatch):
    from neurotwin.models import NeuralOde
    from neurotwin.train import main

    def measures(self, state, rows):
        assert state.shape == (len(rows.dt), self.state_size)
        return {"patients": state.new_tensor(float(len(state)))}

    monkeypatch.setattr(NeuralOde, "measures", measures)
    assert main([*arguments(tmp_path / "run"), "trainer.max_epochs=1"]) == 0
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())["measures"]
    assert list(found) == ["patients"] and found["patients"] > 1
