"""neurotwin trial: from the command line to the files, and wrong input."""

import json
import shlex

import pytest

from neurotwin import cli

SMALL = ["sizes.randomised=40", "sizes.screened=80", "sizes.power=[40]", "sizes.replicates=10", "shift=null"]


def trial(monkeypatch, capsys, *arguments):
    """Exit code and stderr."""
    monkeypatch.setattr("sys.argv", ["neurotwin", "trial", *arguments])
    code = 0
    try:
        cli.main()
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    return code, capsys.readouterr().err


def test_a_trial_from_the_command_line(monkeypatch, capsys, tmp_path):
    out = tmp_path / "out"
    code, told = trial(monkeypatch, capsys, "trial=vancomycin_dose", *SMALL, "-o", str(out), "--twins", "none")
    assert code == 0 and "80 screened" in told and "40 randomised" in told and "next: neurotwin trial" in told
    again = shlex.split(told.partition("next: neurotwin trial ")[2].strip())
    assert set(SMALL) < set(again) and {"twins=none", "seed=2", "-o", f"{out}_2"} <= set(again)
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "subjects.parquet", "trial.json"]
    numbers = json.loads((out / "trial.json").read_text())
    assert numbers["configuration"]["sizes"]["randomised"] == 40 and "trial=vancomycin_dose" in numbers["command"]
    code, told = trial(monkeypatch, capsys, "trial=vancomycin_dose", *SMALL, "-o", str(out), "--twins", "none")
    assert code == 0, told
    code, told = trial(
        monkeypatch, capsys, "trial=vancomycin_dose", *SMALL, "seed=2", "-o", str(out), "--twins", "none"
    )
    assert code == 2 and told.startswith("NT-2900") and len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["trial=aspirin"], "no trial named 'aspirin'"),
        (["sizes.randomized=10"], "did you mean sizes.randomised?"),
        (["sizes.randomised=500"], "at least as many screened"),
        (["eligibility.0.most=0.01"], "none of 80 screened subjects is eligible"),
        (["eligibility.0.unit=kg"], "cannot convert 'kg'"),
        (["endpoints.average_concentration.variable=glucose"], "no variable 'glucose'"),
        (["endpoints.average_concentration.until=900.0"], "is known of 0.0%"),
        (["~arms.one_gram"], "1 arms: one_and_a_half_grams"),
        (["arms.one_gram.regimens.0.treatment=aspirin"], "treatment is 'aspirin'"),
        (["arms.one_gram.regimens.0.amount=1e9"], "0 to 4000 mg/h"),
        (["randomisation.block=3"], "a multiple of 2"),
        (["cut=500.0"], "between 0 and the horizon"),
        (["+protocol.visits.dropout=0.1"], "a dropout of their own"),
        (["shift=[size,2.0]"], "no parameter 'size'"),
        (["twins=cousins"], "library | bundle | none"),
        (["twins=bundle"], "name a bundle"),
        (["seed=-1"], "seed"),
    ],
)
def test_wrong_input_is_told_in_one_line(monkeypatch, capsys, tmp_path, overrides, words):
    code, told = trial(monkeypatch, capsys, "trial=vancomycin_dose", *SMALL, *overrides, "-o", str(tmp_path / "out"))
    assert code == 2 and words in told and len(told.splitlines()) == 1, told
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_is_not_there_or_of_another_model(monkeypatch, capsys, tmp_path, node_bundle):
    for bundle, exit_code, words in ((tmp_path / "none", 2, "no such bundle"), (node_bundle, 2, "other variables")):
        code, told = trial(
            monkeypatch, capsys, "trial=vancomycin_dose", *SMALL, "-o", str(tmp_path / "out"), "--bundle", str(bundle)
        )
        assert code == exit_code and words in told, told
