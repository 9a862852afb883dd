"""Scores of variables that are rounded or 0 and 1: probabilities, areas, calibration on the latent scale."""

import itertools
import math

import numpy as np
import pytest
from head_cases import NAMES, SCHEMA, make_cohort

from neurotwin.calibration import BASES
from neurotwin.episodes import Forecast, make_episodes
from neurotwin.errors import InputError
from neurotwin.evaluation import Locf, PopulationMean, evaluate, fit_calibration, with_measured_coverage
from neurotwin.evaluation.bootstrap import bootstrap_auc
from neurotwin.evaluation.metrics import auc, brier, log_score

RNG = np.random.default_rng(0)
SIGN, STAGE = NAMES.index("sign"), NAMES.index("stage")


def area_by_pairs(truth, probability, weight):
    ones, zeros = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    pairs = list(itertools.product(ones, zeros))
    wins = [(probability[i] > probability[j]) + 0.5 * (probability[i] == probability[j]) for i, j in pairs]
    weights = [weight[i] * weight[j] for i, j in pairs]
    return float(np.average(wins, weights=weights))


def test_the_area_counts_pairs():
    truth, probability = (RNG.random(40) < 0.4).astype(float), RNG.random(40).round(1)
    weight = RNG.random(40)
    assert auc(truth, probability, weight) == pytest.approx(area_by_pairs(truth, probability, weight))
    assert auc(truth, probability) == pytest.approx(area_by_pairs(truth, probability, np.ones(40)))
    assert auc(truth, truth) == 1 and auc(truth, 1 - truth) == 0 and auc(truth, np.full(40, 0.3)) == 0.5
    assert math.isnan(auc(np.ones(3), [0.1, 0.2, 0.3])) and math.isnan(auc([], []))


def test_brier_and_log_score():
    assert brier([1, 0], [0.8, 0.4]) == pytest.approx((0.04 + 0.16) / 2)
    assert log_score([1, 0], [0.8, 0.4]) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    assert log_score([1.0], [0.0]) == pytest.approx(-math.log(1e-7))
    for metric in (brier, log_score, auc):
        with pytest.raises(InputError, match="neither 0 nor 1"):
            metric([0.5], [0.5])


def test_resampled_areas_are_those_of_the_repeated_patients():
    subject, truth = np.repeat(np.arange(6), 4), (RNG.random(24) < 0.5).astype(float)
    probability = RNG.random(24)
    found = bootstrap_auc(subject, truth, probability, 6, n_bootstrap=3, seed=5)
    drawn = np.random.default_rng(5).integers(0, 6, (3, 6))
    for replicate, patients in zip(found[1:, 0], drawn, strict=True):
        rows = np.concatenate([np.flatnonzero(subject == patient) for patient in patients])
        assert replicate == pytest.approx(auc(truth[rows], probability[rows]))
    assert found[0] == pytest.approx([auc(truth, probability)] * 2)


@pytest.fixture(scope="module")
def report():
    cohort = make_cohort(120)
    train, test = cohort.part("train"), cohort.part("test")
    predictors = {"locf": Locf.fit(train), "population_mean": PopulationMean.fit(train)}
    return evaluate(predictors, test, cut=3.0, horizons=[3, np.inf], baselines=["population_mean"], n_bootstrap=50)


def test_bernoulli_variables_have_probabilities_scored_with_intervals(report):
    for name in ("locf", "population_mean"):
        metrics = report.score(name, "sign").metrics
        for metric in ("brier", "log_score", "auc"):
            estimate = metrics[metric].pooled
            assert estimate.low <= estimate.value <= estimate.high
    assert report.score("population_mean", "sign").metrics["auc"].pooled.value == 0.5
    assert report.score("locf", "sign").metrics["auc"].pooled.value > 0.6
    assert {"brier", "log_score", "auc"} <= set(report.difference("locf", "population_mean", "sign").metrics)
    assert "brier" not in report.score("locf", "stage").metrics


def test_medians_that_leave_the_scale_are_scored_as_its_ends():
    cohort = make_cohort(60)
    levels = np.array([0.05, 0.5, 0.95])

    def far(episodes):
        high = np.full((len(episodes.queries), len(NAMES), 3), 1e6)
        return Forecast(levels, high, mean=np.full(high.shape[:2], 0.5))

    report = evaluate({"far": far}, cohort, cut=3.0, horizons=[np.inf], n_bootstrap=10)
    assert 0 < report.score("far", "stage").metrics["mae"].pooled.value <= 3
    assert report.score("far", "sign").metrics["mae"].pooled.value <= 1


def rounded_forecast(n=400, seed=0):
    """Latent values that are known but for a normal error of 1.5 where the forecast says 1."""
    rng = np.random.default_rng(seed)
    cohort = make_cohort(n, seed)
    episodes, targets, _ = make_episodes(cohort, 3.0)
    latent = rng.normal(2.5, 1, (len(episodes.queries), len(NAMES)))
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    quantiles = latent[..., None] + np.array([-1.645, -0.674, 0, 0.674, 1.645])
    own = latent[targets.query, targets.variable] + 1.5 * rng.normal(size=len(targets))
    kept = np.isin(targets.variable, (STAGE, SIGN))
    value = np.where(targets.variable == STAGE, np.clip(np.rint(own), 1, 4), (own > 0.5).astype(float))
    object.__setattr__(targets, "value", value)
    return Forecast(levels, quantiles), targets.take(kept), episodes


def test_calibration_covers_records_and_leaves_bernoulli_alone():
    forecast, targets, episodes = rounded_forecast()
    fitted = fit_calibration(forecast, targets, episodes, horizons=[np.inf])
    assert fitted.factor[0, SIGN] == 1 and BASES[fitted.basis[0, SIGN]] == "none"
    # Wider noise asks for a stretch, records that stand for half a step each way for less.
    assert 0.6 < fitted.factor[0, STAGE] < 1.1
    other, later, asked = rounded_forecast(seed=1)
    covered = with_measured_coverage(fitted, other, later, asked).coverage[0, STAGE]
    assert 0.86 < covered < 0.94
    horizon = asked.queries.time - 3.0
    stretched = fitted.apply(other, horizon, SCHEMA)
    mine = later.variable == STAGE
    low, high = (stretched.quantiles[later.query[mine], STAGE, end] for end in (0, -1))
    told = np.mean((low <= later.value[mine]) & (later.value[mine] <= high))
    assert told == pytest.approx(covered, abs=0.02)
    assert set(np.unique(stretched.quantiles[:, STAGE])) <= {1, 2, 3, 4}
    assert set(np.unique(stretched.quantiles[:, SIGN])) <= {0, 1}
