"""Time to a personal forecast: patients, priors and courses against the simulators, fits, chains, judge and pages.

Runs with and without numba; without it what is compiled is plain Python.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.personalise.personal_forecasts import geng, results, schedules, solvers, t1d, twins
from benchmarks.personalise.personal_forecasts.compiled import surprise_of_tail
from benchmarks.personalise.personal_forecasts.judge import Judged, compared, judge
from benchmarks.personalise.personal_forecasts.least_squares import fit_with, laplace
from benchmarks.personalise.personal_forecasts.routes import MODELS, Answer, Question, by_twin, fitted
from benchmarks.personalise.personal_forecasts.sampling import effective_draws
from benchmarks.personalise.personal_forecasts.tasks import TASKS
from scipy.stats import kstest, norm

from neurotwin.errors import ConfigError
from neurotwin.runtime import Predictor
from neurotwin.simulators.t1d_uvapadova import T1dUvaPadova


@pytest.fixture(scope="module")
def lung():
    return TASKS["geng"].questions(6)


@pytest.fixture(scope="module")
def sugar():
    """A night and breakfast, so that plain Python can walk them."""
    whole = TASKS["t1d"]
    early = replace(whole, settings=(*whole.settings, "protocol.horizon=600.0"), cut=480.0, horizon=90.0)
    return early.questions(2)


def true_theta(mechanism, questions, patient):
    names = geng.NAMES if mechanism is geng else t1d.FITTED
    return np.array([questions.parameters[name][patient] for name in names])


def normal_of(plan, theta):
    """What `t1d.parameters` turns into ``theta``."""
    scaled = np.log(theta)
    kmin = theta[t1d.KMIN] / theta[t1d.KMAX]
    shares = np.where(t1d.SHARE, np.where(np.arange(t1d.N) == t1d.KMIN, kmin, theta), 0.5)
    scaled = np.where(t1d.SHARE, np.log(shares / (1 - shares)), scaled)
    mean, sd = plan.context[2 : 2 + t1d.N], plan.context[2 + t1d.N :]
    return (scaled - mean) / sd


@pytest.mark.parametrize(("name", "tolerance"), [("lung", 1e-3), ("sugar", 1e-3)])
def test_courses_are_those_of_the_simulator(name, tolerance, request):
    questions = request.getfixturevalue(name)
    question = Question.of(questions.task)
    one = questions.episodes.take([0])
    plan = question.plan(one)
    truth = questions.truth[questions.episodes.queries.subject == 0]
    theta = true_theta(question.mechanism, questions, 0)
    for walk in (question.mechanism.walk, solvers.lsoda(MODELS[questions.task.name], question.mechanism)):
        course = walk(theta, plan, len(plan.dt))
        np.testing.assert_allclose(course[len(plan.value) :], truth, rtol=tolerance)
    past = question.mechanism.walk(theta, plan, plan.n_past)
    np.testing.assert_allclose(past, course[: len(plan.value)], rtol=tolerance)


def test_normal_numbers_become_the_published_population(lung):
    rng = np.random.default_rng(0)
    drawn = TASKS["geng"].parts[0].published_population(4000, rng)
    context = geng.context(lung.episodes.take([0]))
    patient_type, stage = (int(lung.episodes.static[0, part].argmax()) for part in (slice(0, 3), slice(3, 8)))
    mine = np.stack([geng.parameters(x, context) for x in rng.standard_normal((4000, 4))])
    alike = drawn.statics[:, 0] == patient_type
    for index, name in enumerate(geng.NAMES):
        chosen = drawn.statics[:, 1] == stage if name == "initial_volume" else alike
        assert kstest(mine[:, index], drawn.parameters[name][chosen]).pvalue > 1e-3, name


def test_what_is_known_of_a_diabetes_patient_is_kept(sugar):
    context = t1d.context(sugar.episodes.take([0]))
    theta = t1d.parameters(0.3 * np.random.default_rng(1).standard_normal(t1d.SIZE), context)
    model = T1dUvaPadova(**t1d.named(theta, context))
    assert model.body_weight == pytest.approx(context[0])
    assert model.basal_rate == pytest.approx(context[1])


def test_the_truth_is_found_again_in_its_coordinates(sugar):
    plan = Question.of(sugar.task).plan(sugar.episodes.take([1]))
    theta = true_theta(t1d, sugar, 1)
    own = normal_of(plan, theta)
    np.testing.assert_allclose(t1d.parameters(own[t1d.PLACES], plan.context), theta, rtol=1e-9)
    np.testing.assert_allclose(t1d.deviations(own[t1d.PLACES], plan.context), own, atol=1e-9)
    assert not t1d.prior(own[t1d.PLACES], plan.context)[t1d.N :].any()
    far = np.where(t1d.PLACES == t1d.GB, 2.5, own[t1d.PLACES])
    assert t1d.prior(far, plan.context)[t1d.N + t1d.GB] == pytest.approx(0.5 * t1d.WALL)


@pytest.mark.parametrize("u", [-40.0, -25.1, -24.9, -3.0, 0.0, 2.0, 9.0])
def test_a_censored_value_counts_with_its_probability(u):
    assert 0.5 * surprise_of_tail(u) ** 2 == pytest.approx(-norm.logcdf(u), rel=2e-3, abs=1e-12)


def test_a_fit_is_nearer_than_the_population_and_knows_its_doubt(lung):
    question = Question.of(lung.task)
    fit = fit_with(geng, solvers.lsoda("geng_nsclc", geng), compiled=False)
    answers, start = [], np.zeros(geng.SIZE)
    for patient in range(3):
        one = lung.episodes.take([patient])
        answers.append(fitted(question, fit)(one))
        plan = question.plan(one)
        found = fit.fit(start, plan)
        energy = [0.5 * (r @ r) for r in (fit.residuals(x, plan) for x in (start, found.x))]
        assert energy[1] < energy[0]
        covariance, _ = laplace(found, plan)
        assert (np.linalg.eigvalsh(covariance) > 0).all() and (np.diag(covariance) < 1.01).all()
    judged = judge(lung, answers)
    nobody = [Answer(lung.task.scored(fit.course(start, question.plan(lung.episodes.take([i])))[-len(a.point):]),
                     a.low, a.high, {}) for i, a in enumerate(answers)]  # fmt: skip
    assert judged.error < 0.5 * judge(lung, nobody).error
    assert compared(judged, judge(lung, nobody))["high"] < 1


def test_a_forecast_that_is_not_finite_is_refused(lung):
    n = int((lung.episodes.queries.subject == 0).sum())
    bad = Answer(np.full(n, np.nan), np.ones(n), np.ones(n), {})
    with pytest.raises(ArithmeticError, match="patient 0"):
        judge(lung, [bad])


def test_first_patients_keep_their_questions(lung):
    few = lung.first(2)
    mine = lung.episodes.queries.subject < 2
    np.testing.assert_array_equal(few.truth, lung.truth[mine])
    np.testing.assert_array_equal(few.targets.value, lung.targets.value[mine])
    np.testing.assert_array_equal(few.episodes.queries.time, lung.episodes.queries.time[mine])


def test_measurement_noise_on_logarithms():
    rng = np.random.default_rng(0)
    sample = np.log1p(0.1 * rng.standard_normal(400_000))
    np.testing.assert_allclose(schedules.log_moments(0.1), [sample.mean(), sample.std()], atol=5e-4)


def test_effective_draws_count_independent_ones():
    rng = np.random.default_rng(3)
    white = rng.standard_normal((4, 500, 2))
    slow = np.zeros_like(white)
    for draw in range(1, 500):
        slow[:, draw] = 0.9 * slow[:, draw - 1] + white[:, draw]
    assert (effective_draws(white)[0] > 1500).all()
    size, apart = effective_draws(slow)  # of an autoregression of .9: (1 - .9) / (1 + .9)
    np.testing.assert_allclose(size, 2000 * 0.1 / 1.9, rtol=0.5)
    assert (apart < 1.1).all()
    assert effective_draws(white + 3 * np.arange(4)[:, None, None])[1].min() > 2


def test_a_comparison_is_paired():
    rng = np.random.default_rng(0)
    hard = rng.exponential(1.0, 200)
    one, other = (Judged(hard * factor, hard, hard, hard, []) for factor in (1.1, 1.0))
    found = compared(one, other)
    assert found["ratio"] == pytest.approx(np.sqrt(1.1)) and found["high"] - found["low"] < 1e-9


def test_the_readme_shows_what_was_measured():
    page = (results.HERE / "README.md").read_text()
    stands = re.search(f"{results.BEGIN}\n(.*)\n{results.END}", page, re.DOTALL).group(1)
    assert stands == results.block(results.read()), "run benchmarks/personalise/run.py"


def test_a_missed_goal_says_why():
    for goal in (one for one in results.read()["goals"] if one["measured"] is not None):
        met = goal["measured"] >= goal["goal"] if goal["direction"] == ">=" else goal["measured"] <= goal["goal"]
        assert met or goal["cause"] not in ("", "not explained"), goal["name"]


def test_without_weights_nothing_is_made_up(tmp_path, monkeypatch):
    monkeypatch.setattr(twins, "WEIGHTS", tmp_path)
    small = replace(TASKS["geng"], n_training=20)
    with pytest.raises(ConfigError, match="no weights"):
        twins.trained(small, "bayes_ode", evaluate_only=True, work=tmp_path)


@pytest.mark.full
def test_kept_weights_make_a_bundle_that_answers(lung, tmp_path):
    small = replace(TASKS["geng"], n_training=400)
    source = twins.trained(small, "bayes_ode", evaluate_only=True, work=tmp_path)
    predictor = twins.bundle_of(small, "bayes_ode", source, work=tmp_path)
    assert isinstance(predictor, Predictor)
    answer = by_twin(small, predictor)
    each = [answer(lung.episodes.take([patient])) for patient in range(len(lung.episodes))]
    assert judge(lung, each).error < 0.3
    np.testing.assert_allclose(np.concatenate([one.point for one in each]), answer(lung.episodes).point, atol=1e-4)


def test_where_a_twins_time_goes_stands_on_the_page(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(results.RESULTS.read_text())
    route = "twin, bayes_ode (ONNX)"
    results.put_shares("geng", {route: {"cutting": 1e-4, "graphs": 2e-4, "whole": 5e-4}}, path)
    found = results.read(path)
    assert [row["route"] for row in found["rows"] if row["problem"] == "geng" and "whole" in row.get("shares", {})]
    assert f"{route}, timed by itself: 0.5 ms per patient, of which 0.1 cut time into rows" in results.block(found)
