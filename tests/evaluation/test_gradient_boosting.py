"""Gradient boosting: features that only know the past, a gain over the last value where there is one to have."""

from dataclasses import replace

import numpy as np
import pytest

from neurotwin.cohort import Cohort
from neurotwin.episodes import make_episodes
from neurotwin.errors import CohortError, ConfigError
from neurotwin.evaluation import Locf, evaluate
from neurotwin.evaluation.gradient_boosting import GradientBoosting, distinct_cuts
from neurotwin.evaluation.history_features import feature_names, query_features
from neurotwin.events import Doses, Observations
from neurotwin.schema import Schema, Static, Treatment, Variable

QUICK = {"max_iter": 60, "learning_rate": 0.1}


def returning(n, seed=0):
    """Cohort whose variable x falls back to the level that y tells, twice as fast under the drug."""
    rng = np.random.default_rng(seed)
    level, treated = rng.normal(0, 1, n), rng.random(n) < 0.5
    value, rows = level + rng.normal(0, 2, n), []
    for time in range(7):
        rows += [(subject, time, 0, value[subject]) for subject in range(n)]
        rows += [(subject, time, 1, np.exp(level[subject])) for subject in range(n)]
        value = level + (value - level) * np.where(treated, 0.4, 0.7) + rng.normal(0, 0.2, n)
    schema = Schema(
        name="returning",
        time_unit="d",
        variables=(
            Variable(name="x", unit="mm"),
            Variable(name="y", unit="mg/dL", transform="log", plausible=(0, 1e6)),
        ),
        treatments=(Treatment(name="drug", unit="mg", kind="infusion"),),
        statics=(Static(name="age", unit="a"),),
    )
    given = np.flatnonzero(treated)
    doses = Doses.of(given, 0.0, np.full(len(given), np.inf), 0, 2.0)
    statics = np.where(rng.random((n, 1)) < 0.2, np.nan, 50.0)
    return Cohort.build(
        schema, [f"s{i}" for i in range(n)], statics, Observations.of(*zip(*rows, strict=True)), doses, split_key="r"
    )


def column(episodes, name):
    return query_features(episodes)[:, feature_names(episodes).index(name)]


def test_features_are_what_they_say(toy):
    doses = Doses.of([0, 0, 1], [0.5, 1.5, 0.0], np.nan, 0, [10.0, 4.0, 7.0])
    episodes, _, _ = make_episodes(replace(toy, doses=doses), 1)
    assert episodes.queries.time.tolist() == [2, 3, 3]
    for name, expected in {
        "x.last": [2, 2, 5],
        "x.first": [1, 1, 5],
        "x.step": [1, 1, 0],
        "x.slope": [1, 1, 0],
        "x.lowest": [1, 1, 5],
        "x.count": [2, 2, 2],
        "y.last": [0, 0, 2],
        "y.age": [1, 1, 0],
        "y.previous": [np.nan] * 3,
        "drug.given": [10, 10, 7],
        "drug.planned": [4, 4, 0],
        "horizon": [1, 2, 2],
        "visits": [2, 2, 2],
        "age": [50, 50, 50],
    }.items():
        assert column(episodes, name) == pytest.approx(np.array(expected, dtype=float), nan_ok=True), name


def test_a_rate_counts_by_its_duration():
    episodes, _, _ = make_episodes(returning(40), 2.0)
    treated = np.isin(episodes.queries.subject, episodes.doses.subject)
    assert treated.any() and not treated.all()
    assert column(episodes, "drug.given") == pytest.approx(np.where(treated, 4.0, 0.0))
    assert column(episodes, "drug.level") == pytest.approx(np.where(treated, 2.0, 0.0))
    ahead = episodes.queries.time - 2.0
    assert column(episodes, "drug.planned") == pytest.approx(np.where(treated, 2.0 * ahead, 0.0))


def test_no_cut_twice():
    cuts = np.array(distinct_cuts(returning(10), n_cuts=9, min_visits=2, seed=0))
    for subject in range(10):
        mine = cuts[np.isfinite(cuts[:, subject]), subject]
        assert len(mine) == len(set(mine)) and set(mine) <= {1.0, 2.0, 3.0, 4.0, 5.0}


def test_it_learns_what_the_last_value_cannot_tell_and_covers():
    train, test = returning(100), returning(60, seed=1)
    fitted = {"boosting": GradientBoosting.fit(train, variables=["x"], trees=QUICK), "locf": Locf.fit(train)}
    report = evaluate(fitted, test, cut=2.0, horizons=[np.inf], n_bootstrap=2)
    errors = {name: report.score(name, "x").metrics["mae"].pooled.value for name in fitted}
    assert errors["boosting"] < 0.75 * errors["locf"]
    assert report.score("boosting", "x").metrics["coverage"].pooled.value == pytest.approx(0.9, abs=0.07)
    assert report.failed["boosting"] == 0 and report.score("boosting", "y").n_failed > 0


def test_the_future_is_not_read():
    """Whatever comes after the cut, the answer is bit for bit the same."""
    cohort = returning(60)
    model = GradientBoosting.fit(cohort, variables=["x"], trees=QUICK, n_cuts=3)
    late = cohort.observations.time > 3.0
    altered = replace(cohort.observations, value=np.where(late, 1.0, cohort.observations.value))
    answers = [
        model(make_episodes(replace(cohort, observations=one), 3.0)[0]) for one in (cohort.observations, altered)
    ]
    assert np.array_equal(answers[0].quantiles, answers[1].quantiles, equal_nan=True)


def test_more_rows_than_allowed_are_thinned():
    cohort = returning(60)
    few = GradientBoosting.fit(cohort, variables=["x"], trees=QUICK, max_rows=200)
    assert np.isfinite(few(make_episodes(cohort, 3.0)[0]).median[:, 0]).all()


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="no variable z"):
        GradientBoosting.fit(returning(10), variables=["z"])
    with pytest.raises(ConfigError, match="n_folds 1"):
        GradientBoosting.fit(returning(10), n_folds=1)
    with pytest.raises(CohortError, match="no subject has enough visits"):
        GradientBoosting.fit(returning(10), min_visits=7)


def test_a_variable_that_was_never_seen_is_no_hindrance():
    cohort = returning(40)
    narrow = replace(cohort, observations=cohort.observations.take(cohort.observations.variable == 0))
    model = GradientBoosting.fit(narrow, variables=["x"], trees=QUICK, n_cuts=2)
    assert np.isfinite(model(make_episodes(narrow, 3.0)[0]).median[:, 0]).all()
