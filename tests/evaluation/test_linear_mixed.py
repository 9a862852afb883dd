"""The linear mixed model: it finds the variances that it was given, and its posterior is that of the definition."""

import numpy as np
import pytest

from neurotwin.cohort import Cohort
from neurotwin.episodes import make_episodes
from neurotwin.errors import CohortError
from neurotwin.evaluation import evaluate
from neurotwin.evaluation.linear_mixed import LinearMixed
from neurotwin.events import Doses, Observations
from neurotwin.schema import Schema, Variable

FIXED, RANDOM, NOISE = np.array([1.0, -0.5]), np.array([[0.8, 0.1], [0.1, 0.2]]), 0.25


def lines(n, *, n_visits=8, seed=0):
    """Cohort of straight lines with noise."""
    rng = np.random.default_rng(seed)
    effect = FIXED + rng.multivariate_normal([0, 0], RANDOM, n)
    time = np.sort(rng.uniform(0, 5, (n, n_visits)), axis=1)
    value = effect[:, :1] + effect[:, 1:] * time + rng.normal(0, NOISE**0.5, time.shape)
    schema = Schema(name="lines", time_unit="a", variables=(Variable(name="score", unit="1"),))
    observations = Observations.of(np.repeat(np.arange(n), n_visits), time.ravel(), 0, value.ravel())
    ids = [f"s{number}" for number in range(n)]
    return Cohort.build(schema, ids, np.zeros((n, 0)), observations, Doses.of(), split_key="lines")


@pytest.fixture(scope="module")
def model():
    return LinearMixed.fit(lines(150))


def test_it_finds_what_the_lines_were_drawn_from(model):
    unit = model.time_unit[0]
    assert model.fixed[0] / [1, unit] == pytest.approx(FIXED, abs=0.25)
    assert model.random[0] / [[1, unit], [unit, unit**2]] == pytest.approx(RANDOM, abs=0.25)
    assert model.noise[0] == pytest.approx(NOISE, rel=0.1)


def test_the_posterior_is_that_of_conditioning_a_joint_gaussian(model):
    """Mean and variance of a later value given the past, from the covariance of all of them."""
    episodes, _, _ = make_episodes(lines(6, seed=3), 2.5)
    forecast = model(episodes)
    for row, subject in enumerate(episodes.queries.subject):
        mine = episodes.observations.subject == subject
        time = np.append(episodes.observations.time[mine], episodes.queries.time[row]) / model.time_unit[0]
        design = np.column_stack([np.ones(len(time)), time])
        covariance = design @ model.random[0] @ design.T + model.noise[0] * np.eye(len(time))
        gain = np.linalg.solve(covariance[:-1, :-1], covariance[:-1, -1])
        mean = design @ model.fixed[0]
        expected = mean[-1] + gain @ (episodes.observations.value[mine] - mean[:-1])
        spread = np.sqrt(covariance[-1, -1] - gain @ covariance[:-1, -1])
        assert forecast.median[row, 0] == pytest.approx(expected)
        assert forecast.quantiles[row, 0, -2] == pytest.approx(expected + 1.6448536269514722 * spread)


def test_its_intervals_cover_new_subjects(model):
    report = evaluate({"linear_mixed": model}, lines(200, seed=9), cut=2.0, horizons=[np.inf], n_bootstrap=2)
    assert report.score("linear_mixed", "score").metrics["coverage"].pooled.value == pytest.approx(0.9, abs=0.03)


def test_a_subject_without_a_value_gets_the_population(model):
    episodes, _, _ = make_episodes(lines(4), 2.5)
    blind = type(episodes)(**{**vars(episodes), "observations": episodes.observations.take(np.zeros(0, int))})
    expected = model.fixed[0, 0] + model.fixed[0, 1] * episodes.queries.time / model.time_unit[0]
    assert model(blind).median[:, 0] == pytest.approx(expected)


def test_a_variable_that_never_changes_is_told():
    cohort = lines(20)
    cohort.observations.value[:] = 3.0
    with pytest.raises(CohortError, match="score does not vary"):
        LinearMixed.fit(cohort)
