"""benchmarks/physics: cohorts whose covariates are parameters, honest questions, and scores by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.physics import cohorts, results, scores
from benchmarks.physics.cohorts import grid_states, pieces_of, setting_of, told_parameters
from benchmarks.physics.questions import questions_of
from benchmarks.physics.scores import Courses, errors_of, first_seizure
from benchmarks.physics.tasks import TASKS, Schedule, Stage
from benchmarks.physics.training import kept, weights_path

from neurotwin.simulators.simulate import simulate

SEPSIS = TASKS["sepsis"]


@pytest.fixture(scope="module")
def sepsis():
    """Ten patients, a hundred hours."""
    task = replace(SEPSIS, asked=Schedule(100.0, 0.0, 5.0))
    found = simulate(*setting_of(task), n_subjects=10, seed=5, method="rk4", noise=False)
    return task, told_parameters(task, found)


def test_covariates_are_the_true_parameters(sepsis):
    _, cohort = sepsis
    names = [static.name for static in cohort.schema.statics]
    decay = cohort.statics[:, names.index("log_mediator_decay")]
    np.testing.assert_allclose(np.exp(decay), cohort.truth["mediator_decay"])
    assert [variable.name for variable in cohort.schema.variables] == [one.name for one in SEPSIS.variables]


def test_a_piece_is_a_stretch_of_its_patient_with_what_was_given_then(sepsis):
    task, cohort = sepsis
    stage = Stage(steps=1, batch=1, segment=5, each=4)
    pieces = pieces_of(task.asked, stage, cohort, np.random.default_rng(0))
    assert len(pieces) == 40
    for piece in range(40):
        owner, seen = piece // 4, pieces.observations
        own = seen.take((seen.subject == piece) & (seen.variable == 0))
        whole = cohort.observations.take((cohort.observations.subject == owner) & (cohort.observations.variable == 0))
        assert own.time[0] == 0 and len(own) == stage.segment
        shift = whole.time[np.flatnonzero(whole.value == own.value[0])[0]]
        np.testing.assert_allclose(whole.value[np.isin(whole.time, own.time + shift)], own.value)
        given = pieces.doses.take(pieces.doses.subject == piece)
        assert (given.time >= 0).all() and (given.time < given.end).all() and (given.end <= own.time[-1]).all()


def test_nothing_after_time_zero_is_known(sepsis):
    task, cohort = sepsis
    episodes, targets = questions_of(task, cohort)
    assert (episodes.observations.time == 0).all() and (episodes.queries.time > 0).all()
    assert len(targets) == len(cohort.observations) - len(episodes.observations)


@pytest.mark.full
def test_windows_cut_from_one_grid_are_those_of_the_simulator():
    task = replace(TASKS["seizure"], asked=Schedule(100.0, 0.0, 20.0))
    simulator, population, protocol = setting_of(task)
    cohort = simulate(simulator, population, protocol, n_subjects=3, seed=2, method="rk4", noise=False)
    model = replace(simulator, **{name: cohort.truth[name] for name in simulator.parameters})
    states = grid_states(model, task.asked.horizon, cohorts.TorchEngine())
    last = np.asarray(model.observe(states[:, -101:]))
    seen = cohort.observations.take(cohort.observations.time == 100.0)
    np.testing.assert_allclose(last, seen.value[np.lexsort((seen.variable, seen.subject))].reshape(3, 4), rtol=1e-6)


def test_error_is_the_mean_distance_over_the_spread_of_the_truth():
    truth = np.linspace(0.0, 1.0, 101).reshape(1, 101, 1)
    courses = Courses(truth[..., 0], truth, truth + 0.09, truth, truth)
    error, square, scale = errors_of(courses)
    np.testing.assert_allclose(scale, [0.9])
    np.testing.assert_allclose([error, square], [[[0.1]], [[0.1]]])


def test_a_seizure_begins_half_a_window_before_its_share_crosses_one_half():
    time = np.arange(0.0, 1000.0, 20.0)
    share = np.clip(np.minimum((time - 300) / 100, (800 - time) / 100), 0, 1)
    onset, duration = first_seizure(time, share)
    assert onset == pytest.approx(300.0) and duration == pytest.approx(400.0)
    assert np.isnan(first_seizure(time, np.zeros_like(time))).all()
    assert np.isnan(first_seizure(time, np.clip((time - 300) / 100, 0, 1))[1])


def test_goals_take_the_worst_channel():
    channel = {"median": 0.01, "p95": 0.03, "coverage": 0.9}
    row = {"task": "glucose", "channels": {"a": channel, "b": channel | {"median": 0.03, "coverage": 0.8}}}
    goals = {goal["name"]: goal for goal in results.goals_of([row])}
    assert goals["glucose: error, median over patients, worst channel"]["measured"] == 0.03
    assert goals["glucose: coverage of 90 % intervals, lowest channel"]["measured"] == 0.8
    assert goals["sepsis: fates foretold"]["measured"] is None


def test_fates_are_read_from_the_last_visit():
    healthy, septic = [0.0, 0.1, 0.0, 0.2], [5.0, 1.0, 17.0, 0.5]
    truth = np.array([[healthy, septic], [septic, healthy]])
    courses = Courses(np.zeros((2, 2)), truth, truth[:, [1, 1]], truth, truth)
    assert scores.fates_of(courses)["right"] == 1.0
    wrong = Courses(np.zeros((2, 2)), truth, truth[:, [0, 0]], truth, truth)
    assert scores.fates_of(wrong)["wrong"] == 2


def test_the_tables_are_made_of_the_results(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(results.PAGE.read_text())
    results.write_page(page=page)
    assert page.read_text() == results.PAGE.read_text()


@pytest.mark.parametrize("row", json.loads(results.RESULTS.read_text())["rows"], ids=lambda row: row["task"])
def test_kept_weights_are_those_of_the_row(row):
    task = TASKS[row["task"]]
    model, told = kept(task)
    assert weights_path(task).stat().st_size <= 300_000
    assert sum(weight.numel() for weight in model.parameters()) == row["parameters"]
    assert told["steps"] == row["steps"] and told["parameters"] == row["parameters"]
    assert list(model.schema.variables) == list(task.variables)
