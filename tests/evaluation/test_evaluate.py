"""evaluate(): exact numbers on a cohort known by heart, no leak from the future, honest counting."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from neurotwin.episodes import Forecast, make_episodes
from neurotwin.errors import CohortError, ConfigError, InputError
from neurotwin.evaluation import EvaluationReport, Locf, PopulationMean, bootstrap, evaluate, print_report, random_cuts
from neurotwin.evaluation.ledger import Ledger

LEVELS = np.array([0.05, 0.5, 0.95])


def constant(value, spread=0.0, ok=None):
    """The same quantiles everywhere."""

    def predict(episodes):
        quantiles = np.tile([value - spread, value, value + spread], (len(episodes.queries), 2, 1)).astype(float)
        return Forecast(LEVELS, quantiles, ok=None if ok is None else ok(episodes))

    return predict


def oracle(cohort, cut):
    """Knows what comes true."""
    episodes, targets, _ = make_episodes(cohort, cut)
    quantiles = np.ones((len(episodes.queries), 2, 3))
    quantiles[targets.query, targets.variable] = targets.value[:, None]
    return lambda asked: Forecast(LEVELS, quantiles)


def carried(episodes):
    """Last value carried forward, written the slow way."""
    quantiles = np.full((len(episodes.queries), 2, 3), np.nan)
    for row, subject in enumerate(episodes.queries.subject):
        for variable in range(2):
            seen = episodes.observations.take(
                (episodes.observations.subject == subject) & (episodes.observations.variable == variable)
            )
            if len(seen):
                quantiles[row, variable] = seen.value[np.argmax(seen.time)]
    return Forecast(LEVELS, quantiles)


def pooled(report, *names):
    return {key: one.pooled.value for key, one in report.score(*names).metrics.items()}


def test_exact_numbers(toy):
    predictors = {"oracle": oracle(toy, 1), "three": constant(3, 2), "locf": carried}
    report = evaluate(predictors, toy, cut=1, horizons=[1, 5], baselines=["locf"], n_bootstrap=50)
    assert (report.n_subjects, report.n_scored, report.n_queries, report.cut) == (3, 2, 3, 1.0)
    perfect = pooled(report, "oracle", "x")
    assert perfect == {"mae": 0, "rmse": 0, "bias": 0, "crps": 0, "coverage": 1, "width": 0, "interval_score": 0}
    # Truths 4 and 8 of the first subject, 5 of the second.
    three = report.score("three", "x").metrics
    assert three["mae"].pooled.value == pytest.approx(8 / 3)
    assert three["mae"].patient.value == pytest.approx((3 + 2) / 2)
    assert three["rmse"].pooled.value == pytest.approx(math.sqrt(30 / 3))
    assert three["rmse"].patient.value == pytest.approx(math.sqrt((13 + 4) / 2))
    assert three["bias"].pooled.value == pytest.approx(-8 / 3)
    assert three["coverage"].pooled.value == pytest.approx(2 / 3)
    assert three["coverage"].patient.value == pytest.approx(3 / 4)
    assert three["width"].pooled.value == 4
    assert three["interval_score"].pooled.value == pytest.approx(4 + 20 * 3 / 3)
    last = report.score("locf", "x")
    assert (last.n_subjects, last.n_targets, last.n_failed) == (2, 3, 0)
    assert last.metrics["mae"].pooled.value == pytest.approx((2 + 6 + 0) / 3)
    assert last.metrics["mae"].patient.value == pytest.approx((4 + 0) / 2)


def test_horizon_bins_are_closed_above(toy):
    report = evaluate({"locf": carried}, toy, cut=1, horizons=[1, 5], n_bootstrap=50)
    assert pooled(report, "locf", "x", "natural", (0.0, 1.0))["mae"] == 2
    assert pooled(report, "locf", "x", "natural", (1.0, 5.0))["mae"] == 3
    near = evaluate({"locf": carried}, toy, cut=1, horizons=[1], n_bootstrap=50)
    assert near.score("locf", "x").n_targets == 1
    assert [one.horizon for one in near.scores if one.variable == "x"] == [None, (0.0, 1.0)]


def test_log_scale_and_what_it_cannot_hold(toy):
    report = evaluate({"one": constant(1, 0.5), "minus": constant(-1)}, toy, cut=1, horizons=[np.inf], n_bootstrap=50)
    log = report.score("one", "y", "log")
    assert (log.unit, log.n_targets) == ("ln(mg/dL)", 1)
    assert log.metrics["mae"].pooled.value == pytest.approx(1)  # ln e - ln 1
    assert report.score("one", "y").n_targets == 2  # 0 is a value in mg/dL
    count = report.variables["y"]
    assert (count.n_targets, count.n_censored, count.n_off_scale) == (2, 1, 1)
    # A negative forecast has no logarithm: a failure there, an ordinary error in mg/dL.
    assert report.score("minus", "y", "log").n_failed == 1
    assert report.score("minus", "y", "log").metrics["mae"].pooled.value is None
    assert report.score("minus", "y").n_failed == 0
    with pytest.raises(InputError, match="no score of one, x, log"):
        report.score("one", "x", "log")


def test_failures_are_counted_and_left_out(toy):
    def first_only(episodes):
        return episodes.queries.subject == 0

    def broken(episodes):
        forecast = constant(3, 1)(episodes)
        forecast.quantiles[-1] = np.nan
        return forecast

    predictors = {"partial": constant(3, 1, ok=first_only), "broken": broken, "locf": carried}
    report = evaluate(predictors, toy, cut=1, horizons=[np.inf], baselines=["locf"], n_bootstrap=50)
    assert report.failed == {"partial": 1, "broken": 0, "locf": 0}
    for name in ("partial", "broken"):
        score = report.score(name, "x")
        assert (score.n_targets, score.n_failed, score.metrics["mae"].pooled.value) == (2, 1, 3)
        difference = report.difference(name, "locf", "x")
        swapped = evaluate(predictors, toy, cut=1, horizons=[np.inf], baselines=[name], n_bootstrap=50)
        assert swapped.difference("locf", name, "x").metrics["mae"].pooled.value == 1
        assert (difference.n_targets, difference.metrics["mae"].pooled.value) == (2, -1)
        assert difference.metrics["mae"].pooled.low is None  # one patient


def test_differences_are_paired(population):
    cohort = population(40)

    def shifted(episodes):
        forecast = carried(episodes)
        return replace(forecast, quantiles=forecast.quantiles + np.array([1e3, 0])[:, None])

    report = evaluate(
        {"high": shifted, "locf": carried}, cohort, cut=2, horizons=[np.inf], baselines=["locf"], n_bootstrap=200
    )
    bias = report.difference("high", "locf", "x").metrics["bias"].pooled
    assert bias.value == pytest.approx(1000)
    assert bias.high - bias.low < 1e-9  # the same in every resample of the patients
    assert (
        report.score("high", "x").metrics["bias"].pooled.high - report.score("high", "x").metrics["bias"].pooled.low
        > 0.1
    )
    assert [one.predictor for one in report.differences] == ["high"] * len(report.differences)


def test_bootstrap_agrees_with_the_normal_approximation():
    values = np.random.default_rng(3).normal(5, 2, 400)
    ledger = Ledger(np.arange(400), 400)
    entry = ledger.enter(values, np.ones(400, bool))
    ledger.settle(n_bootstrap=2000, seed=1)
    estimate = ledger.metric(entry).pooled
    half = 1.96 * values.std() / math.sqrt(400)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.high - estimate.value == pytest.approx(half, rel=0.12)
    assert estimate.value - estimate.low == pytest.approx(half, rel=0.12)


def test_bootstrap_draws_patients_not_measurements():
    subject = np.repeat(np.arange(30), 50)
    values = np.repeat(np.random.default_rng(0).normal(size=30), 50)
    ledger = Ledger(subject, 30)
    entry = ledger.enter(values, np.ones(1500, bool))
    ledger.settle(n_bootstrap=1000, seed=0)
    estimate = ledger.metric(entry).pooled
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(30), rel=0.15)


def test_bootstrap_does_not_depend_on_its_chunks(monkeypatch):
    columns = np.random.default_rng(0).normal(size=(20, 3))
    whole = bootstrap.bootstrap_sums(columns, n_bootstrap=100, seed=5)
    monkeypatch.setattr(bootstrap, "_CHUNK", 140)
    assert bootstrap.bootstrap_sums(columns, n_bootstrap=100, seed=5) == pytest.approx(whole, abs=1e-12)


def test_reliability_counts(toy):
    report = evaluate({"three": constant(3, 2)}, toy, cut=1, horizons=[np.inf], n_bootstrap=50)
    row = next(one for one in report.reliability if one.variable == "x")
    assert (row.levels, row.nominal) == ((0.05, 0.5, 0.95), (0.9,))
    assert [one.pooled.value for one in row.below] == pytest.approx([0, 0, 2 / 3])
    assert row.covered[0].pooled.value == pytest.approx(2 / 3)


def test_without_the_quantiles_there_are_no_interval_metrics(toy):
    report = evaluate({"three": constant(3, 2)}, toy, cut=1, horizons=[np.inf], level=0.8, n_bootstrap=50)
    assert set(pooled(report, "three", "x")) == {"mae", "rmse", "bias", "crps"}


def test_the_future_cannot_change_an_answer(population):
    cohort, train = population(30), population(30, seed=9)
    late = cohort.observations.time > 2
    other = replace(
        cohort,
        observations=replace(
            cohort.observations, value=np.where(late, cohort.observations.value * 7 + 1, cohort.observations.value)
        ),
    )
    seen = []
    for one in (cohort, other):
        evaluate(
            {"spy": lambda episodes: seen.append(episodes) or carried(episodes)},
            one,
            cut=2,
            horizons=[np.inf],
            n_bootstrap=2,
        )
    for predict in (Locf.fit(train), PopulationMean.fit(train)):
        assert np.array_equal(predict(seen[0]).quantiles, predict(seen[1]).quantiles)
    for name in ("static", "start", "cut"):
        assert np.array_equal(getattr(seen[0], name), getattr(seen[1], name))
    assert np.array_equal(seen[0].observations.value, seen[1].observations.value)
    assert seen[0].observations.time.max() <= 2


def test_json_round_trip(toy):
    report = evaluate(
        {"a": constant(3, 2), "b": carried}, toy, cut=1, horizons=[1, np.inf], baselines=["b"], n_bootstrap=50
    )
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert EvaluationReport.from_dict(json.loads(text)) == report
    broken = json.loads(text) | {"level": "high"}
    with pytest.raises(InputError, match="evaluation report: level"):
        EvaluationReport.from_dict(broken)


def test_a_variable_that_is_never_seen_later(toy):
    cohort = replace(
        toy, observations=toy.observations.take((toy.observations.variable == 0) | (toy.observations.time <= 1))
    )
    report = evaluate({"three": constant(3, 2)}, cohort, cut=1, horizons=[1, 5], n_bootstrap=50)
    score = report.score("three", "y")
    assert (score.n_targets, score.metrics["mae"].pooled.value) == (0, None)
    json.dumps(report.to_dict(), allow_nan=False)
    print_report(report, Console(file=io.StringIO(), width=160))


def test_random_cuts_are_visits_that_depend_on_id_and_seed_alone(population):
    cohort = population(50)
    cuts = random_cuts(cohort, seed=1)
    assert set(cuts) <= {1.0, 2.0, 3.0, 4.0}
    assert len(set(cuts)) == 4
    assert np.array_equal(random_cuts(cohort.take(np.arange(10, 30)), seed=1), cuts[10:30])
    assert not np.array_equal(random_cuts(cohort, seed=2), cuts)
    report = evaluate({"locf": carried}, cohort, cut="random", horizons=[1, 2], n_bootstrap=20, seed=1)
    assert (report.cut, report.n_scored) == ("random", 50)


def test_random_cuts_leave_out_who_cannot_be_forecast(toy):
    assert random_cuts(toy, seed=0)[2] == np.inf  # one visit, then one more: no two visits before a later one
    assert random_cuts(toy, max_horizon=1.5, seed=0).tolist()[1] == np.inf  # 2 d from the second visit to the next


def test_one_cut_per_subject(toy):
    report = evaluate({"locf": carried}, toy, cut=[2, 1, 2], horizons=[np.inf], n_bootstrap=20)
    assert report.cut == "per_subject"
    assert pooled(report, "locf", "x")["mae"] == 2  # 8 less 4, and 5 less 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cut": "first"}, "cut 'first'"),
        ({"cut": [1, 2]}, "cuts of shape"),
        ({"cut": np.nan}, "cuts of shape"),
        ({"horizons": [2, 1]}, "horizons do not rise"),
        ({"horizons": []}, "horizons do not rise"),
        ({"horizons": [0.0]}, "horizons do not rise"),
        ({"level": 1.0}, "level 1.0"),
        ({"n_bootstrap": 1}, "n_bootstrap 1"),
        ({"baselines": ["gbm"]}, "no predictor named gbm"),
    ],
)
def test_wrong_arguments_are_named(toy, change, words):
    with pytest.raises(ConfigError, match=words):
        evaluate({"locf": carried}, toy, **{"cut": 1, "horizons": [5], **change})


def test_no_predictors_and_nobody_to_forecast(toy):
    with pytest.raises(ConfigError, match="no predictors"):
        evaluate({}, toy, cut=1, horizons=[5])
    with pytest.raises(CohortError, match="no subject can be forecast"):
        evaluate({"locf": carried}, toy, cut=99, horizons=[5])


@pytest.mark.parametrize(
    ("forecast", "words"),
    [
        (lambda n: Forecast(LEVELS, np.zeros((n, 1, 3))), "quantiles have shape"),
        (lambda n: Forecast(np.array([0.1, 0.9]), np.zeros((n, 2, 2))), "levels"),
        (lambda n: Forecast(LEVELS, np.zeros((n, 2, 3)), ok=np.ones(n + 1, bool)), "ok has shape"),
    ],
)
def test_a_forecast_of_another_shape_is_refused(toy, forecast, words):
    with pytest.raises(InputError, match=f"{words}.*forecast of odd"):
        evaluate({"odd": lambda episodes: forecast(len(episodes.queries))}, toy, cut=1, horizons=[5])


def test_table_goes_to_stderr_and_tells_what_was_left_out(toy, capsys):
    report = evaluate(
        {"three": constant(3, 2), "locf": carried}, toy, cut=1, horizons=[1, 5], baselines=["locf"], n_bootstrap=50
    )
    print_report(report)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "1 censored" in captured.err
    for width in (80, 200):
        out = io.StringIO()
        print_report(report, Console(file=out, width=width))
        assert "2.67" in out.getvalue()
        assert "1-5 d" in out.getvalue()
        assert "+0.00 (" in out.getvalue()
        assert "…" not in out.getvalue()
        assert ("RMSE" in out.getvalue()) == (width == 200)
