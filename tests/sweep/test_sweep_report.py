"""The report: the table, the page, and another trial as best.yaml."""

import pandas
import pytest
import yaml
from sweep_cases import RATE

from neurotwin.errors import ConfigError, IntegrityError
from neurotwin.sweep.report import report_sweep
from neurotwin.sweep.results import FEWEST, importances, read_results
from neurotwin.sweep.run_sweep import read_card


def sections_of(page):
    return [part.split('"')[0] for part in page.split('<section id="')[1:]]


def test_the_table_and_the_page_of_a_search(sweep, monkeypatch):
    monkeypatch.setenv("STUB_PAUSE", "0")
    more = ["hparams_search.options.tpe.n_startup_trials=4", "hparams_search.pruner=null"]
    done = sweep("optimizer.lr=tag(log,interval(1e-3,9e-1))", "model.hidden=8,16,32", *more, trials=FEWEST + 3, jobs=3)
    written = report_sweep(done.folder)
    table = pandas.read_parquet(done.folder / "trials.parquet")
    assert len(table) == FEWEST + 3 and list(table["number"]) == list(range(FEWEST + 3))
    assert set(table["state"]) <= {"complete", "failed"} and (table["seconds"] > 0).all()
    best = table.loc[table["validation_loss"].idxmin()]
    assert best["number"] == done.best[0] and written.experiment == done.experiment
    page = (done.folder / "report.html").read_text()
    expected = ["best", "course", "parameters", "cost", "trials", *(["failures"] if "failed" in done.told else [])]
    assert sections_of(page) == expected
    assert "<script" not in page and "http://" not in page.replace("http://www.w3.org", "")
    assert page.count("<svg") >= 6 and f"Trial {done.best[0]}" in page
    card = read_card(done.folder)
    shares = importances(read_results(card["storage"], card["name"]))
    assert set(shares["validation_loss"]) == {"optimizer.lr", "model.hidden"}
    assert sum(shares["validation_loss"].values()) == pytest.approx(1)


def test_two_objectives_have_a_front_and_any_of_it_may_be_the_best(sweep):
    objectives = ["hparams_search.pruner=null", "+hparams_search.objectives.parameters=minimize"]
    done = sweep("model.hidden=8,16,32", "hparams_search.sampler=grid", *objectives, trials=3, jobs=3)
    assert "hidden: 32" in done.experiment.read_text()
    written = report_sweep(done.folder, best=0)
    assert yaml.safe_load(written.experiment.read_text())["model"]["hidden"] == 8
    assert "front" in sections_of((done.folder / "report.html").read_text())
    with pytest.raises(ConfigError, match="no complete trial 7; at --best; expected one of 0, 1, 2"):
        report_sweep(done.folder, best=7)


def test_a_sweep_without_a_complete_trial_has_a_report(sweep, tmp_path):
    with pytest.raises(ConfigError, match="all of the first 1 trials failed"):
        sweep("optimizer.lr=0.8,0.9", trials=1)
    written = report_sweep(tmp_path / "sweep")
    assert written.experiment is None and written.told == "1 failed"
    assert sections_of((tmp_path / "sweep/report.html").read_text()) == ["best", "cost", "trials", "failures"]


def test_no_sweep_in_the_folder(tmp_path, sweep):
    with pytest.raises(ConfigError, match="no sweep here"):
        report_sweep(tmp_path)
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(IntegrityError, match="card cannot be read"):
        report_sweep(tmp_path)
    done = sweep(RATE, trials=1)
    with pytest.raises(ConfigError, match="no sweep 'sweep'"):
        report_sweep(done.folder, storage=f"sqlite:///{tmp_path / 'other.db'}")
