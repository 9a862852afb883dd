"""What stands in README.md and results.json, and models from their YAML to their kept weights."""

import re

import numpy as np
import pytest
from benchmarks import weights
from benchmarks.cancer import models, readme, results
from benchmarks.cancer.cohorts import SCHEMA, make_cohort
from benchmarks.cancer.evaluation import evaluate, load_errors
from benchmarks.cancer.forecasters import REFERENCES
from benchmarks.cancer.goals import goals_of
from benchmarks.cancer.sets import PUBLISHED_SEEDS
from benchmarks.cancer.surrogates import CarriedSurrogate
from benchmarks.cancer.task import forecast_rows
from benchmarks.cancer.tracks import TRACKS, measure

from neurotwin.errors import ConfigError, IntegrityError

CLEAN = TRACKS["clean"]


def row(model, seed, score):
    one_step = {"last": 1.0, "all": 1.0, "orig": 1.0}
    return {"track": "clean", "gamma": 4.0, "seed": seed, "model": model, "one_step": one_step,
            "sliding": [0.1, 0.2, 0.3, 0.4, score], "randomised": [0.5] * 5}  # fmt: skip


def test_the_readme_shows_what_was_measured():
    page = (readme.HERE / "README.md").read_text()
    stands = re.search(f"{readme.BEGIN}\n(.*)\n{readme.END}", page, re.DOTALL).group(1)
    assert stands == readme.block(results.read()), "run benchmarks/cancer/run.py"


def test_the_population_mean_stands_beside_every_number():
    rows = [row("popmean", 10, 1.1), row("gru", 10, 1.9)]
    goals = goals_of(rows)
    found = readme.block({"machine": "m", "versions": {"a": "1"}, "date": "d", "rows": rows, "goals": goals})
    assert "| gru | 1.900 / 1.100 | 1.900 / 1.100 |" in found
    assert re.search(r"\| RMSNs \(published\) .*\| 1\.436 \|", found)
    assert found.count("not measured") == len(goals)


def test_a_goal_needs_every_seed():
    rows = [row("hybrid_ode", seed, 0.75) for seed in PUBLISHED_SEEDS]
    measured = {goal["name"]: goal["measured"] for goal in goals_of(rows)}
    assert sum(value == pytest.approx(0.75) for value in measured.values() if value is not None) == 2
    assert all(goal["measured"] is None for goal in goals_of(rows[1:]))


def test_a_row_takes_the_place_of_the_one_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results.json"
    for score in (2.0, 1.0):
        results.add(row("gru", 10, score), goals_of, path)
    results.add(row("gru", 101, 3.0), goals_of, path)
    assert [one["sliding"][-1] for one in results.read(path)["rows"]] == [1.0, 3.0]
    assert results.find(results.read(path), seed=101, model="gru")["sliding"][-1] == 3.0


def test_errors_are_kept(small_sets, tmp_path):
    found = evaluate(small_sets, REFERENCES["persist"], CLEAN, gamma=4.0, seed=3)
    found.save(tmp_path / "errors.npz")
    again = load_errors(tmp_path / "errors.npz")
    assert found.scores["sliding"] == [round(float(value), 4) for value in again["sliding"].score]


def test_thinner_tracks_keep_fewer_of_the_same_days(small_sets):
    test = small_sets.sliding
    seen = [measure(test.volume, test.last, track, gamma=4.0, seed=3, part="sliding") for track in TRACKS.values()]
    known = [np.isfinite(one) for one in seen]
    assert (known[0] >= known[1]).all() and (known[1] >= known[2]).all() and known[2][:, 0].all()
    assert known[1][:, 1:].mean() / known[0][:, 1:].mean() == pytest.approx(0.5, abs=0.1)
    both = known[2]
    assert (seen[1][both] == seen[2][both]).all()
    noise = np.log(seen[1][known[1]] / seen[0][known[1]])
    assert noise.std() == pytest.approx(0.05, rel=0.25)


def test_kept_weights_answer_as_the_model_did(small_sets, tmp_path):
    from neurotwin.compose import compose
    from neurotwin.recipes import model_factory
    from neurotwin.scaling import Scaling

    scaling = Scaling.fit(make_cohort(small_sets, CLEAN, gamma=4.0, seed=3).part("train"))
    config = compose("train", ["experiment=cancer_gru", "model.hidden=8"])
    model = model_factory(config)(SCHEMA, scaling)
    path = tmp_path / "weights" / "gru.safetensors"
    weights.write_weights(path, model, scaling, {"model_config": config["model"], "parameters": 1})
    again, told = weights.read_weights(path)
    assert told["parameters"] == 1
    test = small_sets.one_step
    seen = measure(test.volume, test.last - 1, CLEAN, gamma=4.0, seed=3, part="one_step")
    first, second = (forecast_rows(test, seen, CarriedSurrogate(one, test.patients.kind)) for one in (model, again))
    np.testing.assert_array_equal(first, second)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(IntegrityError):
        weights.read_weights(path)


def test_evaluate_only_needs_kept_weights(small_sets):
    with pytest.raises(ConfigError, match="weights are kept for gamma 4, seed 10"):
        models.learned("gru", small_sets, 4.0, 101, CLEAN, evaluate_only=True)


@pytest.mark.full
@pytest.mark.parametrize("name", ["gru", "neural_ode"])
def test_a_model_is_trained_from_its_yaml(small_sets, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    make, told = models.learned(
        name, small_sets, 4.0, 3, CLEAN, overrides=["trainer.max_epochs=1", "data.batch_size=20", "model.hidden=8"]
    )
    found = evaluate(small_sets, make, CLEAN, gamma=4.0, seed=3)
    assert np.isfinite(found.scores["sliding"]).all() and told["parameters"] > 0
