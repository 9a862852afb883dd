"""The verb: both spellings, the exit codes, and the lines at the end."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from neurotwin import train
from neurotwin.cli import app
from neurotwin.sweep import run_sweep as running
from neurotwin.sweep.run_sweep import Swept


@pytest.fixture
def asked(monkeypatch):
    """What the verb asked of `run_sweep`, which comes to what stands under "comes to"."""
    found = {"comes to": Swept(Path("there"), False, "3 complete", (2, 0.25), Path("there/best.yaml"))}

    def run_sweep(arguments, **options):
        found.update(options, arguments=arguments)
        return found["comes to"]

    monkeypatch.setattr(running, "run_sweep", run_sweep)
    return found


def call(*words):
    return CliRunner().invoke(app, ["sweep", *words])


@pytest.mark.parametrize("spelling", [[], ["run"]])
def test_words_and_options_in_any_order(spelling, asked):
    words = ["optimizer.lr=1,2", "-n", "5", "hparams_search=lung_tumour", "--jobs", "2", "--gpu", "0,1", "--gpu", "2,3"]
    done = call(*spelling, *words, "--storage", "sqlite:///s.db", "--resume", "-o", "here")
    assert done.exit_code == 0, done.output
    assert asked["arguments"] == ["optimizer.lr=1,2", "hparams_search=lung_tumour"]
    assert (asked["trials"], asked["jobs"], asked["gpus"]) == (5, 2, ["0,1", "2,3"])
    assert (asked["storage"], asked["resume"], asked["folder"]) == ("sqlite:///s.db", True, Path("here"))
    lines = done.stderr.splitlines()
    assert lines[0] == "done: 3 complete; best 0.25 in trial 2"
    assert lines[-1] == "next: neurotwin sweep report there"


def test_an_interrupted_sweep_says_how_to_go_on(asked):
    asked["comes to"] = Swept(Path("there"), True, "1 complete, 2 pending", None, None)
    done = call("a=1,2")
    assert done.exit_code == 130
    assert done.stderr.splitlines() == ["stopped: 1 complete, 2 pending", "next: the same command with --resume"]


def test_options_that_are_not_there(asked):
    assert call("a=1,2", "--trails", "3").exit_code == 2 and "arguments" not in asked
    assert call("a=1,2", "--trials", "0").exit_code == 2


def test_reporting_has_a_page_of_help(asked):
    assert "--best" in call("report", "--help").output and "arguments" not in asked
    assert "report" in call("--help").output


def test_hydras_flags_take_an_experiment_from_a_file_too(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text("# @package _global_\nseed: 77\ndata:\n  cohort: somewhere\n")
    assert train.main(["--cfg", "job", f"experiment={path}"]) == 0
    assert "seed: 77" in capsys.readouterr().out
