"""The driver: trials that succeed, fail, are pruned or take too long; seeds, grids, and going on."""

import json
import shutil
import time

import pytest
from sweep_cases import RATE, words_of
from toys import toy_cohort

from neurotwin.disk import held
from neurotwin.errors import CohortError, ConfigError, OutputInUseError, ResourceError
from neurotwin.sweep.driver import Workplace
from neurotwin.sweep.results import read_results
from neurotwin.sweep.run_sweep import read_card
from neurotwin.sweep.settings import read_settings
from neurotwin.sweep.study import Study, closing


def trials_of(folder):
    card = read_card(folder)
    return read_results(card["storage"], card["name"]).trials


def card_of(folder, number):
    return json.loads((folder / "trials" / f"{number:04d}" / "trial.json").read_text())


def test_each_trial_is_one_process_with_a_folder_of_its_own(sweep, stubbed, told):
    done = sweep(RATE, "model.hidden=16,32", trials=4, jobs=2)
    assert done.told == "4 complete" and not done.interrupted
    trials = trials_of(done.folder)
    assert words_of(stubbed) == {(word, f"{trial.number:04d}"): 1 for word in ("start", "end") for trial in trials}
    best = min(trials, key=lambda trial: trial.values[0])
    assert done.best == (best.number, best.values[0])
    card = card_of(done.folder, best.number)
    assert card["state"] == "complete" and card["params"] == best.params and card["cpu_seconds"] > 0
    assert set(best.intermediate_values) == {0, 1, 2}
    assert len(told) == 4 and f"best {best.values[0]:.4g} of trial {best.number}" in told[-1]


def test_a_trial_that_fails_stops_no_other_and_says_why(sweep, told):
    done = sweep("optimizer.lr=0.01,0.9,0.02", "hparams_search.sampler=grid", "hparams_search.trials=null")
    assert done.told == "2 complete, 1 failed"
    failed = trials_of(done.folder)[1]
    assert failed.user_attrs["error"].startswith("NT-2650 the validation loss was never finite")
    assert failed.user_attrs["exit_code"] == 2 and card_of(done.folder, 1)["state"] == "fail"
    assert "trial 1 failed: NT-2650" in told[1]


def test_when_all_fail_the_sweep_does(sweep, told):
    with pytest.raises(ConfigError, match="all of the first 2 trials failed, the last with: NT-2650"):
        sweep("optimizer.lr=interval(0.6,0.9)", "hparams_search.give_up=2", trials=9)
    assert len(told) == 2


def test_a_poor_trial_is_pruned_while_it_trains(sweep, monkeypatch):
    monkeypatch.setenv("STUB_EPOCHS", "12")
    monkeypatch.setenv("STUB_PAUSE", "0.06")
    few = ["hparams_search.options.median.n_startup_trials=1", "hparams_search.options.median.n_warmup_steps=1"]
    done = sweep("optimizer.lr=0.01,0.4", "hparams_search.sampler=grid", "hparams_search.trials=null", *few)
    assert done.told == "1 complete, 1 pruned"
    pruned = trials_of(done.folder)[1]
    assert 1 < len(pruned.intermediate_values) < 12 and pruned.user_attrs["epochs"] < 12
    assert card_of(done.folder, 1)["state"] == "pruned"


def test_a_trial_that_takes_too_long_is_stopped(sweep, monkeypatch):
    monkeypatch.setenv("STUB_PAUSE", "30")
    with pytest.raises(ConfigError, match="longer than 0.3 s"):
        sweep(RATE, "hparams_search.timeout=0.3", trials=1)


def test_seeds_are_averaged_and_pruned_between_them(sweep, stubbed):
    done = sweep("optimizer.lr=0.01,0.02", "hparams_search.seeds=[1,4]", "hparams_search.sampler=grid", trials=2)
    first = trials_of(done.folder)[0]
    runs = first.user_attrs["runs"]
    assert [run["seed"] for run in runs] == [1, 4] and runs[1]["validation_loss"] == pytest.approx(
        runs[0]["validation_loss"] + 0.03
    )
    assert first.values == [pytest.approx(sum(run["validation_loss"] for run in runs) / 2)]
    assert first.intermediate_values == {1: runs[0]["validation_loss"], 2: pytest.approx(first.values[0])}
    assert words_of(stubbed) == {(word, f"seed_{seed}"): 2 for word in ("start", "end") for seed in (1, 4)}
    assert "seed: 1\n" in done.experiment.read_text()


def test_two_objectives_and_a_measure_of_the_run(sweep):
    done = sweep(
        RATE,
        "model.hidden=16,32,64",
        "hparams_search.pruner=null",
        "hparams_search.sampler=nsga2",
        "+hparams_search.objectives.parameters=minimize",
        "+hparams_search.objectives.balance=maximize",
        trials=3,
        jobs=3,
    )
    card = read_card(done.folder)
    results = read_results(card["storage"], card["name"])
    assert list(results.objectives) == ["validation_loss", "parameters", "balance"]
    assert all(len(trial.values) == 3 and trial.values[2] == 0.5 for trial in results.trials)
    assert results.front and results.best.number == done.best[0]


def test_a_measure_that_no_run_tells(sweep):
    objectives = ["hparams_search.pruner=null", "+hparams_search.objectives.blance=minimize"]
    with pytest.raises(ConfigError, match="tells no blance; it tells absolute_error, balance, parameters"):
        sweep(RATE, *objectives, trials=1)


def test_a_second_sweep_is_refused_and_resume_tops_up(sweep, told):
    sweep(trials=1)
    with pytest.raises(ConfigError, match="a sweep 'sweep' already.*--resume"):
        sweep(trials=2)
    with pytest.raises(ConfigError, match="started with other search"):
        sweep("optimizer.lr=1e-3,1e-2", trials=2, resume=True)
    assert sweep(trials=2, resume=True).told == "2 complete"
    assert sweep(trials=2, resume=True).told == "2 complete" and len(told) == 2


def test_other_data_under_the_same_path_is_another_sweep(sweep, sweep_cohort, tmp_path):
    toy_cohort(20).save(tmp_path / "cohort")
    where = f"data.cohort={tmp_path / 'cohort'}"
    sweep(where, RATE, trials=1)
    shutil.rmtree(tmp_path / "cohort")
    toy_cohort(21).save(tmp_path / "cohort")
    with pytest.raises(ConfigError, match="started with other cohort"):
        sweep(where, RATE, trials=2, resume=True)


def test_a_sweep_in_two_goes_draws_what_one_go_draws(sweep, tmp_path):
    few = [RATE, "hparams_search.options.tpe.n_startup_trials=2"]
    whole = sweep(*few, trials=4, folder=tmp_path / "whole")
    sweep(*few, trials=3, folder=tmp_path / "parts")
    parts = sweep(*few, trials=4, folder=tmp_path / "parts", resume=True)
    assert [trial.params for trial in trials_of(whole.folder)] == [trial.params for trial in trials_of(parts.folder)]


def test_what_is_finished_but_untold_is_taken_as_it_is(sweep, stubbed, tmp_path):
    """The driver died between the end of a training and its entry in the storage."""
    sweep(trials=1)
    finished = (tmp_path / "sweep/trials/0000").rename(tmp_path / "kept")
    (tmp_path / "sweep/sweep.db").unlink()
    finished.rename(tmp_path / "sweep/trials/0000")
    assert sweep(trials=1).told == "1 complete"
    assert words_of(stubbed)[("start", "0000")] == 1


def test_a_folder_has_one_driver(sweep, tmp_path):
    told = pytest.raises(OutputInUseError, match="another driver works in the folder")
    with held(tmp_path / "sweep", "mine", remedy=""), told:
        sweep(trials=1)


def test_a_cohort_or_a_storage_that_is_not_there(sweep, tmp_path):
    with pytest.raises(CohortError):
        sweep(f"data.cohort={tmp_path / 'nowhere'}", RATE, trials=1)
    for address in ("nowhere", "mysql://host/db", "sqlite://"):
        with pytest.raises(ConfigError, match="not an address of a storage"):
            sweep(trials=1, storage=address)
    begin = time.monotonic()
    with pytest.raises(ResourceError, match="the storage does not answer") as caught:
        sweep(trials=1, storage="postgresql://user:secret@127.0.0.1:9/db")
    assert time.monotonic() - begin < 30 and "secret" not in str(caught.value)


def test_a_file_that_is_no_database(sweep, tmp_path):
    (tmp_path / "no.db").write_text("something else" * 200)
    with pytest.raises(ResourceError, match="the storage cannot be opened"):
        sweep(trials=1, storage=f"sqlite:///{tmp_path / 'no.db'}")


@pytest.mark.full  # a database's sign of life lasts three seconds at least
def test_trials_of_a_machine_that_has_gone_are_trained_again_under_a_new_number(sweep, sweep_cohort, tmp_path):
    """The other driver says that it lives, then no more; nobody but the database knows of it."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    settings = read_settings([f"data.cohort={sweep_cohort}", RATE], trials=2)
    identity = settings.identity() | {"cohort": json.loads((sweep_cohort / "cohort.json").read_text())["sha256"]}
    with closing(Study(url, settings, driver="gone:1", heartbeat=1)) as other:
        other.begin(resume=False, identity=identity)
        gone = other.take(tmp_path / "gone")
    time.sleep(4.2)
    done = sweep(trials=2, storage=url, resume=True, heartbeat=1)
    assert done.told == "2 complete, 1 lost"
    numbers = {trial.number: trial.params for trial in trials_of(done.folder)}
    assert sorted(numbers) == [1, 2] and numbers[2] == gone.params


def test_a_trial_that_kills_its_drivers_is_given_up(sweep, sweep_cohort, tmp_path):
    settings = read_settings([f"data.cohort={sweep_cohort}", RATE], trials=2)
    with closing(Study(f"sqlite:///{tmp_path / 'a.db'}", settings, driver="d")) as study:
        study.begin(resume=False, identity={})
        numbers = [study.take(tmp_path, first=True).number for _ in range(11)]
        assert numbers == [0] * 10 + [1]
        assert study.trials()[0].user_attrs["error"] == "its driver died 10 times while it ran"


def test_cores_and_gpus_are_shared_out(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    place = Workplace(tmp_path, jobs=4, gpus=("0", "1"))
    assert place.environment(3) == {"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert Workplace(tmp_path, jobs=4).environment(0) == {}
